"""The instructions that multiply words of 32 bits, and add the products to sums.

A word is one float32; or bfloat16's numbers of two consecutive k, which x86's `vdpbf16ps` adds to a
float32; or bytes of four consecutive k, added to an int32. The columns' bytes are int8, a row's
are as in `charlstm.kernels.elementary`:

- uint8 where x86 has `vpdpbusd`, which multiplies uint8 by int8;
- int8 elsewhere: `vpmaddubsw` multiplies the row's absolute value by the column with the row's
  sign, and adds pairs, which stay within 2 * 127 * 127, below an int16's limit; `vpmaddwd` adds
  pairs of those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types

from charlstm.kernels.llvm import BFLOAT, I8, I16, I32, cgutils, instructions, ir

BYTE_TYPE = np.dtype(np.uint8 if "avx512vnni" in instructions() else np.int8)
"""The dtype of a row of bytes."""


@dataclass(frozen=True)
class Product:
    """How numbers of a format are multiplied.

    Attributes:
        values_per_word: how many numbers make a word.
        sum, factor: the types of a sum and of a number.
        add: code for sums, from sums, the row's word in each lane, and the columns' words.
    """

    values_per_word: int
    sum: Any
    factor: Any
    add: Callable[[Any, Any, Any, Any], Any]

    def sums(self, lanes: int) -> Any:
        """The type of a vector of sums."""
        return ir.VectorType(self.sum, lanes)

    def factors(self, lanes: int) -> Any:
        """The type of a vector of words."""
        return ir.VectorType(self.factor, lanes * self.values_per_word)


def _call(b: Any, name: str, result: Any, *arguments: Any) -> Any:
    """Code for a call of one of LLVM's functions."""
    kind = ir.FunctionType(result, [argument.type for argument in arguments])
    return b.call(cgutils.get_or_insert_function(b.module, kind, f"llvm.{name}"), arguments)


def _add_float32(b: Any, total: Any, row: Any, column: Any) -> Any:
    return _call(b, f"fma.v{total.type.count}f32", total.type, row, column, total)


def _add_bfloat16(b: Any, total: Any, row: Any, column: Any) -> Any:
    return _call(b, "x86.avx512bf16.dpbf16ps.512", total.type, total, row, column)


def _add_uint8(b: Any, total: Any, row: Any, column: Any) -> Any:
    words = [b.bitcast(factor, total.type) for factor in (row, column)]
    return _call(b, "x86.avx512.vpdpbusd.512", total.type, total, *words)


def _add_int8(b: Any, total: Any, row: Any, column: Any) -> Any:
    lanes = total.type.count
    halves = ir.VectorType(I16, 2 * lanes)
    zeros, ones = ir.Constant(row.type, [0] * 4 * lanes), ir.Constant(halves, [1] * 2 * lanes)
    is_negative = b.icmp_signed("<", row, zeros)
    size = b.select(is_negative, b.sub(zeros, row), row)
    if lanes == 16:
        signed = b.select(is_negative, b.sub(zeros, column), column)
        pairs = _call(b, "x86.avx512.pmaddubs.w.512", halves, size, signed)
        fours = _call(b, "x86.avx512.pmaddw.d.512", total.type, pairs, ones)
    else:
        signed = _call(b, "x86.avx2.psign.b", row.type, column, row)
        pairs = _call(b, "x86.avx2.pmadd.ub.sw", halves, size, signed)
        fours = _call(b, "x86.avx2.pmadd.wd", total.type, pairs, ones)
    return b.add(total, fours)


PRODUCTS = {
    types.float32: Product(1, ir.FloatType(), ir.FloatType(), _add_float32),
    types.uint16: Product(2, ir.FloatType(), BFLOAT, _add_bfloat16),
    types.uint8: Product(4, I32, I8, _add_uint8),
    types.int8: Product(4, I32, I8, _add_int8),
}
"""By the type of a row's numbers. `charlstm.kernels.availability` knows which a processor has."""
