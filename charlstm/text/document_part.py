"""Some of a text's documents, as a part of its stream (see `charlstm.text.boundaries`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from charlstm.text.parts import Part
from charlstm.text.permutation import shuffle
from charlstm.text.tokenizer import BOUNDARY_ID, Ids

_BLOCK = 1 << 24  # ids searched at once
_KEY = 0x5B5E7


class DocumentPart(Part):
    """Some documents of a stream.

    A segment is a document with the boundaries before and after it, so that each of its characters
    and its end are predicted. Neighbours share a boundary.
    """

    @classmethod
    def of_stream(cls, ids: Ids) -> DocumentPart:
        """All documents of a stream B d1 B d2 ... dn B, shape (num_chars,)."""
        found = [
            first + np.flatnonzero(ids[first : first + _BLOCK] == BOUNDARY_ID)
            for first in range(0, len(ids), _BLOCK)
        ]
        places = np.concatenate([np.empty(0, dtype=np.int64), *found])
        return cls(ids, np.stack([places[:-1], places[1:] + 1], axis=1))

    def __len__(self) -> int:
        """Number of characters, each document's end included: a boundary counts once."""
        return self.predictions

    @property
    def groupable(self) -> NDArray[np.int64]:
        """The spans, ordered by length."""
        return self.spans[np.argsort(self.lengths, kind="stable")]

    def shortened(self, num_chars: int, *, end: bool = False) -> DocumentPart:
        """Some documents, spread at random, of at most `num_chars` characters; at least one.

        Args:
            num_chars: number of characters.
            end: has no effect.
        """
        del end
        if num_chars >= len(self):
            return self
        count = len(self.spans)
        order = shuffle(np.arange(count, dtype=np.uint64), count, _KEY).astype(np.int64)
        sums = np.cumsum(self.lengths[order] - 1)
        kept = order[: max(1, int(np.searchsorted(sums, num_chars, side="right")))]
        return DocumentPart(self.ids, self.spans[np.sort(kept)])

    def arrays(self, most: int) -> Iterator[Ids]:
        """The documents' characters and ends, in arrays of about `most` characters."""
        for _, _, places in self.blocks(most):
            yield self.ids[places]

    def predicted(self, most: int) -> Iterator[Ids]:
        """As `arrays`: the first boundary alone is not predicted."""
        return self.arrays(most)

    def blocks(
        self, most: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Whole documents in blocks of about `most` characters, at least one document.

        Yields:
            Numbers of the documents (N,), where each begins in the block (N,), and the positions of
            its characters and end, one document after the other.
        """
        sums = np.concatenate([[0], np.cumsum(self.lengths - 1)])
        first = 0
        while first < len(self.spans):
            last = int(np.searchsorted(sums, sums[first] + most, side="right")) - 1
            last = max(last, first + 1)
            numbers = np.arange(first, last)
            begins = sums[first:last] - sums[first]
            shift = self.spans[first:last, 0] + 1 - begins
            places = np.repeat(shift, self.lengths[first:last] - 1) + np.arange(
                sums[last] - sums[first]
            )
            yield numbers, begins, places
            first = last
