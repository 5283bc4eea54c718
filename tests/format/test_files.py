"""Durable saves where the file system or Windows refuses a call."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.errors import CheckpointError, RunError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.format.files import make_folders
from charlstm.runs.folder import Run

UNSUPPORTED = ["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EBADF"]
ARRAYS = {"model/x": np.zeros(2, dtype=np.float32)}


def path_of(descriptor: int) -> Path:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}"))


@pytest.fixture
def folder_sync(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Path]]:
    """Let the sync of a folder fail with an error number (0: let it work), and record which."""

    def install(number: int) -> list[Path]:
        synced: list[Path] = []
        real = os.fsync

        def fsync(descriptor: int) -> None:
            path = path_of(descriptor)
            if path.is_dir():
                synced.append(path)
                if number:
                    raise OSError(number, os.strerror(number))
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        return synced

    return install


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, folder_sync: Callable[[int], list[Path]], name: str
) -> None:
    synced = folder_sync(getattr(errno, name))
    run, lock = Run.create(tmp_path / "new" / "runs", "x", "x")
    run.save_last({"step": 0}, ARRAYS, previous_step=-1, keep=1)
    run.save_last({"step": 1}, ARRAYS, previous_step=0, keep=1)
    run.metrics.append({"step": 1})
    run.metrics.rewind(1)
    lock.release()
    assert load_checkpoint(run.last).meta["step"] == 1
    assert run.folder in synced


@pytest.mark.parametrize("name", ["EIO", "ENOSPC", "EDQUOT"])
def test_a_real_error_of_a_folder_s_sync(
    tmp_path: Path, folder_sync: Callable[[int], list[Path]], name: str
) -> None:
    folder_sync(getattr(errno, name))
    with pytest.raises(CheckpointError, match="cannot save"):
        save_checkpoint(tmp_path / "x.npz", {}, ARRAYS)
    with pytest.raises(RunError, match="cannot make the run's folder"):
        Run.create(tmp_path / "runs", "x", "x")


def test_a_folder_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its user may make files in it, but not read it."""
    real = os.open

    def refuse(path: Any, *arguments: Any, **keywords: Any) -> int:
        if path == tmp_path:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *arguments, **keywords)

    monkeypatch.setattr(os, "open", refuse)
    save_checkpoint(tmp_path / "x.npz", {"note": 1}, ARRAYS)
    assert load_checkpoint(tmp_path / "x.npz").meta["note"] == 1


def test_new_folders_are_synced_in_their_parents(
    tmp_path: Path, folder_sync: Callable[[int], list[Path]]
) -> None:
    synced = folder_sync(0)
    run, lock = Run.create(tmp_path / "a" / "b", "x", "x")
    lock.release()
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
    del synced[:]
    make_folders(run.folder)
    assert synced == []
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(OSError, match=r"is not a folder"):
            make_folders(path)


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
int fsync(int descriptor) {
    struct stat status;
    if (fstat(descriptor, &status) == 0 && S_ISDIR(status.st_mode)) {
        errno = atoi(getenv("FOLDER_SYNC_ERRNO"));
        return -1;
    }
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    return real(descriptor);
}
"""


@pytest.mark.skipif(
    sys.platform != "linux" or shutil.which("gcc") is None, reason="needs gcc and LD_PRELOAD"
)
def test_a_library_that_refuses_to_sync_folders(tmp_path: Path) -> None:
    """The same below Python: a shim around the C library's fsync."""
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", "shim.so", "shim.c", "-ldl"], cwd=tmp_path, check=True
    )
    script = (
        "from pathlib import Path\n"
        "from charlstm.runs.folder import Run\n"
        "run, lock = Run.create(Path('runs'), None, 'x')\n"
        "run.save_last({}, {}, previous_step=-1, keep=1)\n"
    )
    for name, works in (("EINVAL", True), ("EOPNOTSUPP", True), ("EIO", False)):
        env = {"LD_PRELOAD": str(tmp_path / "shim.so"), "PYTHONPATH": str(Path.cwd())}
        env["FOLDER_SYNC_ERRNO"] = str(getattr(errno, name))
        result = subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (result.returncode == 0) == works, (name, result.stderr)
    assert "RunError" in result.stderr
    assert len(list(tmp_path.glob("runs/*/last.npz"))) == 2
