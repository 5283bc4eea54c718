"""Unicode code points of texts as arrays: conversion, case folding, counts and dtypes of ids."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODE_POINTS = 0x110000
"""Number of code points."""


def code_points(text: str) -> NDArray[np.unsignedinteger[Any]]:
    """The text's code points: uint8 if it is ASCII, otherwise uint32; shape (len(text),)."""
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), dtype=np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def num_bytes_of(counts: Mapping[str, int]) -> int:
    """The length in UTF-8 of characters with their counts."""
    return sum(n * len(c.encode("utf-8", "surrogatepass")) for c, n in counts.items())


def fold_case(points: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
    """The lower case of each code point, same shape.

    A code point whose lower case is longer than one character is unchanged.
    """
    lowered = [chr(point).lower() for point in points]
    return np.array(
        [ord(low) if len(low) == 1 else point for low, point in zip(lowered, points, strict=True)],
        dtype=np.int64,
    )


def count_code_points(text: str, counts: NDArray[np.int64]) -> None:
    """Add the counts of a text's code points to `counts`, shape (0x110000,)."""
    found = np.bincount(code_points(text))
    counts[: len(found)] += found


@functools.cache
def cased_code_points() -> tuple[NDArray[np.integer[Any]], NDArray[np.integer[Any]]]:
    """The code points that have a lower case, and their lower case by `fold_case`."""
    cased = np.array([p for p in range(CODE_POINTS) if chr(p).lower() != chr(p)], dtype=np.int64)
    return cased, fold_case(cased)


def smallest_id_dtype(largest: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest unsigned dtype that holds ids up to `largest`."""
    for dtype in (np.uint8, np.uint16):
        if largest <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.uint32)
