"""The progress of a download: a bar on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from charlstm.cli import output
from charlstm.cli.screen import Screen

_LINE_SECONDS = 10.0


class TransferView:
    """Shows what is done, in bytes.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lined_at = clock()
        self._bar: Any = None
        self._terminal = sys.stderr is not None and sys.stderr.isatty()

    def show(self, what: str, done: int, total: int | None) -> None:
        """Show the progress: the activity, and the bytes done of the total, if it is known."""
        if not self._terminal:
            if (now := self._clock()) - self._lined_at >= _LINE_SECONDS:
                self._lined_at = now
                of = "" if total is None else f" of {total:,}"
                output.say(f"{what}: {done:,}{of} bytes")
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                unit="B", unit_scale=True, leave=False, delay=0.5, file=Screen(), initial=done
            )
        if self._bar.total != total or self._bar.desc != f"{what}: ":
            self._bar.total = total
            self._bar.set_description_str(f"{what}: ", refresh=False)
        self._bar.update(done - self._bar.n)

    def say(self, text: str) -> None:
        """Show a line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        output.say(text)
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def transferring(clock: Callable[[], float] = time.monotonic) -> Iterator[TransferView]:
    """Show the progress of a download."""
    view = TransferView(clock)
    try:
        yield view
    finally:
        view.close()
