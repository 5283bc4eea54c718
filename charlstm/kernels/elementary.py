"""Elementary functions for many numbers at a time, and conversions between number formats.

bfloat16 numbers are stored in arrays of uint16, as numpy has no such type: they are the upper half
of a float32's bits. Bytes are uint8: 1 to 255 stand for the numbers from -1 to 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from charlstm.kernels.jit import jit

# tanh(x) = x * p(x^2) / q(x^2) up to |x| = 8, where 1 - tanh(x) is below a float32's resolution:
# least squares over that range, reweighted until the largest error was the smallest. In float32
# it is off by at most 4e-7.
_END = np.float32(8)
_P1, _P2, _P3, _P4 = map(np.float32, (0.13444474, 3.5715695e-3, 2.1894185e-5, 1.522973e-8))
_Q1, _Q2, _Q3, _Q4 = map(np.float32, (0.46777801, 0.026164335, 3.4112451e-4, 8.5221712e-7))
_HALF, _ONE = np.float32(0.5), np.float32(1)


@jit
def tanh(x: np.float32) -> np.float32:
    """The hyperbolic tangent, off by at most 5e-7.

    libm's takes one number at a time; this one compiles to vector instructions.
    """
    x = min(max(x, -_END), _END)
    y = x * x
    above = (((_P4 * y + _P3) * y + _P2) * y + _P1) * y + _ONE
    below = (((_Q4 * y + _Q3) * y + _Q2) * y + _Q1) * y + _ONE
    return x * above / below


_LOG2_E, _LN_2, _LEAST = map(np.float32, (1.44269504, 0.69314718, -87.0))
# 1/n!: their sum is off by 1.2e-7 of exp(x) within ln(2)/2 of 0.
_E2, _E3, _E4, _E5, _E6 = map(np.float32, (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720))
_BIAS, _MANTISSA = np.int32(127), np.int32(23)  # of a float32's bits


@jit
def exp(x: np.float32) -> np.float32:
    """The exponential of x <= 0, within 1e-6 of it; below -87 it is that of -87."""
    x = max(x, _LEAST)
    power = np.floor(x * _LOG2_E + _HALF)
    r = x - power * _LN_2
    series = ((((_E6 * r + _E5) * r + _E4) * r + _E3) * r + _E2) * r * r + r + _ONE
    scale = np.int32((np.int32(power) + _BIAS) << _MANTISSA).view(np.float32)
    result: np.float32 = series * scale
    return result


@jit
def sigmoid(x: np.float32) -> np.float32:
    """The logistic function."""
    return _HALF * tanh(_HALF * x) + _HALF


def to_float32(x: Any) -> Any:
    """A float32, or bfloat16's bits (uint16), as a float32; can be called by kernels only."""
    raise NotImplementedError


BYTE_ZERO, BYTE_SCALE = 128, 127
"""The byte of a number x is x * BYTE_SCALE, rounded, plus BYTE_ZERO where it is uint8."""


def from_float32(x: Any, like: Any) -> Any:
    """A float32 rounded to the type of `like`; can be called by kernels only.

    Args:
        x: between -1 and 1 where `like` is a byte.
        like: a float32, or bfloat16's bits (uint16), or a byte (uint8 or int8).
    """
    raise NotImplementedError


@overload(to_float32, inline="always")
def _implement_to_float32(x: Any) -> Any:
    def from_bfloat16(x: Any) -> Any:
        return np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)

    def same(x: Any) -> Any:
        return x

    return from_bfloat16 if isinstance(x, types.Integer) else same


_SCALE, _ABOVE = np.float32(BYTE_SCALE), np.float32(BYTE_ZERO + 0.5)  # truncation rounds


@overload(from_float32, inline="always")
def _implement_from_float32(x: Any, like: Any) -> Any:
    def to_bfloat16(x: Any, like: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))  # ties to even
        return np.uint16((bits + half) >> np.uint32(16))

    def to_uint8(x: Any, like: Any) -> Any:
        return np.uint8(np.int32(x * _SCALE + _ABOVE))

    def to_int8(x: Any, like: Any) -> Any:
        return np.int8(np.int32(x * _SCALE + _ABOVE) - np.int32(BYTE_ZERO))

    def same(x: Any, like: Any) -> Any:
        return x

    if not isinstance(like, types.Integer):
        return same
    return {types.uint8: to_uint8, types.int8: to_int8}.get(like, to_bfloat16)
