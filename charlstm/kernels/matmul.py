"""The matrix product `out[r, n] = sum over k of rows[r, k] * matrix[k, n]`.

The product of some rows and the columns of a panel is summed at a time, or of one row and the
columns of four panels, all in registers: a tile, whose size depends on the processor's class. The
matrix is laid out once (`pack`), so that the loop reads the columns of a panel one after the
other. One instruction multiplies a word of 32 bits: one float32, or bfloat16's numbers of two
consecutive k, or bytes of four (see `charlstm.kernels.products`).

So a panel holds the numbers that share a word side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from charlstm.kernels.jit import jit
from charlstm.kernels.llvm import I32, I64, IS_X86, instructions, intrinsic, ir
from charlstm.kernels.products import PRODUCTS
from charlstm.kernels.team import element_pointer, in_team, run_in_team


@dataclass(frozen=True)
class _Class:
    """The tiles of a class of processors.

    Attributes:
        lanes: 32-bit words in a vector register.
        vectors: registers in a row of a panel.
        rows: the most rows of a tile.
    """

    lanes: int
    vectors: int
    rows: int


_AVX512 = _Class(lanes=16, vectors=2, rows=8)  # 16 of 32 registers hold sums
_AVX2 = _Class(lanes=8, vectors=2, rows=6)  # 12 of 16
_NEON = _Class(lanes=4, vectors=4, rows=5)  # 20 of 32; and other processors' vectors of 128 bits


def _class() -> _Class:
    """The class that numba compiles for."""
    if not IS_X86:
        return _NEON
    return _AVX512 if "avx512bw" in instructions() else _AVX2


CLASS = _class()
LANES = CLASS.lanes
PANEL_WIDTH = CLASS.vectors * LANES
"""Columns in a panel."""
TILE_ROWS, _VECTORS = CLASS.rows, CLASS.vectors
_WORDS = ir.VectorType(I32, LANES)


def tile(rows: int, panels: int = 1, *, adds: bool = False) -> Any:
    """Code for the product of some rows and some consecutive panels.

    Args:
        rows, panels: how many.
        adds: whether the product is added to `out`. Then the rows are the columns of a float32
            matrix (depth, rows).
    """
    vectors = _VECTORS * panels

    @intrinsic  # type: ignore[untyped-decorator]
    def multiply(_: Any, out: Any, ldo: Any, left: Any, lda: Any, panel: Any, depth: Any) -> Any:
        """out[r, :columns] = left[r, :depth] times the panels; ldo, lda: their rows' strides."""
        product = PRODUCTS[left.dtype]
        sum_type, factor_type = product.sums(LANES), product.factors(LANES)

        def generate(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
            out, ldo, left, lda, panel, depth = arguments
            zeros = ir.Constant(sum_type, [0] * LANES)
            align = 4 // product.values_per_word

            def number(value: int) -> Any:
                return ir.Constant(I64, value)

            firsts = [number(r) if adds else b.mul(lda, number(r)) for r in range(rows)]
            size = b.mul(depth, number(PANEL_WIDTH))
            tops = [b.gep(panel, [b.mul(size, number(p))]) for p in range(panels)]
            before = b.basic_block
            loop, after = b.append_basic_block("product"), b.append_basic_block("product.done")
            b.branch(loop)
            b.position_at_end(loop)
            k = b.phi(I64)
            k.add_incoming(number(0), before)
            sums = [[b.phi(sum_type) for _ in range(vectors)] for _ in range(rows)]
            columns = []
            for v in range(vectors):
                place = b.add(
                    b.mul(k, number(PANEL_WIDTH)),
                    number(v % _VECTORS * LANES * product.values_per_word),
                )
                pointer = b.bitcast(b.gep(tops[v // _VECTORS], [place]), factor_type.as_pointer())
                columns.append(b.load(pointer, align=align))
            results = []
            for r in range(rows):
                place = b.add(firsts[r], b.mul(k, number(rows)) if adds else k)
                pointer = b.bitcast(b.gep(left, [place]), I32.as_pointer())
                word = b.load(pointer, align=align)
                undefined = ir.Constant(_WORDS, ir.Undefined)
                one = b.insert_element(undefined, word, ir.Constant(I32, 0))
                words = b.shuffle_vector(one, undefined, ir.Constant(_WORDS, [0] * LANES))
                row = b.bitcast(words, factor_type)
                results.append(
                    [product.add(b, sums[r][v], row, columns[v]) for v in range(vectors)]
                )
            following = b.add(k, number(product.values_per_word))
            k.add_incoming(following, loop)
            for r in range(rows):
                for v in range(vectors):
                    sums[r][v].add_incoming(zeros, before)
                    sums[r][v].add_incoming(results[r][v], loop)
            b.cbranch(b.icmp_unsigned("<", following, depth), loop, after)
            b.position_at_end(after)
            for r in range(rows):
                row = b.gep(out, [b.mul(ldo, number(r))])
                for v in range(vectors):
                    pointer = b.bitcast(b.gep(row, [number(v * LANES)]), sum_type.as_pointer())
                    result = results[r][v]
                    if adds:
                        result = b.fadd(b.load(pointer, align=4), result)
                    b.store(result, pointer, align=4)
            return context.get_dummy_value()

        return types.void(out, ldo, left, lda, panel, depth), generate

    return multiply


_multiply_most, _multiply_4, _multiply_2, _multiply_1 = map(tile, (TILE_ROWS, 4, 2, 1))
_multiply_1_by_4 = tile(1, 4)


def empty_panels(depth: int, columns: int, like: NDArray[Any]) -> NDArray[Any]:
    """Uninitialised memory for `pack` of a (K, N) matrix: (panels, K, PANEL_WIDTH)."""
    return np.empty((-(-columns // PANEL_WIDTH), depth, PANEL_WIDTH), dtype=like.dtype)


@jit
def pack(matrix: NDArray[Any], packed: NDArray[Any], first: int, last: int) -> None:
    """Lay out a matrix (K, N) as panels, those from `first` up to `last`.

    Columns beyond N are zero.

    Args:
        matrix: (K, N); K must be even in bfloat16, and a multiple of 4 in bytes.
        packed: (panels, K, PANEL_WIDTH), filled; see `empty_panels`.
    """
    depth, columns = matrix.shape
    for p in range(first, last):
        width = min(PANEL_WIDTH, columns - p * PANEL_WIDTH)
        if width < PANEL_WIDTH:
            packed[p] = 0
        if packed.itemsize == 2:
            pairs = packed[p].view(np.uint32).reshape(depth // 2, PANEL_WIDTH)
            for k in range(0, depth, 2):
                even, odd, into = (
                    matrix[k, p * PANEL_WIDTH :],
                    matrix[k + 1, p * PANEL_WIDTH :],
                    pairs[k // 2],
                )
                for n in range(width):
                    into[n] = np.uint32(even[n]) | (np.uint32(odd[n]) << np.uint32(16))
        elif packed.itemsize == 1:
            fours = packed[p].reshape(depth // 4, PANEL_WIDTH, 4)
            for k in range(depth):
                row = matrix[k, p * PANEL_WIDTH :]
                for n in range(width):
                    fours[k // 4, n, k % 4] = row[n]
        else:
            for k in range(depth):
                row, into = matrix[k, p * PANEL_WIDTH :], packed[p, k]
                for n in range(width):
                    into[n] = row[n]


@jit
def pack_transposed(matrix: NDArray[Any], packed: NDArray[Any], first: int, last: int) -> None:
    """`pack` of the transpose of a matrix (N, K); not for bytes."""
    columns, depth = matrix.shape
    for p in range(first, last):
        width = min(PANEL_WIDTH, columns - p * PANEL_WIDTH)
        if width < PANEL_WIDTH:
            packed[p] = 0
        rows = matrix[p * PANEL_WIDTH : p * PANEL_WIDTH + width]
        if packed.itemsize == 2:
            pairs, into = (
                rows.view(np.uint32),
                packed[p].view(np.uint32).reshape(depth // 2, PANEL_WIDTH),
            )
            for k in range(depth // 2):
                for n in range(width):
                    into[k, n] = pairs[n, k]
        else:
            for k in range(depth):
                for n in range(width):
                    packed[p, k, n] = rows[n, k]


@jit
def multiply(rows: NDArray[Any], packed: NDArray[Any], out: NDArray[np.float32]) -> None:
    """Multiply rows by a packed matrix.

    Args:
        rows: (R, K).
        packed: the matrix (K, N), see `pack`.
        out: (R, panels * PANEL_WIDTH), filled; with int32's bits for a product of bytes.
    """
    count, depth = rows.shape
    panels, width = packed.shape[0], out.shape[1]
    lda, ldo, deep = np.int64(depth), np.int64(width), np.int64(depth)
    p = 0
    while count == 1 and p + 4 <= panels:
        panel = element_pointer(packed, np.int64(p * depth * PANEL_WIDTH))
        _multiply_1_by_4(
            element_pointer(out, np.int64(p * PANEL_WIDTH)),
            ldo,
            element_pointer(rows, 0),
            lda,
            panel,
            deep,
        )
        p += 4
    while p < panels:
        panel = element_pointer(packed, np.int64(p * depth * PANEL_WIDTH))
        r = 0
        while r < count:
            at, to = (
                element_pointer(rows, np.int64(r * depth)),
                element_pointer(out, np.int64(r * width + p * PANEL_WIDTH)),
            )
            if r + TILE_ROWS <= count:
                _multiply_most(to, ldo, at, lda, panel, deep)
                r += TILE_ROWS
            elif r + 4 <= count:
                _multiply_4(to, ldo, at, lda, panel, deep)
                r += 4
            elif r + 2 <= count:
                _multiply_2(to, ldo, at, lda, panel, deep)
                r += 2
            else:
                _multiply_1(to, ldo, at, lda, panel, deep)
                r += 1
        p += 1


@in_team(pack)
def _pack_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
    run_in_team(entry, threads, rows, pack, arguments)


@in_team(pack_transposed)
def _pack_transposed_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
    run_in_team(entry, threads, rows, pack_transposed, arguments)
