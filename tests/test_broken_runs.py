"""Runs that are damaged, unreadable, or removed while they are listed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import CheckpointError, RunError
from charlstm.format.checkpoint import load_checkpoint, load_meta, save_checkpoint
from charlstm.runs.find import find_run, first_intact, list_runs, load_model_checkpoint
from charlstm.runs.folder import Run
from tests.test_runs import create, save


def break_(folder: Path, kind: str) -> None:
    """Put something into a folder of runs that is not a run, and cannot be one."""
    path = folder / kind
    if kind == "self link":
        path.symlink_to(path)
    elif kind == "two links":
        path.symlink_to(folder / "other link")
        (folder / "other link").symlink_to(path)
    elif kind == "dangling link":
        path.symlink_to(folder / "nowhere")
    elif kind == "file":
        path.write_text("x")
    elif kind == "link to a file":
        path.symlink_to(__file__)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
        if kind == "folder of broken links":
            for name in ("last.npz", "best.npz", "step-00000001.npz"):
                (path / name).symlink_to(path / name)
        elif kind == "folder of no files":
            (path / "last.npz").mkdir()
            os.mkfifo(path / "best.npz")
            (path / "step-00000001.npz").symlink_to("/dev/zero")


BROKEN = [
    "self link", "two links", "dangling link", "file", "link to a file", "pipe", "empty folder",
    "folder of broken links", "folder of no files",
]  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_entry_beside_a_run(tmp_path: Path, kind: str) -> None:
    run = create(tmp_path, "x")
    save(run, 0, -1)
    break_(tmp_path, kind)
    assert list_runs(tmp_path) == [run]
    assert find_run(None, tmp_path) == run
    assert load_model_checkpoint(None, tmp_path, pytest.fail)[0] == run.last
    with pytest.raises(RunError, match=r"is not a run|is one file"):
        find_run(kind, tmp_path)
    if kind != "empty folder":
        with pytest.raises(RunError, match="already"):
            create(tmp_path, kind)
    assert create(tmp_path, None, kind).folder.is_dir()


def test_a_folder_that_cannot_be_read_beside_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(tmp_path, "x")
    save(run, 0, -1)
    save(create(tmp_path, "y"), 0, -1)
    real = os.listdir

    def refuse(path: Path) -> list[str]:  # root may read any folder
        if Path(path).name == "y":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert list_runs(tmp_path) == [run]


def test_a_checkpoint_that_is_removed_after_it_was_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(tmp_path, "x")
    for step, previous in ((0, -1), (10, 0), (20, 10)):
        save(run, step, previous)
    listed = [run.best, *run.checkpoints()]
    run.numbered()[-1][1].unlink()
    run.last.unlink()
    path, checkpoint = first_intact(listed, None, pytest.fail)
    assert checkpoint.meta["step"] == 0
    path.unlink()
    for paths in (listed, []):
        with pytest.raises(CheckpointError, match="there is no checkpoint"):
            first_intact(paths, None, pytest.fail)
    # The trainer saves and removes between listing and opening: what is there now is found.
    save(run, 30, -1)
    save(run, 40, 30)
    run.last.write_bytes(b"x")
    stale = iter([[run.last, tmp_path / "gone.npz"]])
    real = Run.checkpoints
    monkeypatch.setattr(Run, "checkpoints", lambda run: next(stale, real(run)))
    assert load_model_checkpoint("x", tmp_path, print)[1].meta["step"] == 30


def test_a_checkpoint_that_is_removed_while_its_run_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = create(tmp_path, "x")
    save(run, 0, -1)
    real = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: ["step-00000009.npz", *real(path)])
    assert run.saved_at() == run.last.stat().st_mtime


def test_reading_meta_alone_reads_little(tmp_path: Path) -> None:
    sizes = []
    for numbers in (1 << 10, 1 << 20):
        path = tmp_path / f"{numbers}.npz"
        save_checkpoint(path, {"step": 3}, {"model/x": np.zeros(numbers, dtype=np.float32)})
        before = bytes_read()
        assert load_meta(path)["step"] == 3
        sizes.append(bytes_read() - before)
    assert max(sizes) < 65536
    content = bytearray(path.read_bytes())
    content[2_000_000] ^= 1
    path.write_bytes(content)
    assert load_meta(path)["step"] == 3
    with pytest.raises(CheckpointError, match="not an intact checkpoint"):
        load_checkpoint(path)
    path.write_bytes(content[:-5])
    with pytest.raises(CheckpointError, match="not an intact checkpoint"):
        load_meta(path)


def bytes_read() -> int:
    """How many bytes this process has read from files so far, as Linux counts them."""
    file = Path("/proc/self/io")
    if not file.exists():
        pytest.skip("needs Linux's /proc")
    return int(file.read_text().split()[1])


def test_a_damaged_newest_checkpoint_falls_back(tmp_path: Path) -> None:
    run = create(tmp_path, "x", "x")
    for step, previous in ((0, -1), (10, 0), (20, 10)):
        save(run, step, previous)
    run.last.write_bytes(run.last.read_bytes()[:-5])
    warnings: list[str] = []
    path, checkpoint = first_intact(run.checkpoints(), None, warnings.append)
    assert checkpoint.meta["step"] == 10
    assert path.name == "step-00000010.npz"
    assert "last.npz" in warnings[0]
    assert "step-00000010.npz" in warnings[1]
    # Writing falls back in the same way, from a damaged best, too.
    run.best.write_bytes(b"x")
    assert load_model_checkpoint("x", tmp_path, warnings.append)[0] == path
    assert "best.npz" in warnings[2]
    for _, path in run.numbered():
        path.write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"last\.npz.*\n.*None of the run's 3"):
        first_intact(run.checkpoints(), None, warnings.append)
