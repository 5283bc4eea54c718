"""A lock on a run's folder, so that two trainers never write into one run."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from charlstm.errors import RunError


class RunLockedError(RunError):
    """Another process trains the run."""


class RunLock:
    """Held from its making to `release`, or to the death of the process, however it dies.

    The lock is the operating system's, on the folder itself: no file of it can stay behind.
    Where there is none (Windows, some network file systems) `held` is False, and nothing is
    kept out.

    Args:
        folder: the run's folder.

    Raises:
        RunLockedError: another process trains this run.
        RunError: the folder cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.held = False
        self._descriptor = -1
        if sys.platform == "win32":
            return
        import fcntl  # noqa: PLC0415 - Unix only

        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise RunError(f"cannot open {folder}: {error.strerror or error}.") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.held = True
        except OSError as error:
            self.release()
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise RunLockedError(
                    f"the run in {folder} is being trained by another process.\n"
                    "Wait for it or stop it first; `charlstm sample` can read the run meanwhile."
                ) from error

    def release(self) -> None:
        """Let others train the run; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.held = False

    def __del__(self) -> None:
        self.release()


def is_locked(folder: Path) -> bool:
    """Whether a process trains the run in a folder now."""
    try:
        RunLock(folder).release()
    except RunLockedError:
        return True
    except RunError:
        return False  # no folder, or one that cannot be opened
    return False
