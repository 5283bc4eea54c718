"""Nothing is lost: kills, full disks, signals, power cuts, readers and rivals."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from charlstm.cells import CELLS
from charlstm.errors import CheckpointError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.runs.find import first_intact
from charlstm.runs.folder import Run
from tests.cli.test_train import assert_same_run
from tests.system.conftest import Count, Record, lively
from tests.zygote import CUTS, Child, Zygote, wait_until

KINDS: list[dict[str, Any]] = [{"cell": cell} for cell in CELLS] + [{"direction": "both"}]


def go_on(zygote: Zygote, folder: Path, name: str, options: dict[str, Any], **child: Any) -> Child:
    """Resume a run, or start it where it has nothing to be resumed from."""
    if Run(folder / "checkpoints" / name).saved_at() is None:
        arguments = ["train", "play.txt", "--name", name, *lively(**options)]
    else:
        arguments = ["train", "--resume", f"checkpoints/{name}"]
    return zygote.start(*arguments, "--quiet", cwd=folder, **child)


def whole_run(zygote: Zygote, folder: Path, options: dict[str, Any]) -> Path:
    """An undisturbed run; made once."""
    name = "whole-" + "-".join(map(str, options.values()))
    if not (folder / "checkpoints" / name).exists():
        child = go_on(zygote, folder, name, options)
        assert child.wait() == 0, child.errors
    return folder / "checkpoints" / name


def test_1_killed_at_any_moment(zygote: Zygote, folder: Path, count: Count, record: Record) -> None:
    """A third of the kills fall inside a save."""
    wanted, chance = count("kills", 9, 200), random.Random(1)
    kills = runs = 0
    while kills < wanted or runs < (len(KINDS) if wanted >= 100 else 1):
        options, name = KINDS[runs % len(KINDS)], f"killed-{runs}"
        start = time.monotonic()
        whole = whole_run(zygote, folder, options)
        usual = min(1.5, time.monotonic() - start) if runs < len(KINDS) else 0.6
        while True:
            inside = kills % 3 == 0
            die = [
                chance.choice(CUTS),
                chance.randint(1, 12),
                chance.random() < 0.5,
                signal.SIGKILL,
            ]
            child = go_on(zygote, folder, name, options, **({"die": die} if inside else {}))
            if not inside:
                time.sleep(chance.uniform(0.02, usual))
                child.signal(signal.SIGKILL)
            if child.wait() == 0:
                break
            assert child.code == -signal.SIGKILL, child.errors
            kills += 1
        assert_same_run(whole, folder / "checkpoints" / name)
        assert not list((folder / "checkpoints" / name).glob(".*"))
        runs += 1
    record(1, f"{kills} kills in {runs} runs of {min(runs, len(KINDS))} kinds, all ended alike")


def check_after_failure(child: Child, run: Path) -> None:
    """A save failed: it was said, what is there is whole, and nothing else is there."""
    assert child.code == 1, child.errors
    assert "Traceback" not in child.errors
    error = child.errors[child.errors.index("Error:") :]
    assert len(error.strip().splitlines()) <= 2
    assert str(run.name) in error
    if run.exists():
        assert not list(run.glob(".*"))
        for path in run.glob("*.npz"):
            load_checkpoint(path)


@pytest.mark.parametrize("kind", ["file system", "limit"])
def test_2_a_full_disk(
    zygote: Zygote, folder: Path, count: Count, record: Record, kind: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    options = {"cell": "lstm"}
    whole = whole_run(zygote, folder, options)
    most = 4 * (whole / "last.npz").stat().st_size
    places = count("full", 4, 40)
    failed = 0
    for number in range(places):
        room = most * number // places
        arguments = ["train", "play.txt", "--name", "x", *lively(**options), "--quiet"]
        if kind == "limit":
            runs_dir = folder / f"limit-{number}"
            child = zygote.run(
                *arguments, "--runs-dir", runs_dir, cwd=folder, file_limit=max(2000, room)
            )
        else:
            runs_dir = request.getfixturevalue("tmpfs")(most)
            filler = runs_dir / "filler"
            filler.write_bytes(b"x" * (most - room))
            child = zygote.run(*arguments, "--runs-dir", runs_dir, cwd=folder)
        if child.code:
            failed += 1
            check_after_failure(child, runs_dir / "x")
            assert "MB are free there" in child.errors or "metrics.jsonl" in child.errors
        if kind == "file system":
            filler.unlink()
        if Run(runs_dir / "x").saved_at() is not None:
            again = zygote.run("train", "--resume", runs_dir / "x", "--quiet", cwd=folder)
            assert again.code == 0, again.errors
            assert_same_run(whole, runs_dir / "x")
    assert failed
    record(2, f"{kind}: {failed} of {places} runs met its end, and went on when there was room")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("phase", "function", "trained"),
    [
        ("reading", "charlstm.text.passes.count_code_points", False),
        ("training", "charlstm.training.schedule.learning_rate", True),
        ("evaluating", "charlstm.training.evaluation.validate", True),
        ("previewing", "charlstm.training.preview.LanguageModel.generate", True),
        ("saving", "os.replace", True),
        ("syncing", "os.fsync", True),
    ],
)
def test_7_signals_in_every_phase(
    zygote: Zygote, folder: Path, count: Count, record: Record, number: signal.Signals,
    phase: str, function: str, trained: bool,
) -> None:  # fmt: skip
    times = count("signals", 1, 20)
    options = {"cell": "lstm", "sample-every": 90}
    whole = whole_run(zygote, folder, options)
    chance = random.Random(7)
    for turn in range(times):
        name = f"{phase}-{turn}"
        calls = {"reading": 1, "training": 150, "evaluating": 3, "previewing": 3}.get(phase, 20)
        first = 4 if phase in ("saving", "syncing") else 1  # the earliest are the start's own
        die = [function, chance.randint(first, calls), chance.random() < 0.5, number]
        child = go_on(zygote, folder, name, options, die=die)
        assert child.wait() == 128 + number, child.errors
        assert "Traceback" not in child.errors
        if not trained:
            assert not (folder / "checkpoints" / name).exists()
            continue
        command = child.errors.strip().splitlines()[-1]
        assert command == f"charlstm train --resume checkpoints/{name}"
        again = zygote.run(*command.split()[1:], "--quiet", cwd=folder)
        assert again.code == 0, again.errors
        assert_same_run(whole, folder / "checkpoints" / name)
    record(7, f"{phase}, {number.name}: {times} times")


class Keeping(RuleBasedStateMachine):
    """Saves, damage, deaths and resumes in any order, against what should be on disk."""

    folder: Path

    @initialize(keep=st.integers(0, 3))
    def begin(self, keep: int) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.run, lock = Run.create(self.folder, "x", "x")
        lock.release()
        self.keep, self.step, self.saved, self.best = keep, 0, -1, -1
        self.damaged: set[str] = set()  # names of files
        self.earlier: set[int] = set()  # steps that were `last.npz` once
        self.save()

    @property
    def intact(self) -> set[int]:
        """Steps that a resume can start from."""
        steps = {step for step, path in self.run.numbered() if path.name not in self.damaged}
        return steps | ({self.saved} if "last.npz" not in self.damaged else set())

    def arrays(self, step: int) -> dict[str, Any]:
        return {"model/x": np.full(3, step, dtype=np.float32)}

    @rule(steps=st.integers(1, 50))
    def train(self, steps: int) -> None:
        self.step += steps

    @rule()
    def save(self) -> None:
        before = {path.name for _, path in self.run.numbered()}
        self.run.save_last(
            {"step": self.step}, self.arrays(self.step), previous_step=self.saved, keep=self.keep
        )
        # What was the last is a numbered one now, and as whole as it was.
        name = f"step-{self.saved:08d}.npz"
        if name not in before and "last.npz" in self.damaged:
            self.damaged.add(name)
        self.damaged.discard("last.npz")
        self.earlier |= {self.saved} - {-1}
        self.saved = self.step
        assert self.step in self.intact

    @rule()
    def save_best(self) -> None:
        self.run.save_best({"step": self.step}, self.arrays(self.step))
        self.best = self.step

    @rule(data=st.data())
    def damage_the_newest(self, data: st.DataObject) -> None:
        content = bytearray(self.run.last.read_bytes())
        if not content:
            return  # nothing is left of it already
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["flip", "cut"]))
        if kind == "flip":
            content[place] ^= 1 << data.draw(st.integers(0, 7))
        # A new file: a damaged disk does not reach the other name of the same content.
        self.run.last.unlink()
        self.run.last.write_bytes(content if kind == "flip" else content[:place])
        try:
            load_checkpoint(self.run.last)
        except CheckpointError:
            self.damaged.add("last.npz")

    @rule()
    def die_in_a_save(self) -> None:
        (self.run.folder / f".last.npz.{self.step}.tmp").write_bytes(b"half a file")

    @precondition(lambda self: self.intact)
    @rule()
    def resume(self) -> None:
        self.run.clear_temporary_files()
        assert not list(self.run.folder.glob(".*"))
        warnings: list[str] = []
        paths = [path for path in self.run.checkpoints() if path.exists()]
        path, found = first_intact(paths, None, warnings.append)
        assert found.meta["step"] == max(self.intact)
        assert bool(warnings) == (path != self.run.last)
        assert found.meta["step"] not in self.damaged
        if path == self.run.last:
            self.step = self.saved

    @invariant()
    def the_best_stays(self) -> None:
        if getattr(self, "best", -1) >= 0:
            assert load_checkpoint(self.run.best).meta["step"] == self.best

    @invariant()
    def exactly_as_many_as_asked_for(self) -> None:
        if hasattr(self, "run"):
            steps = [step for step, _ in self.run.numbered()]
            assert steps == (sorted(self.earlier)[-self.keep :] if self.keep else [])


def test_9_retention(tmp_path: Path, count: Count, record: Record) -> None:
    sequences = count("sequences", 40, 1000)
    Keeping.folder = tmp_path / "runs"
    run_state_machine_as_test(
        Keeping,
        settings=settings(
            max_examples=sequences, stateful_step_count=20, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    record(9, f"{sequences} sequences of saves, damage, deaths and resumes")


def test_10_one_trainer_a_run(zygote: Zygote, folder: Path, count: Count, record: Record) -> None:
    times = count("rivals", 2, 20)
    run = folder / "checkpoints" / "x"
    arguments = ["train", "play.txt", "--name", "x", *lively(epochs=10**6), "--quiet"]
    saved_at = 0

    def saved_again() -> bool:
        return (run / "best.npz").exists() and (run / "last.npz").stat().st_mtime_ns > saved_at

    for _ in range(times):
        owner = zygote.start(*arguments, cwd=folder)
        wait_until(saved_again)  # so the owner has the lock
        rival = zygote.run("train", "--resume", "x", cwd=folder)
        assert rival.code == 1
        assert "being trained by another process" in rival.errors
        assert not owner.ended(), owner.errors
        owner.signal(signal.SIGKILL)
        owner.wait()
        saved_at = (run / "last.npz").stat().st_mtime_ns
        arguments = ["train", "--resume", "x", "--quiet"]  # and the lock is gone with its owner
    record(10, f"{times} owners killed, {times} rivals refused")


def test_11_readers_see_whole_checkpoints(
    zygote: Zygote, folder: Path, count: Count, record: Record
) -> None:
    reads = count("reads", 200, 5000)
    run = folder / "checkpoints" / "x"
    writer = zygote.start(
        "train", "play.txt", "--name", "x", *lively(epochs=10**6, save_every=1, eval_every=5),
        "--quiet", cwd=folder,
    )  # fmt: skip
    wait_until((run / "best.npz").exists)
    steps: set[int] = set()
    for turn in range(reads):
        path = run / ("best.npz" if turn % 4 == 0 else "last.npz")
        steps.add(load_checkpoint(path).meta["progress"]["step"])
    assert not writer.ended(), writer.errors
    writer.signal(signal.SIGKILL)
    writer.wait()
    assert len(steps) > reads // 50, "the writer hardly wrote meanwhile"
    record(11, f"{reads} reads, {len(steps)} different checkpoints seen")


class Disk:
    """A model of a disk that forgets what was not synced, fed by the calls that a save makes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[tuple[Any, ...]] = []

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real_fsync, real_replace, real_link, real_unlink = os.fsync, os.replace, os.link, os.unlink

        def fsync(descriptor: int) -> None:
            real_fsync(descriptor)
            path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
            content = None if path.is_dir() else path.read_bytes()
            self.events.append(("sync", path.name, content))

        def replace(source: Any, target: Any) -> None:
            # What was written after the last sync would be lost: then this is not what was synced.
            self.events.append(("rename", Path(source).name, Path(target).name))
            real_replace(source, target)

        def link(source: Any, target: Any) -> None:
            real_link(source, target)
            self.events.append(("link", Path(source).name, Path(target).name))

        def unlink(path: Any, *arguments: Any, **keywords: Any) -> None:
            real_unlink(path, *arguments, **keywords)
            self.events.append(("unlink", Path(path).name))

        for name, function in (
            ("fsync", fsync), ("replace", replace), ("link", link), ("unlink", unlink),
        ):  # fmt: skip
            monkeypatch.setattr(os, name, function)

    def after_power_loss(self, events: list[tuple[Any, ...]]) -> list[dict[str, bytes]]:
        """What the folder may hold: names as they are, or as they were at its last sync."""
        names: dict[str, bytes] = {}
        synced: dict[str, bytes] = {}
        for kind, *details in events:
            if kind == "sync" and details[1] is None:
                synced = dict(names)
            elif kind == "sync":
                names[details[0]] = details[1]
            elif kind == "rename":
                # A file that was renamed unsynced would be empty.
                names[details[1]] = names.pop(details[0], b"")
            elif kind == "link":
                names[details[1]] = names.get(details[0], b"")
            else:
                names.pop(details[0], None)
        return [names, synced]


