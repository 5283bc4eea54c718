"""Pseudo-random permutations in constant memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def shuffle(places: NDArray[np.uint64], size: int, key: int) -> NDArray[np.uint64]:
    """Images of `places` under a pseudo-random permutation of 0..size-1, in O(1) memory.

    A Feistel network on 2b bits is a bijection for any round function. It is applied again to
    values of `size` or more until all are below (cycle walking), which gives a bijection on
    0..size-1. (Black & Rogaway 2002, "Ciphers with arbitrary finite domains".)
    """
    half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
    mask = np.uint64((1 << int(half)) - 1)
    out = places.copy()
    todo = np.arange(len(out))
    while todo.size:
        out[todo] = _feistel(out[todo], half, mask, key)
        todo = todo[out[todo] >= size]
    return out


def _feistel(
    values: NDArray[np.uint64], half: np.uint64, mask: np.uint64, key: int
) -> NDArray[np.uint64]:
    left, right = values >> half, values & mask
    for turn in range(4):
        mixed = right + np.uint64((key + turn * 0x9E3779B97F4A7C15) % 2**64)
        # The finalizer of splitmix64 (Steele, Lea & Flood 2014); products wrap around.
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        left, right = right, left ^ ((mixed ^ (mixed >> np.uint64(31))) & mask)
    return (left << half) | right
