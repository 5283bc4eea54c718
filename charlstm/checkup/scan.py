"""One pass over a text: counts of characters and lines, first places, heads and feet, a sample."""

from __future__ import annotations

import bisect
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.checkup.lines import LineFigures
from charlstm.checkup.sample import Piece, Sampler
from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.code_points import CODE_POINTS, code_points
from charlstm.text.corpus import ReadingProgress
from charlstm.text.reading import read_text
from charlstm.text.sources import Source

EDGE_CHARS = 32_768
"""Characters that are kept of the beginning and of the end of a source."""
MOST_EDGES = 200
"""Sources whose beginning and end are kept."""
_UNFINISHED = 1 << 21  # characters of a line that are examined at once


@dataclass
class SourceFigures:
    """A source, as it was read.

    Attributes:
        source: the source.
        first_line: the number of its first line in the whole text, from 0.
        num_bytes: its size on disk, compressed or not.
        chars: its characters, line ends as they are.
        lines: its lines.
        is_unfinished: whether its last line has no line end in the file.
        checksum: CRC-32 of the text; 0 for a single source.
        head, foot: its first and last characters; empty for sources beyond `MOST_EDGES`.
    """

    source: Source
    first_line: int
    num_bytes: int
    chars: int = 0
    lines: int = 0
    is_unfinished: bool = False
    checksum: int = 0
    head: str = ""
    foot: str = ""


@dataclass(frozen=True)
class Place:
    """A line of a source.

    Attributes:
        file: the source's name.
        line: its number, from 1.
    """

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass
class Scan:
    """What one pass over the sources found.

    Attributes:
        config: how the sources were read, but for line ends, which were kept.
        counts: of each code point, shape (0x110000,); line ends as they are.
        first_lines: for each code point that occurs, the number of the first line that has it.
        lines: figures of all lines.
        sources: figures of each source.
        pieces: the sample.
    """

    config: TextConfig
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(CODE_POINTS, np.int64))
    first_lines: dict[int, int] = field(default_factory=dict)
    lines: LineFigures = field(default_factory=LineFigures)
    sources: list[SourceFigures] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)

    def source_of(self, line: int) -> SourceFigures:
        """The source that has a line of the whole text."""
        number = bisect.bisect_right(self.sources, line, key=lambda one: one.first_line) - 1
        return self.sources[max(0, number)]

    def place(self, line: int) -> Place:
        """The place of a line of the whole text."""
        source = self.source_of(line)
        return Place(source.source.name, line - source.first_line + 1)

    def place_of(self, character: str) -> Place:
        """The first place of a character that occurs."""
        return self.place(self.first_lines[ord(character)])


def scan(
    sources: Sequence[Source],
    config: TextConfig,
    *,
    progress: ReadingProgress | None = None,
    sampler: Sampler | None = None,
) -> Scan:
    """Read all sources once, in bounded memory.

    Args:
        sources: the sources.
        config: how to read them; line ends are kept, whatever it says.
        progress: called with the progress of reading.
        sampler: collects the sample; None: one of the usual size.

    Raises:
        SourceError, ConfigError: as for `charlstm.text.reading.read_text`.
    """
    kept = replace(config, keep_newlines=True)
    found, sampler = Scan(kept), sampler or Sampler()
    done = 0
    for number, source in enumerate(sources):
        figures = SourceFigures(source, found.lines.count, _size(source))
        found.sources.append(figures)
        chunks = read_text([source], kept, adds_newlines=False)
        for text in _whole_lines(_ended(chunks, figures)):
            points = code_points(text)
            line = found.lines.count
            ends = found.lines.add(points, "\r" in text)
            _count(found, points, line, ends)
            sampler.add(text, line, ends)
            figures.chars += len(text)
            figures.lines += len(ends)
            if len(sources) > 1:
                figures.checksum = zlib.crc32(points.data, figures.checksum)
            if number < MOST_EDGES:
                figures.head += text[: EDGE_CHARS - len(figures.head)]
                figures.foot = (figures.foot + text[-EDGE_CHARS:])[-EDGE_CHARS:]
            done += len(text)
            if progress is not None:
                progress("checking", done)
        if figures.is_unfinished:
            found.lines.forget_last_end()
    found.pieces = sampler.pieces()
    return found


def _size(source: Source) -> int:
    """Size of a source in bytes, as stored.

    Raises:
        SourceError: it cannot be opened.
    """
    with source.open() as raw:
        try:
            return os.fstat(raw.fileno()).st_size
        except OSError as error:
            raise SourceError(f"cannot read {source.name}: {error.strerror or error}.") from error


def _ended(chunks: Iterable[str], figures: SourceFigures) -> Iterator[str]:
    """A source whose last line has an end, as training reads it; notes whether it was missing."""
    last = ""
    for chunk in chunks:
        last = chunk[-1]
        yield chunk
    if last and last not in "\n\r":
        figures.is_unfinished = True
        yield "\n"


def _whole_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Regroup a source into blocks that end with a line, unless a line is very long.

    No block ends between CR and LF.
    """
    held: list[str] = []
    size = 0
    for chunk in chunks:
        cut = 1 + max(chunk.rfind("\n"), chunk.rfind("\r", 0, len(chunk) - 1))
        held.append(chunk[:cut] if cut else chunk)
        size += len(held[-1])
        if cut or size > _UNFINISHED:
            text = "".join(held)
            keep = "" if cut or not text.endswith("\r") else "\r"
            if block := text[: len(text) - len(keep)]:
                yield block
            held = [chunk[cut:] if cut else keep]
            size = len(held[0])
    if rest := "".join(held):
        yield rest


def _count(
    found: Scan, points: NDArray[np.integer[Any]], line: int, ends: NDArray[np.int64]
) -> None:
    """Count the characters of a block, and record where new ones occur."""
    counts = np.bincount(points)
    total = found.counts[: len(counts)]
    new = np.flatnonzero((counts > 0) & (total == 0))
    total += counts
    if not len(new):
        return
    first = np.empty(len(counts), dtype=np.int64)
    # Of several values for one index, numpy keeps the last.
    first[points[::-1]] = np.arange(len(points) - 1, -1, -1)
    lines = line + np.searchsorted(ends, first[new])
    found.first_lines.update(zip(new.tolist(), lines.tolist(), strict=True))
