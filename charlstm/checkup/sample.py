"""Evenly spaced pieces of a text whose length is not known in advance.

Pieces have `PIECE` characters. Above `MOST` pieces, every other one is dropped, and only every
other further one is kept. A text of up to `PIECE * MOST` characters is kept whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 14
MOST = 128


@dataclass(frozen=True)
class Piece:
    """A contiguous part of a text.

    Attributes:
        text: the part.
        line: the number of the line in which it begins, from 0.
    """

    text: str
    line: int

    def line_at(self, position: int) -> int:
        """The number of the line of a position within the piece."""
        before = self.text[:position]
        return self.line + before.count("\n") + before.count("\r") - before.count("\r\n")


class Sampler:
    """Collects pieces while a text is read."""

    def __init__(self, size: int = PIECE, most: int = MOST) -> None:
        self._size, self._most = size, most
        self._stride = 1
        self._done = 0
        self._parts: dict[int, list[str]] = {}
        self._lines: dict[int, int] = {}

    def add(self, text: str, line: int, ends: NDArray[np.int64]) -> None:
        """Continue the text.

        Args:
            text: the next block.
            line: the number of the line in which it begins.
            ends: positions of its line ends.
        """
        size, start = self._size, self._done
        self._done += len(text)
        number = -(-(start // size) // self._stride) * self._stride
        while number * size < self._done:
            first = max(0, number * size - start)
            part = text[first : (number + 1) * size - start]
            if part:
                self._parts.setdefault(number, []).append(part)
                self._lines.setdefault(number, line + int(np.searchsorted(ends, first)))
            while len(self._parts) > self._most:
                self._stride *= 2
                for odd in [n for n in self._parts if n % self._stride]:
                    del self._parts[odd], self._lines[odd]
            number = (number // self._stride + 1) * self._stride

    def pieces(self) -> list[Piece]:
        """The pieces in order; neighbours are joined, so that a whole text is one piece."""
        numbers = sorted(self._parts)
        if self._stride > 1 or not numbers:
            return [Piece("".join(self._parts[n]), self._lines[n]) for n in numbers]
        text = "".join("".join(self._parts[n]) for n in numbers)
        return [Piece(text, self._lines[0])]
