"""Windows of LSTM compiled by numba, for the extra `charlstm[fast]`.

A step of a window is one product with the recurrent weights and some work on each unit. torch's
kernel shares each product among the processor's threads; here each thread takes some of the
streams through the whole window instead, forward or backward, and meets the others once, at its
end. The products are made by a loop of our own:

    out[r, n] = sum over k of rows[r, k] * matrix[k, n]

Eight rows times 32 columns are summed at a time, or one row times 128, all in registers. The
matrix is laid out once for a window (`pack`): 32 columns make a panel, in which the loop reads
128 bytes after another. In bfloat16 two k's are multiplied at once, by the processor's
`vdpbf16ps`, which adds to a float32; that is why a panel holds the numbers of k and k + 1 side by
side. In bytes, which only writing uses, it is four k's, by `vpdpbusd`, which adds to an int32. In
float32 it is a fused multiply-add.

bfloat16 numbers stand in arrays of uint16, as numpy has no such type: they are the upper half of
a float32's bits. Bytes are int8 in the matrix; in the rows, uint8 from 1 to 255 are the numbers
from -1 to 1.

The equations, with a = W x + b for all steps made before, and gates as in `charlstm.nn.cells`:

    lstm:     c' = f c + i g                coupled:  c' = f c + (1 - f) g
    u = tanh(c'), h' = o u

and back, from dh' (of this step's output and of the step after) and dc':

    da_o = dh' u o (1 - o)      ds = dc' + dh' o (1 - u^2)      dc = ds f
    lstm:     da_i = ds g i (1 - i)      da_f = ds c f (1 - f)          da_g = ds i (1 - g^2)
    coupled:                             da_f = ds (c - g) f (1 - f)    da_g = ds (1 - f)(1 - g^2)
    dh = U^T da

Importing this module imports numba, which takes most of a second. What is compiled, at the first
call, is kept on disk.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as _cgutils
from numba.core.registry import cpu_target
from numba.core.types import CPointer
from numba.extending import intrinsic as _intrinsic
from numba.extending import overload
from numpy.typing import NDArray

from charlstm.errors import CompiledCodeError, ProcessorError

_Function = TypeVar("_Function", bound=Callable[..., object])

# What numba does not declare.
cgutils, intrinsic, pointer_to = cast(Any, _cgutils), cast(Any, _intrinsic), cast(Any, CPointer)

_WRITTEN = Path(__file__).stat().st_mtime
_IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")

# Sums may be reordered and fused, which vectors need; infinities stay what they are.
_LOOSE = {"contract", "reassoc", "nsz", "arcp"}


def compiled(function: _Function) -> _Function:
    """`function`, compiled at its first call, the result kept on disk; other threads run meanwhile.

    Raises:
        CompiledCodeError: numba has no folder to keep it in, or its compiler is turned off.
    """
    if cast(Any, numba).config.DISABLE_JIT:
        raise CompiledCodeError("numba's compiler is turned off (NUMBA_DISABLE_JIT).")
    try:
        made = numba.njit(cache=True, fastmath=_LOOSE, error_model="numpy", nogil=True)(function)
    except RuntimeError as error:  # numba raises it where no cache folder can be written
        raise CompiledCodeError(
            "numba has no folder to keep compiled code in; set NUMBA_CACHE_DIR to a folder that "
            "can be written."
        ) from error
    # numba asks whether the function's own file is newer than what was kept, but code of this
    # file goes into functions of others.
    with suppress(OSError):
        for index in Path(made.stats.cache_path or ".").glob(f"*.{function.__name__}-*.nbi"):
            if index.stat().st_mtime < _WRITTEN:
                index.unlink()
    return cast(_Function, made)


# The instructions that products of each precision compile to, on x86.
_INSTRUCTIONS = {"float32": "fma", "bfloat16": "avx512bf16", "int8": "avx512vnni"}


def check_products(precision: str) -> None:
    """Check that compiled code can multiply numbers of a precision: float32, bfloat16 or int8.

    LLVM ends the whole process where it is asked for instructions that its target lacks.

    Raises:
        ProcessorError: this processor lacks the instructions.
        CompiledCodeError: numba is told (by NUMBA_CPU_NAME, NUMBA_CPU_FEATURES or
            NUMBA_ENABLE_AVX) not to use them.
    """
    if precision == "float32" and not _IS_X86:
        return  # LLVM has a fused multiply-add for each other processor that numba supports
    name = _INSTRUCTIONS[precision]
    host = llvmlite.binding.get_host_cpu_features()
    if not host.get(name):
        raise ProcessorError(f"this processor has no {precision} products ({name}).")
    _triple, cpu, features = cpu_target.target_context.codegen().magic_tuple()
    signs = {feature[1:]: feature[0] for feature in features.split(",") if feature}
    # A feature that is turned off takes those with it that build on it: any may be needed.
    turned_off = any(sign == "-" and host.get(feature) for feature, sign in signs.items())
    implied = cpu == llvmlite.binding.get_host_cpu_name()
    if turned_off or not (implied or signs.get(name) == "+"):
        raise CompiledCodeError(
            f"numba is set to a processor without {precision} products (NUMBA_CPU_NAME, "
            "NUMBA_CPU_FEATURES)."
        )


# ---------------------------------------------------------------- numbers

# tanh(x) = x * p(x^2) / q(x^2) up to |x| = 8, where 1 - tanh(x) is below a float32's resolution:
# least squares over that range, reweighted until the largest error was the smallest. In float32
# it is off by at most 4e-7.
_END = np.float32(8)
_P1, _P2, _P3, _P4 = map(np.float32, (0.13444474, 3.5715695e-3, 2.1894185e-5, 1.522973e-8))
_Q1, _Q2, _Q3, _Q4 = map(np.float32, (0.46777801, 0.026164335, 3.4112451e-4, 8.5221712e-7))
_HALF, _ONE = np.float32(0.5), np.float32(1)


@compiled
def tanh(x: np.float32) -> np.float32:
    """The hyperbolic tangent, for many numbers at a time: libm's is made for one."""
    x = min(max(x, -_END), _END)
    y = x * x
    above = (((_P4 * y + _P3) * y + _P2) * y + _P1) * y + _ONE
    below = (((_Q4 * y + _Q3) * y + _Q2) * y + _Q1) * y + _ONE
    return x * above / below


