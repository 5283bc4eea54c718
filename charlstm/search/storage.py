"""Optuna's storage of a search: a journal file in the search's folder, or a database.

The journal is an append-only file. A process that is killed while it appends may leave an
incomplete last line and its lock file. Optuna would append to that line, which damages the journal,
and wait 30 seconds for the lock. `_lock` makes a lock that handles both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.errors import SearchError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

JOURNAL = "journal.log"
_GRACE_SECONDS = 30  # age at which another process's lock file counts as abandoned
_ALONE_SECONDS = 3  # the same if no other process uses the journal; Optuna's minimum
_CONNECT_SECONDS = 10
_CREATE_TRIES, _CREATE_SECONDS = 4, 0.5


def load_optuna() -> Any:
    """Import Optuna, without its own messages.

    Raises:
        SearchError: it is not installed.
    """
    try:
        import optuna  # noqa: PLC0415 - optional
    except ImportError as error:
        raise SearchError(
            "charlstm search needs Optuna, which is not installed.\n"
            "Install it: pip install 'charlstm[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    return optuna


def open_storage(folder: Path, url: str | None, *, alone: bool) -> BaseStorage:
    """Open a search's storage; it is created if it does not exist.

    Args:
        folder: the search's folder.
        url: an Optuna storage URL; None: the journal file in `folder`.
        alone: whether no other process on this machine uses the journal.

    Raises:
        SearchError: it cannot be reached or read, or its driver is not installed.
    """
    optuna = load_optuna()
    with storage_errors(folder, url):
        if url is None:
            path = str(folder / JOURNAL)
            backend = optuna.storages.journal.JournalFileBackend(path, lock_obj=_lock(path, alone))
            storage: BaseStorage = optuna.storages.JournalStorage(backend)
            return storage
        # The default timeout for a machine that does not answer is minutes.
        timeout = url.startswith(("postgresql", "mysql"))
        connect = {"connect_timeout": _CONNECT_SECONDS} if timeout else {}
        engine = {"connect_args": connect, "pool_pre_ping": True}
        return _open_database(url, engine)


def _open_database(url: str, engine: dict[str, Any]) -> BaseStorage:
    """The storage in a database; its tables are created if there are none.

    If another machine creates them at the same time, one of the two fails. It finds the tables when
    it tries again.
    """
    from optuna.storages import RDBStorage  # noqa: PLC0415 - optional
    from sqlalchemy.exc import IntegrityError, ProgrammingError  # noqa: PLC0415

    for _ in range(_CREATE_TRIES - 1):
        try:
            return RDBStorage(url, engine_kwargs=engine)
        except (IntegrityError, ProgrammingError):
            time.sleep(_CREATE_SECONDS)
    return RDBStorage(url, engine_kwargs=engine)


def shown_storage(folder: Path, url: str | None) -> str:
    """The storage for messages: the journal's path, or the URL without its password."""
    if url is None:
        return str(folder / JOURNAL)
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - Optuna's dependency
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return "--storage"  # what is not a URL may still contain a password


@contextmanager
def storage_errors(folder: Path, url: str | None) -> Iterator[None]:
    """A context that raises the storage's errors as `SearchError`.

    Raises:
        SearchError: the storage cannot be reached or read.
    """
    import optuna  # noqa: PLC0415 - optional
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - Optuna's dependency

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = getattr(error.__cause__ or error, "orig", None) or error.__cause__ or error
        why = " ".join(str(cause).split())[:200].rstrip(".")
        raise SearchError(
            f"the storage {shown_storage(folder, url)} cannot be used: {why}.\n"
            "Check --storage. Trials are saved in their runs. To continue, run the same command."
        ) from error
    except ImportError as error:
        raise SearchError(
            f"the driver of {shown_storage(folder, url)} is not installed: {error}.\n"
            "For PostgreSQL: pip install 'psycopg[binary]'"
        ) from error
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        if url is not None or not _is_of_optuna(error):
            raise
        raise SearchError(
            f"the journal {folder / JOURNAL} is damaged.\nTo start again, move the folder {folder} "
            "away. Its runs remain usable."
        ) from error
    except OSError as error:
        raise SearchError(
            f"the storage {shown_storage(folder, url)} cannot be used: {error.strerror or error}.\n"
            "Trials are saved in their runs. To continue, run the same command."
        ) from error


def _is_of_optuna(error: BaseException) -> bool:
    """Whether an error was raised in Optuna's journal."""
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("optuna.storages.journal"):
            return True
        trace = trace.tb_next
    return False


def _lock(path: str, alone: bool) -> Any:
    """The lock of a journal file.

    Exclusive creation of a lock file works on all file systems. Others lack symbolic links (FAT) or
    operating system locks (some network file systems).
    """
    from optuna.storages import journal  # noqa: PLC0415 - optional

    class JournalLock(journal.JournalFileOpenLock):  # type: ignore[misc,unused-ignore]
        """Optuna's lock file, which also removes the incomplete line of a killed process."""

        def acquire(self) -> bool:
            """Acquire the lock, and remove an incomplete last line."""
            acquired = super().acquire()
            self.grace_period = _GRACE_SECONDS  # others may have joined since
            remove_incomplete_line(path)
            return bool(acquired)

    return JournalLock(path, grace_period=_ALONE_SECONDS if alone else _GRACE_SECONDS)


def remove_incomplete_line(path: str) -> None:
    """Cut a file after its last newline; the caller holds the journal's lock.

    Raises:
        OSError: it cannot be read or written.
    """
    with open(path, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        kept = end
        while kept:
            start = max(0, kept - 4096)
            file.seek(start)
            newline = file.read(kept - start).rfind(b"\n")
            if newline >= 0:
                kept = start + newline + 1
                break
            kept = start
        if kept < end:
            file.truncate(kept)
            file.flush()
            os.fsync(file.fileno())
