"""Durable changes to files and folders: atomic replacement, synced folders, retries on Windows.

A rename is durable only after its folder was synced. Not every file system can sync a folder
(CIFS and some shared folders report EINVAL or ENOTSUP). There a save is still atomic for whoever
reads the file, and how soon it survives a power cut is up to the file system.

Windows neither replaces nor removes a file that another process holds open. Readers hold
checkpoints open only while they load, so such a call is repeated for a few seconds.
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
# A folder may also need to be open for writing (EBADF), which no folder can be, or not be open to
# its user for reading.
_FOLDER_SYNC_UNSUPPORTED = _SYNC_UNSUPPORTED | {errno.EBADF, errno.EACCES, errno.EPERM}
# ERROR_ACCESS_DENIED (also: removal is pending), ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION,
# ERROR_USER_MAPPED_FILE.
_SHARING_ERRORS = frozenset({5, 32, 33, 1224})
_WAITS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # seconds; 3.9 in all


def expand_home(path: str) -> str:
    """The path with a leading `~` or `~user` replaced, as a shell does it for a separate word.

    Shells leave it alone within a word such as `--runs-dir=~/runs`. Where no such user is known
    (`~$report.txt` is a file's name) the path is as it was.
    """
    return os.path.expanduser(path) if path.startswith("~") else path


def retry_while_shared(action: Callable[[], _Result]) -> _Result:
    """The action's result; repeated while Windows reports that another process uses the file.

    Raises:
        OSError: the action's error, at once if it is another one, else after about 4 seconds.
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
    """Whether something other than a regular file has that name; a link is not a regular file."""
    return os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode)


def replace_file(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Have `write` fill a new file and put it in `path`'s place: temporary name, fsync, rename.

    Raises:
        OSError: it cannot be done; no temporary file is left. Unless the last step failed, the
            sync of the folder, `path` is as it was.
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
    """Remove a file; none of that name is no error.

    Raises:
        OSError: it cannot be removed.
    """
    retry_while_shared(lambda: path.unlink(missing_ok=True))


def make_folders(path: Path) -> None:
    """Make a folder and its missing parents, and sync the folder that holds each new one.

    Raises:
        OSError: it cannot be made, or something other than a folder has that name.
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
    """Make changes to a folder's entries durable, where the file system can do that.

    Raises:
        OSError: a real error, such as EIO.
    """
    if os.name != "posix":
        return  # elsewhere a folder cannot be opened, and a rename is durable by itself
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
    """`os.fsync`, for which "not supported" is no error."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in unsupported:
            raise


def _mode_for(path: Path) -> int:
    """Permissions of the file to replace, or of a new file under the process's umask."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
