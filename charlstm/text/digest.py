"""SHA-256 of a stream, computed in a background thread."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Digest:
    """A SHA-256 digest that hashes each block in a thread; hashlib releases the GIL."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def update(self, data: Any) -> None:
        """Add a contiguous buffer, which must not change until the next call."""
        self._wait()
        self._running = self._pool.submit(self._hash.update, data)

    def hexdigest(self) -> str:
        """The hexadecimal digest of all data; `update` must not be called afterwards."""
        self._wait()
        self._pool.shutdown()
        return self._hash.hexdigest()

    def _wait(self) -> None:
        if self._running is not None:
            self._running.result()
            self._running = None
