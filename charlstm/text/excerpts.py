"""Excerpts of a stream of ids that is too long for memory.

An excerpt is a stretch of consecutive predictions. Where it begins within a segment, it has some of
the characters before, which are only read; for bidirectional models also some of those after it.
The borders depend on the ids alone, not on how they arrive.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlstm.text.document_part import DocumentPart
from charlstm.text.parts import Part
from charlstm.text.tokenizer import BOUNDARY_ID, Ids

EXCERPT = 1 << 22
"""Default number of predictions in an excerpt."""


@dataclass(frozen=True, eq=False)
class Excerpt:
    """A stretch of a stream.

    Attributes:
        part: its segments, context included.
        before: number of characters at the beginning that are context only.
        after: number of characters at the end that are context only.
        continues: whether its first segment began in an earlier excerpt.
    """

    part: Part
    before: int = 0
    after: int = 0
    continues: bool = False

    @property
    def own(self) -> Part:
        """The part without context: all characters but each segment's first are predicted."""
        if not (self.before or self.after):
            return self.part
        spans = self.part.spans
        begin, end = spans[0, 0] + self.before, spans[-1, 1] - self.after
        return type(self.part)(self.part.ids, np.clip(spans, begin, end))


def excerpts(
    chunks: Iterable[Ids], size: int, *, documents: bool, before: int = 0, after: int = 0
) -> Iterator[Excerpt]:
    """Divide a stream into excerpts.

    Excerpts of documents end with a document, unless it has more than `size` characters.

    Args:
        chunks: the ids of the stream, in pieces of any length.
        size: maximum number of predictions in an excerpt.
        documents: whether the stream is B d1 B d2 ... B, where B is the id of the boundary; each
            document is a segment. Otherwise the stream is one segment.
        before, after: maximum number of characters of context.

    Yields:
        Excerpts with at least one prediction.
    """
    cut = _cut_documents if documents else _cut_text
    held: list[Ids] = []
    have = begin = 0  # held characters, and the first of them to read as the next excerpt's own
    continues = False
    for chunk in chunks:
        held.append(chunk)
        have += len(chunk)
        while have >= begin + size + 1 + after:
            ids = np.concatenate(held)
            end = _end(ids, begin, size, documents)
            if (excerpt := cut(ids, begin, end, before, after, continues)) is not None:
                yield excerpt
            kept = max(0, end - 1 - before)
            held, have, begin, continues = [ids[kept:]], have - kept, end - 1 - kept, True
    ids = np.concatenate(held) if held else np.empty(0, dtype=np.uint8)
    while begin + 1 < len(ids):
        end = len(ids)
        if begin + size + 1 < end:
            end = _end(ids, begin, size, documents)
        if (excerpt := cut(ids, begin, end, before, after, continues)) is not None:
            yield excerpt
        begin, continues = end - 1, True


def _end(ids: Ids, begin: int, size: int, documents: bool) -> int:
    """One past the last character that an excerpt predicts, if the stream is longer."""
    end = begin + size + 1
    if documents:
        ends = np.flatnonzero(ids[begin + 1 : end] == BOUNDARY_ID)
        if len(ends):
            return begin + 2 + int(ends[-1])
    return end


def _cut_text(
    ids: Ids, begin: int, end: int, before: int, after: int, continues: bool
) -> Excerpt | None:
    """The excerpt of a text that reads from `begin` and predicts up to `end` - 1."""
    first, last = max(0, begin - before), min(len(ids), end + after)
    return Excerpt(Part(ids, [(first, last)]), begin - first, last - end, continues)


def _cut_documents(
    ids: Ids, begin: int, end: int, before: int, after: int, continues: bool
) -> Excerpt | None:
    """The same of documents, with context of the same document; None without a prediction."""
    first, last = max(0, begin - before), min(len(ids), end + after)
    borders = first + np.flatnonzero(ids[first:last] == BOUNDARY_ID)
    if len(found := borders[borders <= begin]):
        first = int(found[-1])
    if len(found := borders[borders >= end - 1]):
        last = int(found[0]) + 1
    spans = _documents(ids, first, last, borders)
    if not len(spans):
        return None
    continues = continues and bool(ids[begin] != BOUNDARY_ID)
    return Excerpt(DocumentPart(ids, spans), begin - first, last - end, continues)


def _documents(ids: Ids, first: int, last: int, borders: NDArray[np.int64]) -> NDArray[np.int64]:
    """The documents between two positions, without those that have no character: (S, 2)."""
    inside = borders[(borders > first) & (borders < last - 1)]
    edges = np.concatenate([[first], inside, [last - 1]])
    spans: NDArray[np.int64] = np.stack([edges[:-1], edges[1:] + 1], axis=1)
    both = (ids[spans[:, 0]] == BOUNDARY_ID) & (ids[spans[:, 1] - 1] == BOUNDARY_ID)
    kept: NDArray[np.int64] = spans[~(both & (spans[:, 1] - spans[:, 0] == 2))]
    return kept
