"""A run stays what it is: from any step, over a long time, at its bounds, on any threads."""

from __future__ import annotations

import dataclasses
import itertools
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.config import SECTIONS, Config, FillConfig, SampleConfig
from charlstm.config.fields import Section, flag_of, type_of
from charlstm.errors import CharlstmError, ConfigError, DivergenceError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.training.events import Stepped
from charlstm.training.loop import Trainer
from charlstm.training.resume import resume_run
from charlstm.training.setup import new_run
from tests.system.conftest import Count, Record, lively
from tests.zygote import Zygote

BASE: dict[str, Any] = {
    "hidden_size": 8, "maxlen": 8, "batch_size": 3, "epochs": 2, "sample_every": 0, "log_every": 1,
    "dropout": 0.2, "precision": "float32", "save_every": 10**6, "keep": 0,
    "kernel": "torch",
}  # fmt: skip
PLANS: list[dict[str, Any]] = [
    {},
    {"stateless": True, "step": 3},
    {"stateless": True, "step": 7, "targets": "last"},
    {"targets": "last"},
    {"val_fraction": 0.0},
    {"direction": "both"},
]


def start(folder: Path, name: str, **options: Any) -> Trainer:
    path = folder / "x.txt"
    if not path.exists():
        path.write_text("the light is low and the wind is from the north\n" * 12)
    return new_run(
        [str(path)], Config().override(BASE | options), runs_dir=folder / "runs", name=name,
        notice=lambda _text: None,
    )  # fmt: skip


