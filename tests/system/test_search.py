"""A search that is killed, stopped, divided among processes, and shared by machines."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from charlstm.search.folder import SearchFolder
from charlstm.search.storage import JOURNAL
from tests.conftest import Program
from tests.search.common import QUICK, TRY
from tests.search.test_storage import study_in
from tests.system.conftest import Count, Record
from tests.zygote import Child, Zygote, wait_until

SEARCH = ["search", "play.txt", *QUICK, *TRY, "--trials", "4", "--json"]
PLACE = Path("checkpoints") / "play-search"


def results(text: str | bytes) -> dict[str, tuple[Any, ...]]:
    """What a search's JSON says of each run, without times; no run is there twice."""
    rows = json.loads(text)["trials"]
    found = {row["run"]: (row["number"], row["values"], row["state"], row["nats"]) for row in rows}
    assert len(found) == len(rows)
    return found


def run_search(folder: Path, *arguments: str, program: Zygote) -> bytes:
    """A search that nobody disturbs."""
    child = program.run(*arguments, cwd=folder)
    assert child.code == 0, child.errors
    return child.output


def copy_text(folder: Path, name: str) -> Path:
    """Another folder with the text."""
    (folder / name).mkdir()
    shutil.copy(folder / "play.txt", folder / name)
    return folder / name


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_22_no_kill_loses_a_trial(
    zygote: Zygote, folder: Path, count: Count, record: Record, sampler: str
) -> None:
    """Killed at random calls of a save or of the storage, a search is the one that was not."""
    kills = count("search-kills", 4, 50)
    search = [*SEARCH, "--sampler", sampler]
    if sampler == "grid":
        search = ["search", "play.txt", *QUICK, "--sampler", "grid", "--json"]
        search += ["--try", "lr=0.002,0.004", "--try", "cell=lstm,gru"]
    undisturbed = results(run_search(copy_text(folder, "whole"), *search, program=zygote))
    chance, done, rounds = random.Random(22), 0, 0
    while done < kills:
        place = copy_text(folder, f"killed-{rounds}")
        rounds += 1
        while True:
            function = chance.choice(["os.fsync", "os.replace", "os.rename", "os.open"])
            die = [function, chance.randint(1, 60), chance.random() < 0.5]
            child = zygote.run(*search, cwd=place, die=die)
            if child.code == 0:
                break
            assert child.code == -signal.SIGKILL, child.errors
            done += 1
        assert results(child.output) == undisturbed
    record(22, f"{sampler}: {done} kills in {rounds} searches of {len(undisturbed)} runs")


def test_22_ctrl_c_saves_and_the_same_command_continues(
    zygote: Zygote, folder: Path, count: Count, record: Record
) -> None:
    stops = count("search-stops", 3, 20)
    search = [*SEARCH[: -len(["--json"])], "--trial-epochs", "6", "--json"]
    undisturbed = results(run_search(copy_text(folder, "whole"), *search, program=zygote))
    chance = random.Random(7)
    place = copy_text(folder, "stopped")
    for number in range(stops):
        child = zygote.start(*search, cwd=place)
        run = place / PLACE / f"trial-{number % 4:04d}" / "last.npz"
        wait_until(lambda run=run, child=child: run.exists() or child.ended())
        time.sleep(chance.random() / 10)
        child.signal(signal.SIGINT)
        code = child.wait()
        if code == 0:  # it had ended
            break
        assert code == 128 + signal.SIGINT, child.errors
        said = child.errors.splitlines()
        assert said[-2].endswith("stopped; everything is saved. To continue, run the same command:")
        assert said[-1] == "charlstm " + " ".join(search)
        assert child.output == b""
    assert results(run_search(place, *search, program=zygote)) == undisturbed
    record(22, f"Ctrl-C at {stops} times of a search")


def test_22_an_interrupted_trial_resumes_where_it_was(zygote: Zygote, folder: Path) -> None:
    """Its metrics go on from the step that was saved, and do not begin again."""
    search = [*SEARCH[:-1], "--trial-epochs", "40", "--save-every", "5", "--log-every", "1"]
    child = zygote.start(*search, cwd=folder)
    metrics = folder / PLACE / "trial-0000" / "metrics.jsonl"
    wait_until(lambda: metrics.exists() and len(metrics.read_bytes().splitlines()) > 60)
    child.signal(signal.SIGKILL)
    child.wait()
    before = metrics.read_bytes().splitlines()
    again = zygote.start(*search, cwd=folder)
    wait_until(lambda: "trial-0000 is resumed" in again.errors)
    wait_until(lambda: len(metrics.read_bytes().splitlines()) > len(before))
    again.signal(signal.SIGKILL)
    again.wait()
    kept = len(before) // 2
    assert metrics.read_bytes().splitlines()[:kept] == before[:kept]


