"""Detection of a distribution shift: whether the tail of a text differs from the rest.

It uses two statistics on n-grams of characters. Each is measured on evenly spaced samples, so that
the time does not depend on the length of the text. The samples are not random.

1. Novelty, in nats per character. An n-gram model of the rest predicts one half of a stretch (every
   other block of it), with and without the counts of its other half:

       novelty = H(half | rest) - H(half | rest + other half)

   It is about 0 if the rest is the same kind of text. It is computed for the tail and for stretches
   of the same length elsewhere, which show how much the text varies. If most of them are novel, the
   order of the text has a meaning, as in a sorted list.

2. A change. The text is cut into equal stretches, each of which has a vector of the square roots of
   its bigrams' frequencies. The pseudo-F statistic compares the variation between the stretches
   before and after a cut with that within them (Anderson 2001, "A new method for non-parametric
   multivariate analysis of variance"). It is large for two concatenated books, whose tail is not
   novel, but belongs to the second book only.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from charlstm.text.tokenizer import Ids

NOVEL = 0.3
"""Novelty of the tail, in nats per character, from which it differs from the rest, if no other
stretch is as novel."""
SORTED = 0.25
"""Median novelty of other stretches, from which the order of the whole text has a meaning."""
CHANGE = 8.0
"""Pseudo-F statistic of a cut from which a text is of two kinds."""
LESS = 0.5
"""A novelty and a statistic of this fraction of the two thresholds are enough together."""
_MAJORITY = 0.55  # of the text: if the kind after the cut has more, the tail represents the text

_MIN_TAIL = 1000  # characters; a shorter tail shows nothing
_SAMPLE = 64_000  # characters of a stretch
_BACKGROUND = 600_000  # characters of the rest
_BLOCKS = 16  # samples of a stretch; every other one is predicted
_STRETCHES = 9  # whose novelty is compared with the tail's
_ORDERS = 3  # unigrams, bigrams, trigrams
_BITS = 18  # of the hash of an n-gram
_SMOOTHING = 4.0  # characters: weight of the shorter n-gram's prediction

_CHANGE_STRETCHES = 20
_CHANGE_BLOCKS = 4
_CHANGE_SAMPLE = 25_000  # characters of a stretch
_CHANGE_BITS = 14


@dataclass(frozen=True)
class Shift:
    """How the tail of a text differs from the rest.

    Attributes:
        novelty: of the tail, in nats per character.
        elsewhere: the same of other stretches.
        change: the largest pseudo-F statistic of a cut.
        position: fraction of the text before that cut.
    """

    novelty: float
    elsewhere: tuple[float, ...]
    change: float
    position: float

    @property
    def is_large(self) -> bool:
        """Whether the tail differs from the rest."""
        unusual = self.novelty > max(self.elsewhere, default=0.0)
        is_sorted = bool(self.elsewhere) and float(np.median(self.elsewhere)) >= SORTED
        change = self.change if 1 - self.position <= _MAJORITY else 0.0
        return (
            (self.novelty >= NOVEL and (unusual or is_sorted))
            or change >= CHANGE
            or (self.novelty >= LESS * NOVEL and unusual and change >= LESS * CHANGE)
        )


def measure_shift(ids: Ids, vocab_size: int, tail: int) -> Shift | None:
    """Compare the tail of a text with the rest.

    Args:
        ids: the text, shape (num_chars,); may be memory-mapped.
        vocab_size: V; ids are below it.
        tail: length of the tail, in characters.

    Returns:
        The differences; None where the text is too short to measure them.
    """
    size = len(ids)
    if tail < _MIN_TAIL or size - tail < _MIN_TAIL:
        return None
    novelty, elsewhere = _novelties(ids, vocab_size, tail)
    change, position = _largest_change(ids)
    return Shift(novelty, elsewhere, change, position)


def is_other_tail(ids: Ids, vocab_size: int, tail: int) -> bool:
    """Whether the tail differs from the rest; arguments as for `measure_shift`."""
    shift = measure_shift(ids, vocab_size, tail)
    return shift is not None and shift.is_large


def _novelties(ids: Ids, vocab_size: int, tail: int) -> tuple[float, tuple[float, ...]]:
    """Novelty of the tail, and of stretches of its length in the rest."""
    rest = len(ids) - tail
    length = min(rest, tail)
    count = min(rest // length, max(_STRETCHES, _BACKGROUND // min(length, _SAMPLE)))
    starts = np.linspace(0, rest - length, count).astype(np.int64).tolist()
    # A single other stretch is all of the rest: its novelty would be the tail's.
    shown = np.linspace(0, count - 1, min(count, _STRETCHES)).astype(int) if count > 1 else ()
    total = _Counts()
    stretches = []
    for number, span in enumerate([*((a, a + length) for a in starts), (rest, len(ids))]):
        grams = [_NGrams.of(ids[first:stop]) for first, stop in _samples(*span)]
        own = _Counts()
        for sample in grams:
            own.add(sample)
        total.merge(own)
        if number in shown or number == count:
            stretches.append((own, grams[::2]))
    found = []
    for own, half in stretches:
        predicted = _Counts()
        for sample in half:
            predicted.add(sample)
        chars = sum(sample.count for sample in half)
        nats = [  # by counts of the rest alone, and of the rest and the other half
            total.nats(sample, vocab_size, without=own)
            - total.nats(sample, vocab_size, without=predicted)
            for sample in half
        ]
        found.append(sum(nats) / chars)
    return found[-1], tuple(found[:-1])


def _samples(start: int, stop: int) -> list[tuple[int, int]]:
    """Evenly spaced ranges of a stretch: all of it, or `_SAMPLE` characters."""
    cuts = np.linspace(start, stop, _BLOCKS + 1).astype(np.int64).tolist()
    return [(a, min(b, a + _SAMPLE // _BLOCKS)) for a, b in pairwise(cuts)]


@dataclass(frozen=True)
class _NGrams:
    """Hashes of the n-grams that end at the same characters.

    Attributes:
        grams: for each order from 1, shape (count,).
        contexts: for each order from 2, the n-grams one shorter, a character earlier.
    """

    grams: list[NDArray[np.int64]]
    contexts: list[NDArray[np.int64]]

    @property
    def count(self) -> int:
        """Number of characters."""
        return len(self.grams[0])

    @classmethod
    def of(cls, ids: Ids) -> _NGrams:
        """The n-grams of a sample, at all its characters but the first few."""
        all_grams = [_hash(ids, order, _BITS) for order in range(1, _ORDERS + 1)]
        size = len(all_grams[-1])
        return cls(
            [grams[len(grams) - size :] for grams in all_grams],
            [grams[len(grams) - size - 1 : -1] for grams in all_grams[:-1]],
        )


class _Counts:
    """Counts of n-grams, by order and hash."""

    def __init__(self) -> None:
        self.tables = [np.zeros(1 << _BITS, dtype=np.int64) for _ in range(_ORDERS)]
        self.chars = 0

    def add(self, sample: _NGrams) -> None:
        """Count the n-grams of a sample."""
        self.chars += sample.count
        for table, grams in zip(self.tables, sample.grams, strict=True):
            np.add.at(table, grams, 1)

    def merge(self, other: _Counts) -> None:
        """Add the counts of other samples."""
        self.chars += other.chars
        for table, more in zip(self.tables, other.tables, strict=True):
            np.add(table, more, out=table)

    def nats(self, sample: _NGrams, vocab_size: int, *, without: _Counts) -> float:
        """Negative log-likelihood of a sample, each order smoothed by the one below.

        Args:
            sample: the sample.
            vocab_size: V.
            without: counts that are subtracted. Only those of the sample are: to subtract whole
                tables takes ten times as long.
        """

        def counts(order: int, grams: NDArray[np.int64]) -> NDArray[np.int64]:
            return self.tables[order][grams] - without.tables[order][grams]

        chars = self.chars - without.chars
        p = (counts(0, sample.grams[0]) + 0.5) / (chars + 0.5 * vocab_size)
        for order, (contexts, grams) in enumerate(
            zip(sample.contexts, sample.grams[1:], strict=True), start=1
        ):
            p = (counts(order, grams) + _SMOOTHING * p) / (counts(order - 1, contexts) + _SMOOTHING)
        return float(-np.log(p).sum())


def _largest_change(ids: Ids) -> tuple[float, float]:
    """The largest pseudo-F statistic of a cut, and the fraction of the text before it."""
    cuts = np.linspace(0, len(ids), _CHANGE_STRETCHES + 1).astype(np.int64).tolist()
    rows = []
    for start, stop in pairwise(cuts):
        counts = np.zeros(1 << _CHANGE_BITS, dtype=np.int64)
        inner = np.linspace(start, stop, _CHANGE_BLOCKS + 1).astype(np.int64).tolist()
        for a, b in pairwise(inner):
            sample = ids[a : min(b, a + _CHANGE_SAMPLE // _CHANGE_BLOCKS)]
            counts += np.bincount(_hash(sample, 2, _CHANGE_BITS), minlength=len(counts))
        rows.append(np.sqrt(counts / max(1, counts.sum())))
    vectors = np.stack(rows)  # (stretches, hashes)
    count = len(vectors)
    total = _scatter(vectors)
    best, position = 0.0, 0
    for cut in range(2, count - 1):  # two stretches at least on each side
        within = _scatter(vectors[:cut]) + _scatter(vectors[cut:])
        change = (total - within) * (count - 2) / (within + 1e-12)
        if change > best:
            best, position = change, cut
    return best, position / count


def _scatter(vectors: NDArray[np.float64]) -> float:
    """Sum of squared distances from the mean: (N, D)."""
    return float(np.square(vectors - vectors.mean(0)).sum())


def _hash(ids: Ids, order: int, bits: int) -> NDArray[np.int64]:
    """Hashes below 2^bits of a sample's n-grams, shape (max(0, len(ids) - order + 1),)."""
    chars = ids.astype(np.uint64) + np.uint64(1)
    values = chars[order - 1 :]
    for distance in range(1, order):  # an odd factor is invertible; the shift mixes bits
        values = values * np.uint64(0x9E3779B97F4A7C15)
        values += chars[order - 1 - distance :][: len(values)]
        values ^= values >> np.uint64(29)
    mixed = (values * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(64 - bits)
    return mixed.astype(np.int64)
