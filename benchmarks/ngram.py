"""A character n-gram model with Witten-Bell smoothing (Witten & Bell 1991), in numpy.

    P(c | h) = (C(h c) + T(h) P(c | h')) / (C(h) + T(h))

h are the n - 1 characters before c, h' is h without its first character, C counts, and T(h) is the
number of distinct characters after h. Where h does not occur, P(c | h) is P(c | h'). Without any
context it is interpolated with a uniform distribution over all characters of Unicode, as an unknown
character is charged by `charlstm eval --by`.

Each line is predicted from its own beginning, and its end counts as one more character.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHARACTERS = 154_998  # of Unicode 16.0
_END, _PAD, _OTHER = 0, 1, 2  # ids of a line's end, of what stands before it, and of all others
_BITS = 10  # of an id


@dataclass(frozen=True)
class _Order:
    """Counts of one order: sorted keys of contexts and of contexts with their next character.

    Attributes:
        contexts, totals, kinds: keys of h, and C(h) and T(h).
        grams, counts: keys of h c, and C(h c).
    """

    contexts: NDArray[np.uint64]
    totals: NDArray[np.int64]
    kinds: NDArray[np.int64]
    grams: NDArray[np.uint64]
    counts: NDArray[np.int64]


class WittenBell:
    """A model of lines.

    Args:
        lines: the training text.
        order: n, at most 6.
    """

    def __init__(self, lines: Sequence[str], order: int = 6) -> None:
        self._order = order
        characters = sorted(set().union(*lines))
        self._ids = {c: n for n, c in enumerate(characters, start=_OTHER + 1)}
        assert len(self._ids) + _OTHER < 1 << _BITS
        ids, targets = self._encode(lines)
        self._orders = []
        for length in range(order):  # of the context
            _, grams = _keys(ids, targets, length)
            grams, counts = np.unique(grams, return_counts=True)
            found, first, kinds = np.unique(
                grams >> np.uint64(_BITS), return_index=True, return_counts=True
            )
            totals = np.add.reduceat(counts, first)
            self._orders.append(_Order(found, totals, kinds, grams, counts))

    def losses(self, lines: Sequence[str]) -> list[NDArray[np.float64]]:
        """The loss of each character of each line and of its end, in nats."""
        ids, targets = self._encode(lines)
        chances = np.full(len(targets), 1 / CHARACTERS)
        for length, order in enumerate(self._orders):
            contexts, grams = _keys(ids, targets, length)
            totals = _look_up(order.contexts, order.totals, contexts)
            kinds = _look_up(order.contexts, order.kinds, contexts)
            counts = _look_up(order.grams, order.counts, grams)
            mixed = (counts + kinds * chances) / np.maximum(1, totals + kinds)
            chances = np.where(totals > 0, mixed, chances)
        ends = np.cumsum([len(line) + 1 for line in lines])
        return np.split(-np.log(chances), ends[:-1])

    def _encode(self, lines: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Ids of all lines with what stands before them, and positions of predicted characters."""
        before = [_PAD] * (self._order - 1)
        ids: list[int] = []
        targets: list[NDArray[np.int64]] = []
        for line in lines:
            ids += before
            targets.append(np.arange(len(ids), len(ids) + len(line) + 1))
            ids += [self._ids.get(c, _OTHER) for c in line]
            ids.append(_END)
        return np.array(ids, dtype=np.uint64), np.concatenate(targets)


def _keys(
    ids: NDArray[np.uint64], targets: NDArray[np.int64], length: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Keys of the contexts of that length, and of contexts with the predicted character."""
    contexts = np.zeros(len(targets), dtype=np.uint64)
    for back in range(length, 0, -1):
        contexts = contexts << np.uint64(_BITS) | ids[targets - back]
    return contexts, contexts << np.uint64(_BITS) | ids[targets]


def _look_up(
    keys: NDArray[np.uint64], values: NDArray[np.int64], wanted: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """The values of some keys; 0 for keys that are not there."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0)