_LOG2_E, _LN_2, _LEAST = map(np.float32, (1.44269504, 0.69314718, -87.0))
# 1/n!: their sum is off by 1.2e-7 of exp(x) within ln(2)/2 of 0.
_E2, _E3, _E4, _E5, _E6 = map(np.float32, (1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720))
_BIAS, _MANTISSA = np.int32(127), np.int32(23)  # of a float32's bits


@compiled
def exp(x: np.float32) -> np.float32:
    """The exponential of a number that is not above 0, for many numbers at a time."""
    x = max(x, _LEAST)
    power = np.floor(x * _LOG2_E + _HALF)
    r = x - power * _LN_2
    series = ((((_E6 * r + _E5) * r + _E4) * r + _E3) * r + _E2) * r * r + r + _ONE
    scale = np.int32((np.int32(power) + _BIAS) << _MANTISSA).view(np.float32)
    result: np.float32 = series * scale
    return result


@compiled
def _sigmoid(x: np.float32) -> np.float32:
    return _HALF * tanh(_HALF * x) + _HALF


def wide(x: Any) -> Any:
    """A number of either kind as a float32; compiled code only."""
    raise NotImplementedError


MIDDLE, SCALE = 128, 127
"""A byte is a number's SCALE-fold, rounded, plus MIDDLE."""


def narrow(x: Any, like: Any) -> Any:
    """A float32, between -1 and 1 for a byte, rounded to the kind of `like`; compiled code only."""
    raise NotImplementedError