def test_22_several_processes_share_the_trials(
    zygote: Zygote, folder: Path, count: Count, record: Record
) -> None:
    """Two local processes, and the same command once more; one of them is killed."""
    jobs = ["--trial-epochs", "4", "--sampler", "random"]
    undisturbed = results(run_search(copy_text(folder, "one"), *SEARCH, *jobs, program=zygote))
    place = copy_text(folder, "many")
    first = zygote.start(*SEARCH, *jobs, "--jobs", "2", "--threads", "1", cwd=place)
    children: list[Child] = [first]
    wait_until(lambda: (place / PLACE / "trial-0001").exists() or first.ended())
    assert not first.ended(), first.errors
    # A worker of the first is killed; the second command joins in, and is killed, too.
    second = zygote.start(*SEARCH, *jobs, "--threads", "1", cwd=place)
    workers = children_of(first.pid)
    assert len(workers) >= 2
    os.kill(workers[0], signal.SIGKILL)
    wait_until(lambda: "was ended by SIGKILL" in first.errors or first.ended())
    second.signal(signal.SIGKILL)
    second.wait()
    assert all(child.wait() == 0 for child in children), first.errors
    found = results(first.output)
    # `--threads` and `--jobs` may change the last bits of a loss, but no proposal.
    assert found.keys() >= {f"trial-{n:04d}" for n in range(4)}
    for name in ("trial-0000", "trial-0001", "trial-0002", "trial-0003"):
        assert found[name][:3] == undisturbed[name][:3]
        assert found[name][3] == pytest.approx(undisturbed[name][3], abs=1e-3)
    record(22, "two local processes and a third command, of which two were killed")


def children_of(pid: int) -> list[int]:
    """The child processes of a process that run Python's spawned main function."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_bytes()
        except (OSError, ValueError):  # it has ended
            continue
        if parent == pid and b"spawn_main" in command:
            found.append(int(place.name))
    return sorted(found)


def test_22_workers_end_with_their_parent(zygote: Zygote, folder: Path) -> None:
    search = [*SEARCH, "--jobs", "2", "--threads", "1", "--trial-epochs", "2000"]
    child = zygote.start(*search, cwd=folder)
    wait_until((folder / PLACE / "trial-0001" / "last.npz").exists)
    workers = children_of(child.pid)
    assert len(workers) == 2
    child.signal(signal.SIGKILL)
    child.wait()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert SearchFolder(folder / PLACE).alone


def test_22_sigterm_stops_all_workers(zygote: Zygote, folder: Path) -> None:
    search = [*SEARCH, "--jobs", "2", "--threads", "1", "--trial-epochs", "2000"]
    child = zygote.start(*search, cwd=folder)
    wait_until((folder / PLACE / "trial-0001" / "last.npz").exists)
    child.signal(signal.SIGTERM)
    assert child.wait() == 128 + signal.SIGTERM, child.errors
    assert "everything is saved" in child.errors
    assert SearchFolder(folder / PLACE).alone


def test_22_the_lock_file_of_a_killed_process_is_not_waited_for(tmp_path: Path) -> None:
    study_in(tmp_path).folder.close()
    (tmp_path / f"{JOURNAL}.lock").touch()
    begun = time.monotonic()
    study = study_in(tmp_path)
    study.set_attribute("key", "value")
    assert time.monotonic() - begun < 10  # Optuna's own limit is 30 seconds
    assert study.attribute("key") == "value"
    study.folder.close()


def test_22_pruning_stops_trials_after_whole_epochs(program: Program, corpus_file: Path) -> None:
    """Of six trials the fifth and sixth, at a hopeless rate, are stopped before the last epoch."""
    arguments = ["search", "play.txt", *QUICK[:-1], "4", "--sampler", "grid", "--prune", "--json"]
    rates = "0.003,0.004,0.005,0.006,1e-7,2e-7"
    result = program(*arguments, "--try", f"lr={rates}", "--trials", "7")
    assert result.returncode == 0, result.stderr
    rows = {row["number"]: row for row in json.loads(result.stdout)["trials"] if not row["seed"]}
    pruned = [row for row in rows.values() if row["fault"] == "pruned"]
    assert pruned, rows
    assert all(row["number"] >= 4 and row["nats"] is None for row in pruned)