def test_17_power_loss(
    tmp_path: Path, count: Count, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = count("power", 6, 60)
    run, lock = Run.create(tmp_path / "runs", "x", "x")
    lock.release()
    disk = Disk(run.folder)
    disk.watch(monkeypatch)
    whole: set[bytes] = set()
    for number in range(saves):
        arrays = {"model/x": np.full(3, number, dtype=np.float32)}
        run.save_last({"step": number}, arrays, previous_step=number - 1, keep=2)
        whole.add(run.last.read_bytes())
        if number % 2:
            run.save_best({"step": number}, arrays)
            whole.add(run.best.read_bytes())
    monkeypatch.undo()
    assert {event[0] for event in disk.events} == {"sync", "rename", "link", "unlink"}
    # From the first folder sync on, there is always something to resume from.
    first_save = next(n for n, (kind, *rest) in enumerate(disk.events) if rest[-1] is None)
    states = 0
    for end in range(len(disk.events) + 1):
        for names in disk.after_power_loss(disk.events[:end]):
            states += 1
            checkpoints = {name for name in names if name.endswith(".npz")}
            for name in checkpoints:
                assert names[name] in whole, (end, name)
            if end > first_save:
                assert "last.npz" in checkpoints
    record(17, f"{len(disk.events)} calls of {saves} saves, {states} states after a power cut")
