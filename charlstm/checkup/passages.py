"""Passages that occur more than once in a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlstm.checkup.hashing import RangeHasher
from charlstm.text.repetition import PASSAGE
from charlstm.text.tokenizer import Ids

_MOST_EXTENDED = 200  # pairs of equal passages to extend


@dataclass(frozen=True)
class Repetition:
    """Repeated passages.

    Attributes:
        fraction: of the characters that lie in passages of `PASSAGE` characters that occurred
            before.
        length: characters of the largest passage found that occurs twice without overlap; 0: none.
        first, second: its positions.
    """

    fraction: float
    length: int = 0
    first: int = 0
    second: int = 0


def repeated_passages(ids: Ids, stops: NDArray[np.int64]) -> Repetition:
    """The repetition within a sample.

    Args:
        ids: shape (N,).
        stops: ends of the segments of the sample, in order; the last is N. No passage crosses them.
    """
    size = len(ids)
    if size < PASSAGE:
        return Repetition(0.0)
    hasher = RangeHasher()
    sums = hasher.sums(ids)
    limits = np.repeat(stops, np.diff(stops, prepend=0))  # of each character's segment

    def groups(
        starts: NDArray[np.int64], length: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Starts ordered by passage and position, and whether each begins a group of equals."""
        starts = starts[starts + length <= limits[starts]]
        keys = hasher.hashes(sums, starts, starts + length)
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        return starts[order], np.append(True, keys[1:] != keys[:-1])[: len(keys)]

    starts, begins = groups(np.arange(size), PASSAGE)
    again = starts[~begins]
    steps = np.zeros(size + 1, dtype=np.int64)
    steps[again] += 1
    steps[again + PASSAGE] -= 1
    fraction = float((np.cumsum(steps[:-1]) > 0).mean())

    pairs = np.empty((0, 2), dtype=np.int64)
    length = PASSAGE
    while len(starts):
        bounds = np.append(np.flatnonzero(begins), len(starts))
        firsts, lasts = starts[bounds[:-1]], starts[bounds[1:] - 1]
        apart = lasts - firsts >= length
        if not apart.any():
            break
        pairs = np.stack([firsts[apart], lasts[apart]], axis=1)
        starts = np.sort(starts[np.repeat(apart, np.diff(bounds))])
        length *= 2
        starts, begins = groups(starts, length)
    return _largest(ids, limits, pairs, fraction)


def _largest(
    ids: Ids, limits: NDArray[np.int64], pairs: NDArray[np.int64], fraction: float
) -> Repetition:
    """The largest passage that begins at one of some pairs, extended as far as it goes."""
    best = Repetition(fraction)
    extended: dict[int, int] = {}  # distance of a pair -> where the last extension ended
    for first, second in pairs[np.argsort(pairs[:, 0], kind="stable")].tolist():
        if extended.get(second - first, -1) > first:
            continue  # within the one before
        if len(extended) >= _MOST_EXTENDED:
            break
        most = min(limits[first] - first, limits[second] - second, second - first)
        ahead = _equal(ids[first : first + most], ids[second : second + most])
        begin = max(_begin(limits, first), first - (second - first - ahead))
        back = min(first - begin, second - _begin(limits, second))
        behind = _equal(ids[first - back : first][::-1], ids[second - back : second][::-1])
        extended[second - first] = first + ahead
        if ahead + behind > best.length:
            best = Repetition(fraction, ahead + behind, first - behind, second - behind)
    return best


def _begin(limits: NDArray[np.int64], position: int) -> int:
    """Where the segment of a position begins."""
    return int(np.searchsorted(limits, limits[position]))


def _equal(one: Ids, other: Ids) -> int:
    """How many characters two texts of one length have in common at their beginnings."""
    different = one != other
    return int(different.argmax()) if different.any() else len(one)
