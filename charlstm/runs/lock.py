"""A lock on a run's folder, so that two processes never train the same run."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

from charlstm.errors import RunError


class RunLockedError(RunError):
    """Another process is training the run."""


class RunLock:
    """An exclusive lock, held until `release` or the end of the process.

    It is an operating system lock on the folder itself, so no lock file can remain. On systems
    without it (Windows, some network file systems) `held` is False, and nothing is locked.

    Args:
        folder: the run's folder.

    Raises:
        RunLockedError: another process is training the run.
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
                    "Wait for it or stop it first. `charlstm sample` can use the run meanwhile."
                ) from error

    def release(self) -> None:
        """Release the lock; a second call has no effect."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        self.held = False

    def __del__(self) -> None:
        self.release()


def is_locked(folder: Path) -> bool:
    """Whether a process is training the run in a folder."""
    try:
        RunLock(folder).release()
    except RunLockedError:
        return True
    except RunError:
        return False  # not a folder, or it cannot be opened
    return False
