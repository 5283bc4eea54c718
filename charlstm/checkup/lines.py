"""Lines of a text: their number and lengths, line ends, trailing space, and repetition.

Repetition is counted by hashes of whole lines. The table of hashes has a limit: above it, only
lines are kept whose hash is below a threshold, which is halved as often as necessary. All copies of
a line have one hash, so that the kept lines are an unbiased sample of the distinct lines.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.checkup.hashing import Hashes, RangeHasher
from charlstm.text.code_points import code_points

LONG_LINE = 10_000
"""Characters from which on a line counts as very long."""
_MOST_LINES = 1 << 20  # distinct lines in the table

Points = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class RepeatedLine:
    """A line that occurs several times.

    Attributes:
        key: its hash.
        count: how often it occurs.
        length: its characters, without the line end.
        first: number of the first one in the whole text, from 0.
    """

    key: int
    count: int
    length: int
    first: int


class LineTable:
    """Counts of distinct lines, of all or of a sample.

    Attributes:
        halvings: how often the sample was halved; 0: all lines are counted.
    """

    def __init__(self, most: int = _MOST_LINES) -> None:
        self._most = most
        self.halvings = 0
        self._waiting: list[tuple[Hashes, Counts, Counts, Counts]] = []
        self._num_waiting = 0
        none = np.empty(0, dtype=np.int64)
        self._table = (np.empty(0, dtype=np.uint64), none, none, none)

    def add(self, keys: Hashes, lengths: Counts, firsts: Counts) -> None:
        """Count lines, none of them blank: hashes, lengths and numbers, each of shape (K,)."""
        kept = self._is_kept(keys)
        number = int(kept.sum())
        ones = np.ones(number, dtype=np.int64)
        self._waiting.append((keys[kept], ones, lengths[kept], firsts[kept]))
        self._num_waiting += number
        if self._num_waiting > self._most:
            self._merge()

    def _is_kept(self, keys: Hashes) -> NDArray[np.bool_]:
        if not self.halvings:
            return np.ones(len(keys), dtype=np.bool_)
        is_kept: NDArray[np.bool_] = (keys >> np.uint64(64 - self.halvings)) == 0
        return is_kept

    def _merge(self) -> None:
        keys, counts, lengths, firsts = (
            np.concatenate(parts) for parts in zip(self._table, *self._waiting, strict=True)
        )
        self._waiting, self._num_waiting = [], 0
        order = np.argsort(keys, kind="stable")  # the first line of a kind stays the first
        keys = keys[order]
        begins = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])
        counts = np.add.reduceat(counts[order], begins) if len(begins) else counts
        kinds = order[begins]
        self._table = (keys[begins], counts, lengths[kinds], firsts[kinds])
        while len(self._table[0]) > self._most:
            self.halvings += 1
            kept = self._is_kept(self._table[0])
            keys, counts, lengths, firsts = self._table
            self._table = (keys[kept], counts[kept], lengths[kept], firsts[kept])

    def repeated_fraction(self) -> float:
        """The fraction of the characters of all lines that is in copies of earlier lines."""
        self._merge()
        _, counts, lengths, _ = self._table
        total = int((counts * lengths).sum())
        return self.copied() / total if total else 0.0

    def copied(self, least: int = 1) -> int:
        """Characters in copies of earlier lines of `least` characters or more."""
        self._merge()
        _, counts, lengths, _ = self._table
        return int(((counts - 1) * lengths)[lengths >= least].sum())

    def most_repeated(self, count: int) -> list[RepeatedLine]:
        """The lines whose copies have the most characters, the largest first."""
        self._merge()
        keys, counts, lengths, firsts = self._table
        extra = (counts - 1) * lengths
        order = np.lexsort((firsts, -extra))[:count]
        return [
            RepeatedLine(int(keys[n]), int(counts[n]), int(lengths[n]), int(firsts[n]))
            for n in order
            if counts[n] > 1
        ]


@dataclass
class LineFigures:
    """Counts over all lines of a text.

    Attributes:
        count: number of lines.
        blank: those without a character.
        trailing: those that end in spaces or tabs.
        long: those of more than `LONG_LINE` characters.
        longest: characters of the longest.
        longest_at: its number, from 0.
        ends: number of line ends of each kind that the files have: LF, CRLF, CR.
        first_trailing, first_long: numbers of the first such lines.
        first_end: for each kind of line end, the number of the first line that has it.
        table: counts of distinct lines.
    """

    count: int = 0
    blank: int = 0
    trailing: int = 0
    long: int = 0
    longest: int = 0
    longest_at: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    first_trailing: int = 0
    first_long: int = 0
    first_end: dict[str, int] = field(default_factory=dict)
    table: LineTable = field(default_factory=LineTable)
    _hasher: RangeHasher = field(default_factory=RangeHasher)
    _carried: int = 0  # characters of a line that began in an earlier block
    _last: int = 0  # its last character

    def add(self, points: Points, has_cr: bool) -> Counts:
        """Count the lines of a block, which continues the text.

        Args:
            points: code points (N,); a CR at the end has no LF after it.
            has_cr: whether there is a CR.

        Returns:
            Positions of the line ends in the block, of the LF in CRLF.
        """
        ends, widths = line_ends(points, has_cr)
        is_crlf = widths == 2
        is_cr = points[ends] == ord("\r")
        for kind, chosen in (("CRLF", is_crlf), ("CR", is_cr), ("LF", ~is_crlf & ~is_cr)):
            self._count_end(kind, chosen)
        self._count_lines(points, ends, ends - widths + 1)
        return ends

    def _count_end(self, kind: str, chosen: NDArray[np.bool_]) -> None:
        number = int(chosen.sum())
        if number:
            self.ends[kind] = self.ends.get(kind, 0) + number
            self.first_end.setdefault(kind, self.count + int(chosen.argmax()))

    def forget_last_end(self) -> None:
        """Do not count the LF that was counted last: the file does not have it."""
        self.ends["LF"] -= 1
        if not self.ends["LF"]:
            del self.ends["LF"], self.first_end["LF"]

    def _count_lines(self, points: Points, ends: Counts, stops: Counts) -> None:
        """Count lines that end at `ends`; their characters end before `stops`."""
        if not len(ends):
            self._carried += len(points)
            self._last = int(points[-1])
            return
        starts = np.append(0, ends[:-1] + 1)
        lengths = stops - starts
        lasts = points[np.maximum(stops - 1, 0)]
        is_trailing = (lengths > 0) & ((lasts == ord(" ")) | (lasts == ord("\t")))
        if self._carried:
            is_trailing[0] = is_trailing[0] or (not lengths[0] and chr(self._last) in " \t")
            lengths[0] += self._carried
        numbers = self.count + np.arange(len(ends))
        if not self.trailing and is_trailing.any():
            self.first_trailing = int(numbers[is_trailing.argmax()])
        self.trailing += int(is_trailing.sum())
        if (longest := int(lengths.max())) > self.longest:
            self.longest, self.longest_at = longest, int(numbers[lengths.argmax()])
        if longest > LONG_LINE:
            if not self.long:
                self.first_long = int(numbers[(lengths > LONG_LINE).argmax()])
            self.long += int((lengths > LONG_LINE).sum())
        is_blank = lengths == 0
        self.blank += int(is_blank.sum())
        kept = ~is_blank
        kept[0] &= not self._carried  # its beginning is not here to hash
        sums = self._hasher.sums(points)
        keys = self._hasher.hashes(sums, starts[kept], stops[kept])
        self.table.add(keys, lengths[kept], numbers[kept])
        self.count += len(ends)
        self._carried = len(points) - int(ends[-1]) - 1
        self._last = int(points[-1])

    def texts_of(self, keys: set[int], text: str) -> dict[int, str]:
        """The lines of a text that have one of some hashes, by hash."""
        points = code_points(text)
        ends, widths = line_ends(points, "\r" in text)
        starts, stops = np.append(0, ends[:-1] + 1)[: len(ends)], ends - widths + 1
        found = self._hasher.hashes(self._hasher.sums(points), starts, stops)
        wanted = np.fromiter(keys, dtype=np.uint64, count=len(keys))
        chosen = np.flatnonzero(np.isin(found, wanted))
        values, places = np.unique(found[chosen], return_index=True)
        places = chosen[places]
        return {
            int(value): text[starts[n] : stops[n]] for value, n in zip(values, places, strict=True)
        }


def line_ends(points: Points, has_cr: bool) -> tuple[Counts, Counts]:
    """Positions of a text's line ends, and their lengths: 2 for CRLF, whose position is LF's.

    Args:
        points: code points, shape (N,).
        has_cr: whether there is a CR.
    """
    is_lf = points == ord("\n")
    if not has_cr:
        ends = np.flatnonzero(is_lf)
        return ends, np.ones(len(ends), dtype=np.int64)
    is_cr = points == ord("\r")
    is_pair = np.append(False, is_cr[:-1] & is_lf[1:])  # at the LF
    ends = np.flatnonzero(is_lf | (is_cr & ~np.append(is_pair[1:], False)))
    return ends, 1 + is_pair[ends].astype(np.int64)
