"""Durable changes to files and folders: atomic replacement, synced folders, retries on Windows.

A rename is durable only after its folder is synced. Some file systems cannot sync a folder (CIFS
and some shared folders report EINVAL or ENOTSUP). There a save is still atomic for readers, but
when it survives a power failure depends on the file system.

Windows neither replaces nor removes a file that another process has open. Readers open checkpoints
only while loading, so such calls are retried for a few seconds.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, TypeVar

_Result = TypeVar("_Result")
_SYNC_UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
# Some systems require a descriptor open for writing (EBADF), which a folder cannot have. The user
# may also lack permission to read the folder.
_FOLDER_SYNC_UNSUPPORTED = _SYNC_UNSUPPORTED | {errno.EBADF, errno.EACCES, errno.EPERM}
# ERROR_ACCESS_DENIED (also while removal is pending), ERROR_SHARING_VIOLATION,
# ERROR_LOCK_VIOLATION, ERROR_USER_MAPPED_FILE.
_SHARING_ERRORS = frozenset({5, 32, 33, 1224})
_WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds; 3.9 in all


def expand_home(path: str) -> str:
    """The path with a leading `~` or `~user` expanded, as a shell expands a separate word.

    Shells do not expand it within a word such as `--runs-dir=~/runs`. If the user is unknown
    (`~$report.txt` is a file name), the path is unchanged.
    """
    return os.path.expanduser(path) if path.startswith("~") else path


def retry_while_shared(action: Callable[[], _Result]) -> _Result:
    """The result of `action`, retried while Windows reports that another process uses the file.

    Raises:
        OSError: the action's error, after about 4 seconds of retries; at once for other errors.
    """
    for wait in _WAITS:
        try:
            return action()
        except OSError as error:
            if getattr(error, "winerror", None) not in _SHARING_ERRORS:
                raise
        time.sleep(wait)
    return action()


def is_no_file(path: Path) -> bool:
    """Whether the path exists and is not a regular file; a link does not count as one."""
    return os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode)


def replace_file(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Replace `path` atomically by a file that `write` fills: temporary name, fsync, rename.

    Raises:
        OSError: it fails. No temporary file remains. `path` is unchanged, unless only the final
            sync of the folder failed.
    """
    if is_no_file(path):
        raise OSError(None, "it is not a regular file, and will not be replaced")
    descriptor, temporary = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.chmod(temporary, _mode_for(path))
            write(file)
            file.flush()
            _sync(file.fileno(), _SYNC_UNSUPPORTED)
        retry_while_shared(lambda: os.replace(temporary, path))
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_file(path: Path) -> None:
    """Remove a file, if it exists.

    Raises:
        OSError: it cannot be removed.
    """
    retry_while_shared(lambda: path.unlink(missing_ok=True))


def make_folders(path: Path) -> None:
    """Create a folder and its missing parents, and sync the parent of each new one.

    Raises:
        OSError: it cannot be created, or a part of the path is not a folder.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{path} is not a folder")
        if path == path.parent:
            break
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make changes to a folder's entries durable, if the file system supports it.

    Raises:
        OSError: an error other than missing support, such as EIO.
    """
    if os.name != "posix":
        return  # on Windows, folders cannot be opened, and renames are durable
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in _FOLDER_SYNC_UNSUPPORTED:
            return
        raise
    try:
        _sync(descriptor, _FOLDER_SYNC_UNSUPPORTED)
    finally:
        os.close(descriptor)


def _sync(descriptor: int, unsupported: frozenset[int]) -> None:
    """`os.fsync`, ignoring the errors of missing support."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in unsupported:
            raise


def _mode_for(path: Path) -> int:
    """Permissions of the existing file, or of a new file under the process's umask."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
