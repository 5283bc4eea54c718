"""A search's folder: its identity, and the locks of the processes that work in it.

checkpoints/hamlet-search/
    journal.log       Optuna's storage
    trial-0007/       the run of a trial
    .locks/           empty folders, one for each lock
    .folder-id        distinguishes its runs from those of other machines with the same storage

The locks are operating system locks as in `charlstm.runs.lock`, which end with their process.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from charlstm.errors import SearchError
from charlstm.format.files import replace_file
from charlstm.runs.lock import RunLock, RunLockedError
from charlstm.search.storage import JOURNAL

_ASK, _ALIVE, _LOCKS, _ID = "ask", "alive", ".locks", ".folder-id"
_POLL_SECONDS = 0.05


class SearchFolder:
    """A search's folder, opened by this process.

    Args:
        path: the folder, which exists.

    Attributes:
        path: the folder.
        id: its identity.
        alone: whether no other process had it open.

    Raises:
        SearchError: the folder cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.exclusive(lambda: None):
            self.alone = self._is_alone()
            # Held as long as this object exists; shows other processes that they are not alone.
            self._alive = self.take(f"{_ALIVE}-{uuid.uuid4().hex[:8]}")
            self.id = self._identify()

    @property
    def has_locks(self) -> bool:
        """Whether the folder's file system has locks."""
        return self._alive is not None and self._alive.held

    def take(self, name: str) -> RunLock | None:
        """Take a lock; None if another process holds it.

        Raises:
            SearchError: the folder cannot be written.
        """
        place = self.path / _LOCKS / name
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SearchError(f"cannot create {place}: {error.strerror or error}.") from error
        try:
            return RunLock(place)
        except RunLockedError:
            return None

    @contextmanager
    def exclusive(self, check: Callable[[], None]) -> Iterator[None]:
        """A context in which no other process of this folder begins a trial.

        Args:
            check: called while waiting; may raise.
        """
        while (lock := self.take(_ASK)) is None:
            check()
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def _identify(self) -> str:
        """The folder's identity, which is written if it is new."""
        path = self.path / _ID
        try:
            return path.read_text("ascii").strip()
        except FileNotFoundError:
            folder_id = uuid.uuid4().hex
        except OSError as error:
            raise SearchError(f"cannot read {path}: {error.strerror or error}.") from error

        def write(file: IO[bytes]) -> None:
            file.write(folder_id.encode())

        try:
            replace_file(path, write)
        except OSError as error:
            raise SearchError(f"cannot write {path}: {error.strerror or error}.") from error
        return folder_id

    def _is_alone(self) -> bool:
        """Whether no other process has the folder open; removes the locks of ended ones."""
        alone = True
        for place in (self.path / _LOCKS).glob(f"{_ALIVE}-*"):
            lock = self.take(place.name)
            if lock is None:
                alone = False
                continue
            place.rmdir()
            lock.release()
        return alone

    def close(self, *, remove: bool = False) -> None:
        """Release the lock of this process.

        Args:
            remove: also remove the folder, if it contains no run and no other process uses it.
        """
        if self._alive is not None:
            self._alive.release()
        if not remove:
            return
        held = [path for path in self.path.glob(f"{_LOCKS}/*") if self.take(path.name) is None]
        kept = [path for path in self.path.iterdir() if path.name not in (_LOCKS, _ID, JOURNAL)]
        if not (held or kept):
            shutil.rmtree(self.path, ignore_errors=True)
