"""The documents of a text (`--documents`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charlstm.checkup.sample import Sampler
from charlstm.config import TextConfig
from charlstm.text.boundaries import Dropped, read_stream
from charlstm.text.code_points import code_points
from charlstm.text.corpus import ReadingProgress
from charlstm.text.sources import Source
from charlstm.text.tokenizer import BOUNDARY


@dataclass(frozen=True)
class Documents:
    """The documents of a text.

    Attributes:
        count: number of documents.
        chars: characters of all, each document's end included.
        shortest, longest: characters.
        empty: number of documents of whitespace only, which are omitted.
    """

    count: int
    chars: int
    shortest: int
    longest: int
    empty: int


def read_documents(
    sources: Sequence[Source],
    config: TextConfig,
    dropped: Dropped,
    progress: ReadingProgress | None = None,
) -> tuple[Documents, list[str]]:
    """Read all documents once.

    Args:
        sources: the sources.
        config: how to read and divide them.
        dropped: receives counts of what is omitted.
        progress: called with the progress of reading.

    Returns:
        Figures, and a sample of the stream of documents.

    Raises:
        SourceError, ConfigError: as for `read_stream`.
    """
    sampler = Sampler()
    none = np.empty(0, dtype=np.int64)
    done, count, last = 0, 0, 0
    shortest, longest = 0, 0
    for chunk in read_stream(sources, config, dropped):
        sampler.add(chunk, 0, none)
        places = done + np.flatnonzero(code_points(chunk) == ord(BOUNDARY))
        if len(places):
            lengths = np.diff(places, prepend=last) - 1
            lengths = lengths if done else lengths[1:]  # the first boundary ends no document
            if len(lengths):
                least = int(lengths.min())
                shortest = min(shortest, least) if count else least
                longest = max(longest, int(lengths.max()))
                count += len(lengths)
            last = int(places[-1])
        done += len(chunk)
        if progress is not None:
            progress("dividing into documents", done)
    figures = Documents(count, max(0, done - 1), shortest, longest, dropped.empty)
    return figures, [piece.text for piece in sampler.pieces()]