@overload(wide, inline="always")
def _make_wide(x: Any) -> Any:
    def widened(x: Any) -> Any:
        return np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)

    def same(x: Any) -> Any:
        return x

    return widened if isinstance(x, types.Integer) else same


_SCALE, _ABOVE = np.float32(SCALE), np.float32(MIDDLE + 0.5)  # what is cut off rounds down


@overload(narrow, inline="always")
def _make_narrow(x: Any, like: Any) -> Any:
    def rounded(x: Any, like: Any) -> Any:
        bits = np.float32(x).view(np.uint32)
        half = np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))  # ties to even
        return np.uint16((bits + half) >> np.uint32(16))

    def byte(x: Any, like: Any) -> Any:
        return np.uint8(np.int32(x * _SCALE + _ABOVE))

    def same(x: Any, like: Any) -> Any:
        return x

    if not isinstance(like, types.Integer):
        return same
    return byte if like == types.uint8 else rounded


# ---------------------------------------------------------------- products

LANES = 16
"""Columns in a vector."""
WIDTH = 2 * LANES
"""Columns in a panel."""


class _BFloat(ir.types._BaseFloatType):  # type: ignore[misc]  # llvmlite lacks the type
    def __str__(self) -> str:
        return "bfloat"


_BFloat._create_instance()
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_FLOATS, _WORDS = ir.VectorType(ir.FloatType(), LANES), ir.VectorType(_I32, LANES)


@dataclass(frozen=True)
class _Kind:
    """How numbers are multiplied.

    Attributes:
        each: how many k's at once, together a word of 32 bits.
        name: of LLVM's function, of a sum, a vector of the row's word, and one of columns' words.
        sums, factors: its vectors.
    """

    each: int
    name: str
    sums: Any
    factors: Any


_KINDS = {
    32: _Kind(1, "llvm.fma.v16f32", _FLOATS, _FLOATS),
    16: _Kind(2, "llvm.x86.avx512bf16.dpbf16ps.512", _FLOATS, ir.VectorType(_BFloat(), 2 * LANES)),
    8: _Kind(4, "llvm.x86.avx512.vpdpbusd.512", _WORDS, _WORDS),
}
"""By the bits of a row's numbers."""


