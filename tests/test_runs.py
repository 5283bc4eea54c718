from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import CheckpointError, RunError
from charlstm.runs import Run, find_checkpoint, find_run, list_runs, name_from

ARRAYS = {"model/x": np.zeros(2, dtype=np.float32)}


def save(run: Run, step: int, previous: int, keep: int = 2) -> None:
    run.save_last({"step": step}, ARRAYS, previous_step=previous, keep=keep)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hamlet.txt", "hamlet"),
        ("a/b/War and Peace.txt.gz", "War-and-Peace"),
        ("notes/", "notes"),
        ("Три сестры.txt", "Три-сестры"),
        ("..txt", "run"),
        ("v1.2.txt", "v1.2"),
    ],
)
def test_names_from_sources(source: str, name: str) -> None:
    assert name_from(source) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/tmp/x", ".hidden", "-x", "a\nb", "a\x1b[2J", "a" * 201]
)
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match="--name"):
        Run.create(tmp_path / "runs", name, "x")
    assert not (tmp_path / "runs").exists()


def test_names_are_never_reused(tmp_path: Path) -> None:
    assert [Run.create(tmp_path, None, "x.txt").name for _ in range(3)] == ["x", "x-2", "x-3"]
    assert Run.create(tmp_path, "größe 1", "x").folder.is_dir()
    with pytest.raises(RunError, match=r"'x' in .* already\.\n.*--resume"):
        Run.create(tmp_path, "x", "y")


def test_keep_leaves_the_newest_earlier_ones(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", "x")
    previous = -1
    for step in (0, 10, 20, 30):
        save(run, step, previous)
        previous = step
    assert [step for step, _ in run.numbered()] == [10, 20]
    save(run, 40, 30, keep=0)
    assert run.numbered() == []


def test_a_damaged_newest_checkpoint_falls_back(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", "x")
    for step, previous in ((0, -1), (10, 0), (20, 10)):
        save(run, step, previous)
    run.last.write_bytes(run.last.read_bytes()[:-5])
    warnings: list[str] = []
    assert run.load_resumable(warnings.append).meta["step"] == 10
    assert "last.npz" in warnings[0]
    assert "step-00000010.npz" in warnings[1]
    for _, path in run.numbered():
        path.write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"last\.npz"):
        run.load_resumable(warnings.append)


def test_metrics_are_rewound(tmp_path: Path) -> None:
    run = Run.create(tmp_path, "x", "x")
    for step in (1, 2, 3):
        run.log({"step": step, "train_nats": 0.1 + 0.2})
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "tra')
    run.rewind_metrics(2)
    assert [line["step"] for line in run.read_metrics()] == [1, 2]
    assert run.metrics.read_text() == (
        '{"step": 1, "train_nats": 0.30000000000000004}\n'
        '{"step": 2, "train_nats": 0.30000000000000004}\n'
    )


def test_finding_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"no run in .* yet\.\n.*charlstm train"):
        find_run(None, tmp_path / "none")
    first, second = (Run.create(tmp_path, name, "x") for name in ("a", "b"))
    for run in (first, second):
        save(run, 0, -1)
    os.utime(second.last, (1, 1))
    (tmp_path / "empty").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["a", "b"]
    assert find_run(None, tmp_path).name == "a"
    assert find_run("b", tmp_path).name == "b"
    monkeypatch.chdir(tmp_path)
    assert find_run("b", tmp_path / "elsewhere").name == "b"
    with pytest.raises(RunError, match="'c' is no run"):
        find_run("c", tmp_path)
    assert find_checkpoint("a", tmp_path) == Path("a/last.npz")
    first.save_best({}, ARRAYS)
    assert find_checkpoint("a", tmp_path) == Path("a/best.npz")
    assert find_checkpoint("a/last.npz", tmp_path) == Path("a/last.npz")
