"""The result of an evaluation: sums of nats, characters and bytes, divided once at the end."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.text.parts import Part

UNKNOWN_NATS = math.log(154_998)
"""The charge for an unknown character: log of the number of characters of Unicode 16.0.

A code that can name any character needs that much. It is the same for every model: the size of the
vocabulary would charge less the fewer characters a model knows.
"""
_COUNTED = 1 << 20  # characters whose bytes are counted at once


@dataclass(frozen=True)
class Score:
    """Sums over predicted characters.

    Attributes:
        nats: negative log-likelihood of all predicted characters.
        count: number of predicted characters: all but the first of a text, or of each segment.
        num_bytes: their length in UTF-8; each document's end is one byte. None: not known.
        unknown: number of unknown characters that `--unknown skip` omitted, which are not counted.
        unknown_bytes: their length in UTF-8.
    """

    nats: float
    count: int
    num_bytes: int | None = None
    unknown: int = 0
    unknown_bytes: int = 0

    def __add__(self, other: Score) -> Score:
        """The sums of both."""
        known = self.num_bytes is not None and other.num_bytes is not None
        return Score(
            self.nats + other.nats,
            self.count + other.count,
            (self.num_bytes or 0) + (other.num_bytes or 0) if known else None,
            self.unknown + other.unknown,
            self.unknown_bytes + other.unknown_bytes,
        )

    @property
    def nats_per_char(self) -> float:
        """The mean cross-entropy, in nats per character."""
        return self.nats / self.count

    @property
    def bits_per_char(self) -> float:
        """The mean cross-entropy, in bits per character."""
        return self.nats_per_char / math.log(2)

    @property
    def bits_per_byte(self) -> float | None:
        """The cross-entropy in bits per byte of the text in UTF-8; None if that is not known."""
        return self.nats / math.log(2) / self.num_bytes if self.num_bytes else None

    @property
    def charged(self) -> Score:
        """The score with omitted unknown characters counted, at `UNKNOWN_NATS` each."""
        return Score(
            self.nats + self.unknown * UNKNOWN_NATS,
            self.count + self.unknown,
            None if self.num_bytes is None else self.num_bytes + self.unknown_bytes,
        )

    @property
    def perplexity(self) -> float:
        """The perplexity, exp(nats per character); inf if it overflows."""
        try:
            return math.exp(self.nats_per_char)
        except OverflowError:
            return math.inf


def num_bytes(part: Part, lengths: NDArray[np.unsignedinteger[Any]]) -> int:
    """The length of a part's predicted characters in UTF-8.

    Args:
        part: the part.
        lengths: that of each character by its id, shape (V,).
    """
    return sum(int(lengths[ids].sum(dtype=np.int64)) for ids in part.predicted(_COUNTED))
