"""Text collected as lines."""

from __future__ import annotations

import re

_SPACES = re.compile(r"[ \t\n\r\f]+")


class Lines:
    """Collects the text of a document as lines.

    A line has no space at its beginning or end, unless spaces are kept. Several empty lines become
    one; there are none at the beginning.

    Attributes:
        size: the number of characters that were not taken yet.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.size = 0
        self._begun = False  # whether there is any line
        self._in_line = False
        self._space = False  # before the next word
        self._empty = False  # an empty line, before the next one

    def add(self, text: str, *, keep_spaces: bool = False) -> None:
        """Add text to the line.

        Args:
            text: any text. A newline in it counts as a space.
            keep_spaces: whether runs of spaces are kept as they are.
        """
        if not keep_spaces:
            text = _SPACES.sub(" ", text)
            if text.startswith(" "):
                self._space = self._in_line
                text = text[1:]
            if not text:
                return
            if self._space:
                text = f" {text}"
            self._space = text.endswith(" ")
            text = text.rstrip(" ")
        elif self._space:
            text, self._space = f" {text}", False
        if not text:
            return
        if self._empty and self._begun:
            self._append("\n")
        self._empty = False
        self._begun = self._in_line = True
        self._append(text)

    def end_line(self) -> None:
        """End the line, if there is text in it."""
        self._space = False
        if self._in_line:
            self._append("\n")
            self._in_line = False

    def break_line(self) -> None:
        """End the line; without text in it, it is an empty line."""
        self._empty = self._empty or not self._in_line
        self.end_line()

    def take(self) -> str:
        """The text collected since the last call."""
        text = "".join(self._parts)
        self._parts.clear()
        self.size = 0
        return text

    def _append(self, text: str) -> None:
        self._parts.append(text)
        self.size += len(text)