def _tile(rows: int, panels: int = 1) -> Any:
    """Code for a product of so many rows with so many panels, one after the other."""
    vectors = 2 * panels

    @intrinsic  # type: ignore[untyped-decorator]
    def multiply(_: Any, out: Any, ldo: Any, left: Any, lda: Any, panel: Any, depth: Any) -> Any:
        """out[r, :columns] = left[r, :depth] times the panels; rows lie ldo and lda apart."""
        kind = _KINDS[left.dtype.bitwidth]

        def generate(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
            out, ldo, left, lda, panel, depth = arguments
            fused = ir.FunctionType(kind.sums, [kind.sums, kind.factors, kind.factors])
            function = cgutils.get_or_insert_function(b.module, fused, kind.name)
            zeros = ir.Constant(kind.sums, [0] * LANES)
            align = 4 // kind.each

            def number(value: int) -> Any:
                return ir.Constant(_I64, value)

            def add(total: Any, row: Any, column: Any) -> Any:
                if kind.each == 1:  # LLVM's own function has the sum behind the factors
                    return b.call(function, [row, column, total])
                return b.call(function, [total, row, column])

            lefts = [b.gep(left, [b.mul(lda, number(r))]) for r in range(rows)]
            size = b.mul(depth, number(WIDTH))
            tops = [b.gep(panel, [b.mul(size, number(p))]) for p in range(panels)]
            before = b.basic_block
            loop, after = b.append_basic_block("product"), b.append_basic_block("product.done")
            b.branch(loop)
            b.position_at_end(loop)
            k = b.phi(_I64)
            k.add_incoming(number(0), before)
            sums = [[b.phi(kind.sums) for _ in range(vectors)] for _ in range(rows)]
            columns = []
            for v in range(vectors):
                place = b.add(b.mul(k, number(WIDTH)), number(v % 2 * LANES * kind.each))
                pointer = b.bitcast(b.gep(tops[v // 2], [place]), kind.factors.as_pointer())
                columns.append(b.load(pointer, align=align))
            results = []
            for r in range(rows):
                pointer = b.bitcast(b.gep(lefts[r], [k]), _I32.as_pointer())
                word = b.load(pointer, align=align)
                undefined = ir.Constant(_WORDS, ir.Undefined)
                one = b.insert_element(undefined, word, ir.Constant(_I32, 0))
                words = b.shuffle_vector(one, undefined, ir.Constant(_WORDS, [0] * LANES))
                row = b.bitcast(words, kind.factors)
                results.append([add(sums[r][v], row, columns[v]) for v in range(vectors)])
            following = b.add(k, number(kind.each))
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
                    pointer = b.gep(row, [number(v * LANES)])
                    b.store(results[r][v], b.bitcast(pointer, kind.sums.as_pointer()), align=4)
            return context.get_dummy_value()

        return types.void(out, ldo, left, lda, panel, depth), generate

    return multiply


_multiply_8, _multiply_4, _multiply_2, _multiply_1 = map(_tile, (8, 4, 2, 1))
_multiply_1_by_4 = _tile(1, 4)


@intrinsic  # type: ignore[untyped-decorator]
def _at(_: Any, array: Any, offset: Any) -> Any:
    """A pointer to a contiguous array's number at that place."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])

    return pointer_to(array.dtype)(array, types.int64), generate


def panels(depth: int, columns: int, like: NDArray[Any]) -> NDArray[Any]:
    """Room for a packed matrix (K, N) of the type of `like`: (panels, K, WIDTH)."""
    return np.empty((-(-columns // WIDTH), depth, WIDTH), dtype=like.dtype)


@compiled
def pack(matrix: NDArray[Any], packed: NDArray[Any], first: int, last: int) -> None:
    """Lay out a matrix (K, N) as panels, those from `first` up to `last`.

    N is filled up with zeros. In a panel of a bfloat16 matrix, whose K must be even, the numbers
    of k and k + 1 lie side by side; in one of bytes, those of four k's.
    """
    depth, columns = matrix.shape
    for p in range(first, last):
        width = min(WIDTH, columns - p * WIDTH)
        if width < WIDTH:
            packed[p] = 0
        if packed.itemsize == 2:
            pairs = packed[p].view(np.uint32).reshape(depth // 2, WIDTH)
            for k in range(0, depth, 2):
                even, odd, into = matrix[k, p * WIDTH :], matrix[k + 1, p * WIDTH :], pairs[k // 2]
                for n in range(width):
                    into[n] = np.uint32(even[n]) | (np.uint32(odd[n]) << np.uint32(16))
        elif packed.itemsize == 1:
            fours = packed[p].reshape(depth // 4, WIDTH, 4)
            for k in range(depth):
                row = matrix[k, p * WIDTH :]
                for n in range(width):
                    fours[k // 4, n, k % 4] = row[n]
        else:
            for k in range(depth):
                row, into = matrix[k, p * WIDTH :], packed[p, k]
                for n in range(width):
                    into[n] = row[n]


@compiled
def pack_transposed(matrix: NDArray[Any], packed: NDArray[Any], first: int, last: int) -> None:
    """Lay out the transpose of a matrix (N, K): see `pack`."""
    columns, depth = matrix.shape
    for p in range(first, last):
        width = min(WIDTH, columns - p * WIDTH)
        if width < WIDTH:
            packed[p] = 0
        rows = matrix[p * WIDTH : p * WIDTH + width]
        if packed.itemsize == 2:
            pairs, into = rows.view(np.uint32), packed[p].view(np.uint32).reshape(depth // 2, WIDTH)
            for k in range(depth // 2):
                for n in range(width):
                    into[k, n] = pairs[n, k]
        else:
            for k in range(depth):
                for n in range(width):
                    packed[p, k, n] = rows[n, k]


@compiled
def multiply(rows: NDArray[Any], packed: NDArray[Any], out: NDArray[np.float32]) -> None:
    """Rows (R, K) times a packed matrix -> out (R, panels * WIDTH); of bytes, int32's bits."""
    count, depth = rows.shape
    panels, width = packed.shape[0], out.shape[1]
    lda, ldo, deep = np.int64(depth), np.int64(width), np.int64(depth)
    p = 0
    while count == 1 and p + 4 <= panels:
        panel = _at(packed, np.int64(p * depth * WIDTH))
        _multiply_1_by_4(_at(out, np.int64(p * WIDTH)), ldo, _at(rows, 0), lda, panel, deep)
        p += 4
    while p < panels:
        panel = _at(packed, np.int64(p * depth * WIDTH))
        r = 0
        while r < count:
            at, to = _at(rows, np.int64(r * depth)), _at(out, np.int64(r * width + p * WIDTH))
            if r + 8 <= count:
                _multiply_8(to, ldo, at, lda, panel, deep)
                r += 8
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


# ---------------------------------------------------------------- threads


@intrinsic  # type: ignore[untyped-decorator]
def _arrive(_: Any, counter: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], ir.Constant(_I64, 1), "acq_rel")

    return types.int64(counter), generate


@intrinsic  # type: ignore[untyped-decorator]
def _arrived(_: Any, counter: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if _IS_X86:  # tells the processor that this is waiting
            pause = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, pause, name), [])
        return builder.load_atomic(arguments[0], "acquire", 8)

    return types.int64(counter), generate


@intrinsic  # type: ignore[untyped-decorator]
def _give_way(_: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if os.name == "posix":
            give = ir.FunctionType(_I32, [])
            builder.call(cgutils.get_or_insert_function(builder.module, give, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


_SPINS = 2048  # about 50 microseconds


@compiled
def meet(counter: NDArray[np.int64], everyone: int) -> bool:
    """Wait until all have come: the first of `counter` is to count up to `everyone`.

    It spins, for threads that are together again within a microsecond. If one is late, it waits
    for a processor, perhaps for this one. What each has written is then seen by all.

    Returns:
        Whether one was late.
    """
    place = _at(counter, 0)
    _arrive(place)
    spins = 0
    while _arrived(place) < everyone:
        spins += 1
        if spins >= _SPINS:
            _give_way()
    return spins >= _SPINS


def _unowned(context: Any, b: Any, kind: Any, value: Any) -> Any:
    """An array without an owner to count its views, which takes time, most of all in threads."""
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, b, value)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def unowned(_: Any, array: Any) -> Any:
    """The same array, whose views nobody counts; its owner must outlive them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _unowned(context, builder, array, arguments[0])

    return array(array), generate


@intrinsic  # type: ignore[untyped-decorator]
def _in_team(typing: Any, entry: Any, threads: Any, rows: Any, function: Any, given: Any) -> Any:
    """Threads of OpenMP's call `function(*given, first, last)` for parts of the rows.

    What a C compiler makes of a parallel region: a function that finds in one block of memory what
    it needs, and a call of the library's `entry` (`GOMP_parallel`) with both. As many parts as
    threads are asked for; a team may turn out smaller.
    """
    taken = (*given.types, types.int64, types.int64)
    function.get_call_type(typing, taken, {})  # compiles it

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = function.dispatcher.overloads[taken]
        context.add_linking_libs([made.library])
        byte = ir.IntType(8).as_pointer()
        region = ir.FunctionType(ir.VoidType(), [byte])
        fields = [_I64, _I64, _I64, context.get_value_type(given)]  # next part, parts, rows
        memory = ir.LiteralStructType(fields)

        def field(b: Any, pointer: Any, number: int) -> Any:
            return b.gep(pointer, [ir.Constant(_I32, 0), ir.Constant(_I32, number)])

        name = f"{made.fndesc.mangled_name}.region"
        outlined = ir.Function(builder.module, region, name)
        outlined.linkage = "internal"
        b = ir.IRBuilder(outlined.append_basic_block())
        found = b.bitcast(outlined.args[0], memory.as_pointer())
        parts, all_rows = (b.load(field(b, found, number)) for number in (1, 2))
        values = [
            _unowned(context, b, kind, value)
            for kind, value in zip(
                given.types, cgutils.unpack_tuple(b, b.load(field(b, found, 3))), strict=True
            )
        ]
        turn, work, done = (b.append_basic_block() for _ in range(3))
        b.branch(turn)
        b.position_at_end(turn)
        part = b.atomic_rmw("add", field(b, found, 0), ir.Constant(_I64, 1), "monotonic")
        b.cbranch(b.icmp_signed("<", part, parts), work, done)
        b.position_at_end(work)
        following = b.add(part, ir.Constant(_I64, 1))
        bounds = [b.sdiv(b.mul(all_rows, end), parts) for end in (part, following)]
        callee = context.declare_function(builder.module, made.fndesc)
        context.call_conv.call_function(
            b, callee, made.fndesc.restype, made.fndesc.argtypes, [*values, *bounds]
        )
        b.branch(turn)
        b.position_at_end(done)
        b.ret_void()

        where = cgutils.alloca_once(builder, memory)
        for number, value in enumerate((ir.Constant(_I64, 0), *arguments[1:3], arguments[4])):
            builder.store(value, field(builder, where, number))
        parallel = ir.FunctionType(ir.VoidType(), [region.as_pointer(), byte, _I32, _I32])
        builder.call(
            builder.inttoptr(arguments[0], parallel.as_pointer()),
            [
                outlined, builder.bitcast(where, byte), builder.trunc(arguments[1], _I32),
                ir.Constant(_I32, 0),
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(entry, threads, rows, function, given), generate


# ---------------------------------------------------------------- dropout

_WEYL, _MIX_1, _MIX_2 = map(np.uint64, (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_30, _27, _31 = map(np.uint64, (30, 27, 31))


@compiled
def drop(
    values: NDArray[Any],
    out: NDArray[Any],
    seed: np.uint64,
    dropped: int,
    total: int,
    offset: int,
    first: int,
    last: int,
) -> None:
    """Dropout: out = 0 with a probability of dropped / 65536, otherwise scaled by what is left.

    Each number has sixteen random bits, of the splitmix64 generator (Steele et al. 2014) at a
    place that depends on the number's own: any part can be made anew, by whomever.

    Args:
        values, out: (A, B, C).
        seed: of the draw.
        dropped: of 65536.
        total, offset: the second axis holds `total` in all, these from `offset` on.
        first, last: which of the A * B rows are done.
    """
    _, width, columns = values.shape
    words = np.empty((columns + 3) // 4, np.uint64)
    bits = words.view(np.uint16)
    scale, none = np.float32(65536 / (65536 - dropped)), np.float32(0)
    least = np.uint16(dropped)
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
            kept = scale if bits[j] >= least else none
            result[j] = narrow(wide(given[j]) * kept, result[j])


# ---------------------------------------------------------------- windows


@compiled
def _gates(
    x: NDArray[Any],
    bias: NDArray[np.float32],
    sums: NDArray[np.float32],
    acts: NDArray[np.float32],
) -> None:
    """One stream's gates (i,) f, g, o from W x, b and U h; acts (G + 1, H) has room for u, too."""
    count, hidden = acts.shape
    for gate in range(count - 1):
        first = gate * hidden
        inputs, products = x[first : first + hidden], sums[first : first + hidden]
        added, out = bias[first : first + hidden], acts[gate]
        if gate == count - 3:
            for j in range(hidden):
                out[j] = tanh(wide(inputs[j]) + added[j] + products[j])
        else:
            for j in range(hidden):
                out[j] = _sigmoid(wide(inputs[j]) + added[j] + products[j])


@compiled
def _remember(
    acts: NDArray[np.float32], c: NDArray[np.float32], new_c: NDArray[np.float32]
) -> None:
    """One stream's c' (H,)."""
    count, hidden = acts.shape
    f, g = acts[count - 4], acts[count - 3]
    if count == 4:
        for j in range(hidden):
            new_c[j] = g[j] + f[j] * (c[j] - g[j])
    else:
        i = acts[0]
        for j in range(hidden):
            new_c[j] = f[j] * c[j] + i[j] * g[j]


@compiled
def forward(
    table: NDArray[Any],
    places: NDArray[np.int64],
    bias: NDArray[np.float32],
    packed: NDArray[Any],
    hs: NDArray[Any],
    cs: NDArray[np.float32],
    acts: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """A window, for streams from `first` up to `last`.

    Args:
        table: rows W x, (N, G H), G = 4 gates i, f, g, o or 3 gates f, g, o.
        places: which of its rows is read when, (T, B). A table of characters is small, and
            stays in the processor's cache, where copies of its rows would not.
        bias: b, (G H,).
        packed: U^T of (H, G H), see `pack`.
        hs: (T + 1, B, H); the first is given, the others are filled.
        cs: the same, in float32.
        acts: gates and u, (T, B, G + 1, H), filled; (0, B, G + 1, H) where nobody goes back.
    """
    steps, hidden = len(places), hs.shape[2]
    sums = np.empty((last - first, packed.shape[0] * WIDTH), np.float32)
    # The way back can do with gates rounded like the products; the state cannot.
    own = np.empty(acts.shape[2:], np.float32)
    u, o, flat = own[len(own) - 1], own[len(own) - 2], own.reshape(own.size)
    for t in range(steps):
        multiply(hs[t, first:last], packed, sums)
        for b in range(first, last):
            new_c, new_h = cs[t + 1, b], hs[t + 1, b]
            _gates(table[places[t, b]], bias, sums[b - first], own)
            _remember(own, cs[t, b], new_c)
            for j in range(hidden):
                u[j] = tanh(new_c[j])
            for j in range(hidden):
                new_h[j] = narrow(o[j] * u[j], new_h[j])
            if len(acts) > 0:
                kept = acts[t, b].reshape(own.size)
                for j in range(own.size):
                    kept[j] = narrow(flat[j], kept[j])


@compiled
def _back_to_gates(
    acts: NDArray[Any],
    c: NDArray[np.float32],
    dh: NDArray[np.float32],
    dc: NDArray[np.float32],
    da: NDArray[Any],
) -> None:
    """One stream's da (G H,) from dh'; dc' (H,) becomes dc."""
    count, hidden = acts.shape
    u, o, g, f = acts[count - 1], acts[count - 2], acts[count - 3], acts[count - 4]
    da_f, da_g, da_o = da[-3 * hidden : -2 * hidden], da[-2 * hidden : -hidden], da[-hidden:]
    for j in range(hidden):
        dc[j] += dh[j] * wide(o[j]) * (_ONE - wide(u[j]) * wide(u[j]))
    for j in range(hidden):
        da_o[j] = narrow(dh[j] * wide(u[j]) * wide(o[j]) * (_ONE - wide(o[j])), da_o[j])
    if count == 4:
        for j in range(hidden):
            kept = wide(f[j])
            da_f[j] = narrow(dc[j] * (c[j] - wide(g[j])) * kept * (_ONE - kept), da_f[j])
        for j in range(hidden):
            new = wide(g[j])
            da_g[j] = narrow(dc[j] * (_ONE - wide(f[j])) * (_ONE - new * new), da_g[j])
    else:
        i, da_i = acts[0], da[:hidden]
        for j in range(hidden):
            taken = wide(i[j])
            da_i[j] = narrow(dc[j] * wide(g[j]) * taken * (_ONE - taken), da_i[j])
        for j in range(hidden):
            kept = wide(f[j])
            da_f[j] = narrow(dc[j] * c[j] * kept * (_ONE - kept), da_f[j])
        for j in range(hidden):
            new = wide(g[j])
            da_g[j] = narrow(dc[j] * wide(i[j]) * (_ONE - new * new), da_g[j])
    for j in range(hidden):
        dc[j] *= wide(f[j])


@compiled
def backward(
    d_outputs: NDArray[Any],
    packed: NDArray[Any],
    cs: NDArray[np.float32],
    acts: NDArray[np.float32],
    dh: NDArray[np.float32],
    dc: NDArray[np.float32],
    das: NDArray[Any],
    first: int,
    last: int,
) -> None:
    """A window's way back, for streams from `first` up to `last`.

    Args:
        d_outputs: (T, B, H).
        packed: U of (G H, H), see `pack`.
        cs, acts: of the way forward.
        dh, dc: of the last state, (B, H); they become those of the first.
        das: (T, B, G H), filled.
    """
    steps, _, hidden = d_outputs.shape
    sums = np.empty((last - first, packed.shape[0] * WIDTH), np.float32)
    for t in range(steps - 1, -1, -1):
        for b in range(first, last):
            own_dh, d_out = dh[b], d_outputs[t, b]
            for j in range(hidden):
                own_dh[j] += wide(d_out[j])
            _back_to_gates(acts[t, b], cs[t, b], own_dh, dc[b], das[t, b])
        multiply(das[t, first:last], packed, sums)
        for b in range(first, last):
            own_dh, products = dh[b], sums[b - first]
            for j in range(hidden):
                own_dh[j] = products[j]


@compiled
def add_rows(
    rows: NDArray[Any], places: NDArray[np.int64], out: NDArray[np.float32], first: int, last: int
) -> None:
    """Add rows where they belong: out[places[n]] += rows[n], columns from `first` up to `last`.

    Args:
        rows: (N, C).
        places: (N,).
        out: (M, C).
    """
    for n in range(len(rows)):
        given, into = rows[n, first:last], out[places[n], first:last]
        for j in range(last - first):
            into[j] += wide(given[j])


# ---------------------------------------------------------------- the same, by a team of threads

# One by one: numba does not keep on disk what was made of a function that was given.


@compiled
def _pack_in_team(entry: int, threads: int, rows: int, *given: Any) -> None:
    _in_team(entry, threads, rows, pack, given)


@compiled
def _pack_transposed_in_team(entry: int, threads: int, rows: int, *given: Any) -> None:
    _in_team(entry, threads, rows, pack_transposed, given)


@compiled
def _drop_in_team(entry: int, threads: int, rows: int, *given: Any) -> None:
    _in_team(entry, threads, rows, drop, given)


@compiled
def _forward_in_team(entry: int, threads: int, rows: int, *given: Any) -> None:
    _in_team(entry, threads, rows, forward, given)


@compiled
def _backward_in_team(entry: int, threads: int, rows: int, *given: Any) -> None:
    _in_team(entry, threads, rows, backward, given)


@compiled
def _add_rows_in_team(entry: int, threads: int, rows: int, *given: Any) -> None:
    _in_team(entry, threads, rows, add_rows, given)


IN_TEAM: Mapping[Callable[..., None], Callable[..., None]] = {
    pack: _pack_in_team,
    pack_transposed: _pack_transposed_in_team,
    drop: _drop_in_team,
    forward: _forward_in_team,
    backward: _backward_in_team,
    add_rows: _add_rows_in_team,
}
"""function(*given, first, last) -> what calls it for parts of the rows, by OpenMP's threads.

It takes the address of the library's entry, how many threads, how many rows, and what is given.
"""
