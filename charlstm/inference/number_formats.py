"""Conversions between float32 and the formats in which kernels multiply, for whole arrays.

`charlstm.kernels.elementary` has the same conversions of single numbers, and describes the formats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.inference.cells import Floats
from charlstm.kernels.elementary import BYTE_SCALE, BYTE_ZERO


def byte_zero(dtype: np.dtype[Any]) -> int:
    """The byte that stands for 0."""
    return BYTE_ZERO if dtype == np.uint8 else 0


def to_type(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    """float32 as a type of h, rounded to the nearest; ties to even in bfloat16."""
    if dtype.itemsize == 1:
        above = np.floor(values * BYTE_SCALE + (BYTE_ZERO + 0.5))
        bytes_: NDArray[Any] = (above - (BYTE_ZERO - byte_zero(dtype))).astype(dtype)
        return bytes_
    if dtype == np.uint16:
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
        upper: NDArray[Any] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(dtype)
        return upper
    return values


def to_float32(h: NDArray[Any]) -> Floats:
    """A type of h as float32."""
    if h.dtype.itemsize == 1:
        return (h.astype(np.float32) - np.float32(byte_zero(h.dtype))) / np.float32(BYTE_SCALE)
    if h.dtype == np.uint16:
        return (h.astype(np.uint32) << 16).view(np.float32)
    return h


def quantize(matrix: Floats, hidden: int, dtype: np.dtype[Any]) -> tuple[NDArray[np.int8], Floats]:
    """Columns of products as int8, with a scale for each column.

    Args:
        matrix: (K, N), the biases in row `hidden`, zeros below.
        hidden: H.
        dtype: of h.

    Returns:
        (K, N), int8, each column's largest number 127; and scales (2, N), see `generate`.
    """
    weights = matrix[:hidden]
    largest = np.abs(weights).max(axis=0, initial=0)
    scale = np.where(largest > 0, largest / 127, 1)
    converted = np.zeros(matrix.shape, dtype=np.int8)
    converted[:hidden] = np.rint(weights / scale)
    factors = scale / BYTE_SCALE
    offsets = matrix[hidden] - factors * byte_zero(dtype) * converted.sum(axis=0, dtype=np.int64)
    return converted, np.stack([factors, offsets]).astype(np.float32)
