"""Hashes of any range of a text, from one running sum.

With the mixed code point m(i) at each position and an odd number P, all modulo 2^64:

    H(i) = sum of m(j) P^j for j < i
    hash of [a, b) = (H(b) - H(a)) P^-a

It does not depend on the position. P is odd, so that it has an inverse.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_FACTOR = 0x9E3779B97F4A7C15
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_BASE = 0xD6E8FEB86659FD93
_INVERSE = pow(_BASE, -1, 1 << 64)


def _mix(points: NDArray[np.integer[Any]]) -> Hashes:
    mixed = (points.astype(np.uint64) + np.uint64(1)) * np.uint64(_FACTOR)
    mixed ^= mixed >> np.uint64(29)
    return mixed


_BYTES = _mix(np.arange(256))


class RangeHasher:
    """Computes hashes of ranges; keeps tables of powers, which grow with the longest text."""

    def __init__(self) -> None:
        self._powers = np.ones(1, dtype=np.uint64)
        self._inverses = np.ones(1, dtype=np.uint64)

    def sums(self, points: NDArray[np.integer[Any]]) -> Hashes:
        """The running sums H of code points or ids (N,), shape (N + 1,)."""
        if len(self._powers) <= len(points):
            size = 2 * len(points) + 1
            self._powers, self._inverses = _powers(_BASE, size), _powers(_INVERSE, size)
        mixed = _BYTES[points] if points.dtype == np.uint8 else _mix(points)
        mixed *= self._powers[: len(points)]
        found = np.zeros(len(points) + 1, dtype=np.uint64)
        np.cumsum(mixed, out=found[1:])
        return found

    def hashes(self, sums: Hashes, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> Hashes:
        """Hashes of the ranges from `starts` to `stops` (both (K,)), shape (K,)."""
        found = (sums[stops] - sums[starts]) * self._inverses[starts]
        # All bits depend on all characters: the highest ones choose a sample.
        found ^= found >> np.uint64(32)
        found *= _MIX
        found ^= found >> np.uint64(29)
        return found


def _powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, dtype=np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)
