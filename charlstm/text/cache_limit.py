"""The size limit of the cache folder: listing entries, and removing those not in use.

An entry is a file of ids (`*.ids`) and its metadata (`KEY.json`), if present. A process holds a
shared lock on each file of ids that it maps (`hold`). Entries are removed only under an exclusive
lock, so never while in use. On file systems without locks, Linux and macOS remove no entry; Windows
itself does not remove a mapped file.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from charlstm.config.sizes import bytes_of
from charlstm.errors import ConfigError

LIMIT_VARIABLE = "CHARLSTM_CACHE_LIMIT"
DEFAULT_LIMIT = 10_000_000_000
"""Bytes."""
_LOCK_ATTEMPTS = 20
_ABANDONED_SECONDS = 3600.0  # since anything was written to a temporary file


@dataclass(frozen=True)
class Entry:
    """A cache entry.

    Attributes:
        path: the file of ids.
        size: bytes, including its metadata.
        used: time of the last use, in seconds since 1970.
        in_use: whether a process is using it.
    """

    path: Path
    size: int
    used: float
    in_use: bool


def cache_limit() -> int:
    """The limit of the cache folder in bytes: `$CHARLSTM_CACHE_LIMIT`, or 10 GB.

    Raises:
        ConfigError: the variable is not a size.
    """
    value = os.environ.get(LIMIT_VARIABLE, "")
    if not value.strip():
        return DEFAULT_LIMIT
    limit = bytes_of(value)
    if limit is None:
        raise ConfigError(
            f"{LIMIT_VARIABLE} is {value!r}; it must be a size such as 500MB or 20GB (0: keep "
            "only entries in use)."
        )
    return limit


def hold(file: IO[bytes]) -> None:
    """Mark a file as in use until it and all maps of it are closed."""
    if sys.platform != "win32":
        import fcntl  # noqa: PLC0415 - not on Windows

        for _ in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.01)  # another process is checking whether it is in use
            except OSError:
                return  # a file system without locks
            else:
                return


def touch(path: Path) -> None:
    """Set an entry's access time to now."""
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def entries(folder: Path) -> list[Entry]:
    """A cache folder's entries, the least recently used first."""
    found = []
    for path in _files(folder, "*.ids"):
        with contextlib.suppress(FileNotFoundError):  # another process has removed it
            facts = path.stat()
            size = facts.st_size
            with contextlib.suppress(
                FileNotFoundError
            ):  # an entry from another machine has no metadata
                size += path.with_suffix(".json").stat().st_size
            used = max(facts.st_atime, facts.st_mtime)
            found.append(Entry(path, size, used, _in_use(path)))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def shrink(folder: Path, limit: int) -> list[Entry]:
    """Remove the least recently used entries until the rest fits the limit, in bytes.

    Entries in use are kept, and count. Abandoned temporary files are also removed.

    Returns:
        The removed entries.
    """
    for path in _files(folder, "*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                _remove(path)
    removed = []
    found = entries(folder)
    total = sum(entry.size for entry in found)
    for entry in found:
        if total <= limit:
            break
        if _remove(entry.path):
            removed.append(entry)
            total -= entry.size
    return removed


def _files(folder: Path, pattern: str) -> list[Path]:
    try:
        return [path for path in folder.glob(pattern) if path.is_file() and not path.is_symlink()]
    except OSError:
        return []


@contextlib.contextmanager
def _exclusively(path: Path) -> Iterator[bool]:
    """Lock a file exclusively; yields whether the lock was acquired."""
    if sys.platform == "win32":
        yield True
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("r+b"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            free = False
        else:
            free = True
        yield free


def _in_use(path: Path) -> bool:
    with _exclusively(path) as free:
        return not free


def _remove(path: Path) -> bool:
    """Remove a file of ids with its metadata, or a temporary file, unless it is in use."""
    with _exclusively(path) as free:
        if not free:
            return False
        try:
            path.unlink()
            if path.suffix == ".ids":
                path.with_suffix(".json").unlink(missing_ok=True)
        except OSError:
            return False
        return True
