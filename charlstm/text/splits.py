"""Splits of a text into training, validation and test part.

A split is a pure function of the text's length and the fractions, and for `auto` of its ids. A
checkpoint records the ranges, so that a resumed run and `eval` do not depend on this function.

- tail: the last part of the text, the test part after the validation part.
- blocks: blocks of equal length with equal distances, of which some are for validation and some
  for the test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from charlstm.errors import CorpusError
from charlstm.text.parts import Span

BLOCK_CHARS = 4000
"""Length of a block where the number of blocks is not bounded, in characters."""
MIN_BLOCK_CHARS = 500
"""Minimum length of a block, and of the training text between two blocks."""
MAX_BLOCKS = 64
"""Maximum number of blocks, validation and test together."""
_FEW_BLOCKS = 8  # blocks shrink below BLOCK_CHARS before they are fewer than that


@dataclass(frozen=True)
class Split:
    """The held-out characters of a text; the others are the training part.

    Attributes:
        method: tail or blocks.
        num_chars: length of the text.
        val, test: ranges of characters, in order; they are not empty and do not overlap.
    """

    method: str
    num_chars: int
    val: tuple[Span, ...]
    test: tuple[Span, ...]

    @property
    def train(self) -> tuple[Span, ...]:
        """The ranges between the held-out ones."""
        starts, stops = [0], []
        for start, stop in sorted(self.val + self.test):
            stops.append(start)
            starts.append(stop)
        stops.append(self.num_chars)
        return tuple((a, b) for a, b in zip(starts, stops, strict=True) if a < b)

    def followed_by(self, sizes: tuple[int, int]) -> Split:
        """The split of the text and separate texts after it.

        Args:
            sizes: lengths of the separate validation and test text; 0 where there is none.
        """
        first = self.num_chars + sizes[0]
        total = first + sizes[1]
        val, test = _whole_spans((self.num_chars, first)), _whole_spans((first, total))
        return Split(self.method, total, self.val + val, self.test + test)

    def to_json(self) -> dict[str, Any]:
        """The split as a JSON object, without the length of the text."""
        return {
            "method": self.method,
            "val": [list(span) for span in self.val],
            "test": [list(span) for span in self.test],
        }

    @classmethod
    def from_json(cls, data: object, num_chars: int) -> Split:
        """A split from the object of `to_json`.

        Args:
            data: anything that JSON can hold.
            num_chars: length of the text.

        Raises:
            CorpusError: the object is not valid, or does not fit a text of that length.
        """
        if not isinstance(data, Mapping) or set(data) != {"method", "val", "test"}:
            raise CorpusError("the record of the held-out characters is not readable.")
        if data["method"] not in tuple(METHODS):  # it may be of any type
            raise CorpusError("the record of the held-out characters has an unknown method.")
        val, test = (_spans(data[part], num_chars) for part in ("val", "test"))
        for (_, stop), (start, _) in pairwise(sorted(val + test)):
            if start < stop:
                raise CorpusError("the record of the held-out characters has overlapping ranges.")
        return cls(data["method"], num_chars, val, test)


def _spans(data: object, num_chars: int) -> tuple[Span, ...]:
    """Ranges from JSON.

    Raises:
        CorpusError: they are not ranges of the text, in order.
    """
    spans: list[Span] = []
    last = 0
    for span in data if isinstance(data, list) else [data]:
        if not (isinstance(span, list) and len(span) == 2 and {type(end) for end in span} == {int}):
            raise CorpusError("the record of the held-out characters is not readable.")
        start, stop = span
        if not last <= start < stop <= num_chars:
            raise CorpusError("the record of the held-out characters does not fit the text.")
        spans.append((start, stop))
        last = stop
    return tuple(spans)


def held_out(num_chars: int, val_fraction: float, test_fraction: float) -> tuple[int, int]:
    """Number of characters of the validation part and of the test part, with any method."""
    return int(num_chars * val_fraction), int(num_chars * test_fraction)


def tail_split(num_chars: int, val_fraction: float, test_fraction: float) -> Split:
    """The end of the text: validation, then test."""
    val, test = held_out(num_chars, val_fraction, test_fraction)
    end = num_chars - test
    return Split("tail", num_chars, _whole_spans((end - val, end)), _whole_spans((end, num_chars)))


def block_split(num_chars: int, val_fraction: float, test_fraction: float) -> Split:
    """Blocks spread evenly over the text.

    Blocks have about `BLOCK_CHARS` characters, more in long texts and fewer in short ones. Half a
    distance lies before the first and after the last block. Validation and test blocks alternate as
    evenly as their numbers allow.
    """
    sizes = held_out(num_chars, val_fraction, test_fraction)
    train = num_chars - sum(sizes)
    counts = _block_counts(sizes, train)
    count = sum(counts)
    kinds = _alternate(*counts)
    # Lengths of one kind differ by one character at most.
    lengths = [
        iter([b - a for a, b in pairwise(size * n // max(1, own) for n in range(own + 1))])
        for size, own in zip(sizes, counts, strict=True)
    ]
    spans: tuple[list[Span], list[Span]] = ([], [])
    before = 0  # held-out characters before the block
    for number, kind in enumerate(kinds):
        start = before + train * (2 * number + 1) // (2 * count)
        length = next(lengths[kind])
        spans[kind].append((start, start + length))
        before += length
    return Split("blocks", num_chars, _whole_spans(*spans[0]), _whole_spans(*spans[1]))


def _block_counts(sizes: tuple[int, int], train: int) -> tuple[int, int]:
    """Numbers of validation and test blocks for parts of some sizes, in characters."""
    counts = []
    for size in sizes:
        count = min(max(size // BLOCK_CHARS, _FEW_BLOCKS), max(1, size // MIN_BLOCK_CHARS))
        counts.append(count if size else 0)
    most = min(MAX_BLOCKS, max(1, train // MIN_BLOCK_CHARS))
    total = sum(counts)
    if total > most:
        counts = [max(1, count * most // total) if count else 0 for count in counts]
    return counts[0], counts[1]


def _alternate(val: int, test: int) -> list[int]:
    """The kinds of blocks in order, 0 for validation and 1 for test, each spread evenly."""
    total = val + test
    done = ((2 * n * test + total) // (2 * total) if total else 0 for n in range(total + 1))
    return [b - a for a, b in pairwise(done)]


def _whole_spans(*spans: Span) -> tuple[Span, ...]:
    """The ranges that are not empty."""
    return tuple(span for span in spans if span[0] < span[1])


METHODS: Mapping[str, Callable[[int, float, float], Split]] = {
    "tail": tail_split,
    "blocks": block_split,
}
"""Functions that make a split, by the name of the method."""
