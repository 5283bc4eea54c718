"""SHA-256 of a stream, computed beside the work that makes it."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Digest:
    """Takes bytes in order, one piece behind: hashing lets go of the interpreter."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def update(self, data: Any) -> None:
        """Add bytes, or any contiguous buffer, which must not change until the next call."""
        self._wait()
        self._running = self._pool.submit(self._hash.update, data)

    def hexdigest(self) -> str:
        """The digest of all that came; nothing can come after."""
        self._wait()
        self._pool.shutdown()
        return self._hash.hexdigest()

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None
