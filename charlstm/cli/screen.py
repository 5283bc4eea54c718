"""stderr as a file for progress bars."""

from __future__ import annotations

import sys

from charlstm.cli import output


class Screen:
    """stderr for tqdm; a closed terminal ends the display, not the training."""

    def __init__(self) -> None:
        self.encoding = sys.stderr.encoding or "utf-8"

    def write(self, text: str) -> None:
        """Write text; after the terminal is closed, discard it."""
        try:
            sys.stderr.write(text)
        except OSError:
            output.discard_stderr()

    def flush(self) -> None:
        """Flush stderr."""
        try:
            sys.stderr.flush()
        except OSError:
            output.discard_stderr()

    def isatty(self) -> bool:
        """Whether stderr is a terminal."""
        return sys.stderr.isatty()

    def fileno(self) -> int:
        """The descriptor of stderr, whose width tqdm asks for."""
        return sys.stderr.fileno()