def steps_of(trainer: Trainer) -> list[float]:
    """The loss of every step to the end."""
    return [event.nats for event in trainer.train() if isinstance(event, Stepped)]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_3_resume_from_every_step(
    tmp_path: Path, plan: dict[str, Any], count: Count, record: Record
) -> None:
    whole = steps_of(start(tmp_path, "whole", **plan))
    most = count("steps", 12, 10**6)
    per_epoch = len(whole) // 2
    edges = {1, 2, per_epoch - 1, per_epoch, per_epoch + 1, len(whole) - 1}
    chosen = sorted(edges | set(range(1, len(whole), max(1, len(whole) // most))))
    for stop in chosen:
        trainer = start(tmp_path, f"stop-{stop}", **plan)
        losses: list[float] = []
        for event in trainer.train():
            if isinstance(event, Stepped):
                losses.append(event.nats)
                if event.step == stop:
                    trainer.request_stop()
        again = resume_run(trainer.run, {}, [], notice=lambda _text: None)
        losses += steps_of(again)
        assert losses == whole, stop
    record(3, f"{plan or 'default plan'}: {len(chosen)} of {len(whole)} steps")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_8_a_loss_that_explodes(
    tmp_path: Path, optimizer: str, precision: str, record: Record
) -> None:
    outcomes = []
    for rate, injected in ((1e6, False), (0.01, True)):
        name = f"x{rate:g}"
        trainer = start(
            tmp_path, name, optimizer=optimizer, precision=precision, lr=rate, clip_norm=0.0,
            save_every=1, epochs=4, weight_decay=0.0,
        )  # fmt: skip
        try:
            for event in trainer.train():
                if injected and isinstance(event, Stepped) and event.step == 9:
                    trainer.state.carry[0][0].fill_(math.inf)
        except DivergenceError as error:
            assert "--lr" in str(error)
            outcomes.append("stopped")
        else:
            assert not injected
            outcomes.append("ended")
        for path in trainer.run.folder.glob("*.npz"):
            for array in load_checkpoint(path).part("model").values():
                assert np.isfinite(array).all()
        if injected:
            assert load_checkpoint(trainer.run.last).meta["progress"]["step"] == 9
    record(8, f"{optimizer} {precision}: {' and '.join(outcomes)}, last weights finite")


def memory_of(pid: int) -> float:
    """A process's resident memory, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def test_16_memory_stays_flat(zygote: Zygote, folder: Path, count: Count, record: Record) -> None:
    wanted = count("long_steps", 1500, 20_000)
    child = zygote.start(
        "train", "play.txt", "--name", "x", *lively(epochs=10**6, save_every=500, eval_every=500),
        "--quiet", cwd=folder,
    )  # fmt: skip
    log = folder / "checkpoints" / "x" / "metrics.jsonl"

    def step() -> int:
        time.sleep(0.05)
        return log.read_bytes().count(b"\n") * 10 if log.exists() else 0

    while step() < wanted // 4:
        assert not child.ended(), child.errors
    early = memory_of(child.pid)
    while step() < wanted:
        assert not child.ended(), child.errors
    late = memory_of(child.pid)
    child.signal(9)
    child.wait()
    assert late - early < 8, (early, late)
    characters = count("long_text", 150_000, 10_000_000)
    child = zygote.start(
        "sample", "x", "--length", characters, cwd=folder, stdout=str(folder / "long.txt")
    )
    (folder / "long.txt").touch()
    while (size := (folder / "long.txt").stat().st_size) < characters // 4:
        time.sleep(0.02)
    early_text = memory_of(child.pid)
    while (size := (folder / "long.txt").stat().st_size) < characters * 0.9 and not child.ended():
        time.sleep(0.02)
    late_text = memory_of(child.pid) if not child.ended() else early_text
    assert child.wait() == 0, child.errors
    assert size >= characters * 0.9
    assert late_text - early_text < 4
    record(
        16, f"{wanted:,} steps: {early:.1f} to {late:.1f} MB; {characters:,} characters: "
        f"{early_text:.1f} to {late_text:.1f} MB",
    )  # fmt: skip


def border_values(spec: dataclasses.Field[Any], kind: type) -> list[tuple[Any, bool]]:
    """Values at a range's bounds and beyond, and whether each may pass."""
    within = spec.metadata["within"]
    values = [within.low, within.high]
    if kind is float:
        beyond: list[Any] = [
            math.nan, math.inf, -math.inf, 10**400, -(10**400), -1e308, 1e308, True, "1", None,
            np.nextafter(within.low, -math.inf), np.nextafter(within.high, math.inf), [], 1j,
        ]  # fmt: skip
    else:
        values = [int(value) for value in values]
        beyond = [
            within.low - 1, within.high + 1, -(2**63), 2**64, 10**400, 1.5, math.nan, math.inf,
            True, "1", None, [], 1j,
        ]  # fmt: skip
    found = []
    for value in values + beyond:
        plain = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
        fits = plain and value in within and (kind is float or isinstance(value, int))
        found.append((value, fits or (value is None and spec.default is None)))
    return found


def test_19_every_number_at_its_bounds(zygote: Zygote, folder: Path, record: Record) -> None:
    done = 0
    kinds: list[type[Section]] = [*SECTIONS.values(), SampleConfig, FillConfig]
    for kind in kinds:
        for spec in dataclasses.fields(kind):  # type: ignore[arg-type]
            plain = type_of(kind, spec.name)
            if plain not in (int, float):
                continue
            for value, good in border_values(spec, plain):
                done += 1
                try:
                    section = kind(**{spec.name: value})
                except ConfigError as error:
                    # A value within its range may still contradict another option.
                    assert not good or "--" in str(error).replace(flag_of(spec), "", 1), (
                        spec.name, value,
                    )  # fmt: skip
                    assert flag_of(spec) in str(error)
                    assert len(str(error)) < 400
                else:
                    assert good, (spec.name, value)
                    kept = getattr(section, spec.name)
                    assert kept is None or type(kept) is plain
    for flag, value in itertools.product(
        ("--lr", "--hidden-size", "--seed", "--dropout", "--clip-norm"),
        ("nan", "inf", "-inf", "-1", "1e999", "9" * 30, "", "x", "0x10", "1_0"),
    ):
        child = zygote.run("train", "play.txt", f"{flag}={value}", "--name", "/", cwd=folder)
        assert child.code == 2, (flag, value, child.errors)
        assert "Traceback" not in child.errors
        done += 1
    assert issubclass(ConfigError, CharlstmError)
    record(19, f"{done} values")


TOLERANCE = 1e-3
"""Between losses on 1 and on 2 threads, relative: sums are rounded in another order."""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_20_threads(folder: Path, record: Record, precision: str) -> None:
    losses: list[list[float]] = []
    kernel = "auto"  # another kernel rounds otherwise: the second run has that of the first
    for threads in (1, 2):
        name = f"threads-{threads}"
        environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        subprocess.run(
            [sys.executable, "-m", "charlstm", "train", "play.txt", "--name", name, "--threads",
             str(threads), "--hidden-size", "128", "--maxlen", "32", "--batch-size", "32",
             "--epochs", "4", "--precision", precision, "--kernel", kernel,
             "--sample-every", "0", "--quiet"],
            cwd=folder, check=True, env=environment,
        )  # fmt: skip
        last = load_checkpoint(folder / "checkpoints" / name / "last.npz")
        losses.append([e["val_nats"] for e in last.meta["progress"]["history"]])
        kernel = last.meta["config"]["train"]["kernel"]
    apart = max(abs(a - b) / a for a, b in zip(*losses, strict=True))
    assert apart < TOLERANCE
    record(20, f"{precision}: losses on 1 and 2 threads {apart:.1e} apart")
