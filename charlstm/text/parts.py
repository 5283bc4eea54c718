"""A part of a text, such as its training part: contiguous segments of the text's ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import CorpusError
from charlstm.text.tokenizer import Ids

Span = tuple[int, int]
"""A range of characters: the first, and one past the last."""


class Part:
    """Segments of a text, in its order. Ids are not copied: they may be memory-mapped.

    Nothing crosses a border between segments: no window, no prediction, no carried state.

    Args:
        ids: the whole text, shape (num_chars,).
        spans: the segments, without overlap and in order; empty ones are left out.

    Attributes:
        ids: the whole text.
        spans: first character and one past the last of each segment, shape (S, 2), int64.
    """

    def __init__(self, ids: Ids, spans: Sequence[Span] | NDArray[np.int64]) -> None:
        self.ids = ids
        table = np.asarray(spans, dtype=np.int64).reshape(-1, 2)
        self.spans: NDArray[np.int64] = table[table[:, 1] > table[:, 0]]

    @classmethod
    def whole(cls, ids: Ids) -> Part:
        """A text of one segment."""
        return cls(ids, [(0, len(ids))])

    def __len__(self) -> int:
        """Number of characters."""
        return int(self.lengths.sum())

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of characters of each segment, shape (S,)."""
        return self.spans[:, 1] - self.spans[:, 0]

    @property
    def predictions(self) -> int:
        """Number of characters that have one before them: all but each segment's first."""
        return int(self.lengths.sum()) - len(self.spans)

    @property
    def segments(self) -> Iterator[Ids]:
        """The ids of each segment, as views."""
        for start, stop in self.spans.tolist():
            yield self.ids[start:stop]

    @property
    def groupable(self) -> NDArray[np.int64]:
        """The spans in the order of grouping for parallel reading: that of the text."""
        return self.spans

    def arrays(self, most: int) -> Iterator[Ids]:
        """The ids of all segments, in arrays of at most `most` ids."""
        for segment in self.segments:
            for first in range(0, len(segment), most):
                yield segment[first : first + most]

    def predicted(self, most: int) -> Iterator[Ids]:
        """The predicted characters, all but each segment's first, in arrays of about `most`."""
        for segment in self.segments:
            for first in range(1, len(segment), most):
                yield segment[first : first + most]

    def joined(self) -> Ids:
        """The ids of all segments in one array: a view of a single segment, otherwise a copy."""
        if len(self.spans) == 1:
            return next(self.segments)
        none: Any = self.ids[:0]
        return np.concatenate([none, *self.segments])

    def shortened(self, num_chars: int, *, end: bool = False) -> Part:
        """A part of at most `num_chars` characters, all segments shortened by one factor.

        Args:
            num_chars: number of characters.
            end: keep the ends of the segments instead of their starts.
        """
        total = len(self)
        if num_chars >= total:
            return self
        # Differences of rounded sums, so that the lengths add up exactly.
        sums = accumulate(self.lengths.tolist(), initial=0)
        kept = np.array(
            [b - a for a, b in pairwise(num_chars * length // total for length in sums)],
            dtype=np.int64,
        )
        starts, stops = self.spans.T
        spans = (stops - kept, stops) if end else (starts, starts + kept)
        return Part(self.ids, np.stack(spans, axis=1))


def too_short(count: int) -> CorpusError:
    """The error of a text of which the model reads `count` characters, too few to evaluate on."""
    characters = "character" if count == 1 else "characters"
    return CorpusError(
        f"the model reads {count} {characters} of the text; at least 2 are needed to evaluate on "
        "it."
    )


def as_part(ids: Ids | Part) -> Part:
    """Ids of shape (num_chars,) as a part of one segment; a part as it is."""
    return ids if isinstance(ids, Part) else Part.whole(ids)
