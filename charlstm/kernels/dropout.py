"""Dropout that any thread or process can draw again for any part of an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.kernels.elementary import from_float32, to_float32
from charlstm.kernels.jit import jit
from charlstm.kernels.team import in_team, run_in_team

_WEYL, _MIX_1, _MIX_2 = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_30, _27, _31 = map(np.uint64, (30, 27, 31))


@jit
def dropout(
    values: NDArray[Any],
    out: NDArray[Any],
    seed: np.uint64,
    rate: int,
    total: int,
    offset: int,
    first: int,
    last: int,
) -> None:
    """Set out = 0 with a probability of rate / 65536, else values * 65536 / (65536 - rate).

    Each element has sixteen random bits, of the splitmix64 generator (Steele et al. 2014) at a
    position that depends on the element's own. So any part can be drawn again, by any thread or
    process.

    Args:
        values, out: (A, B, C).
        seed: of the random bits.
        rate: in units of 1 / 65536.
        total, offset: `values` are a part of an array (A, total, C), from `offset` on.
        first, last: computes these of the A * B rows.
    """
    _, width, columns = values.shape
    words = np.empty((columns + 3) // 4, np.uint64)
    bits = words.view(np.uint16)
    scale, none = np.float32(65536 / (65536 - rate)), np.float32(0)
    least = np.uint16(rate)
    for row in range(first, last):
        a, b = row // width, row % width
        place = np.uint64((a * total + offset + b) * len(words))
        for w in range(len(words)):
            z = seed + (place + np.uint64(w)) * _WEYL
            z = (z ^ (z >> _30)) * _MIX_1
            z = (z ^ (z >> _27)) * _MIX_2
            words[w] = z ^ (z >> _31)
        given, result = values[a, b], out[a, b]
        for j in range(columns):
            factor = scale if bits[j] >= least else none
            result[j] = from_float32(to_float32(given[j]) * factor, result[j])


@in_team(dropout)
def _dropout_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
    run_in_team(entry, threads, rows, dropout, arguments)
