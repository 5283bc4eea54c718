"""Threads that work together: a barrier, and calls by a team of OpenMP's threads.

A team is what a parallel region of OpenMP is: several threads call one function, each for a part of
the rows (streams, panels, ...). `charlstm.nn.threads` finds the OpenMP library that torch has
loaded, so that torch's own threads do the work. A kernel that a team can call has a second
function:

    @in_team(kernel)
    def _kernel_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
        run_in_team(entry, threads, rows, kernel, arguments)

Each is written out: numba does not cache a function that received the kernel as an argument.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import types
from numpy.typing import NDArray

from charlstm.kernels.jit import jit
from charlstm.kernels.llvm import I32, I64, IS_X86, cgutils, intrinsic, ir, pointer_to

_Function = TypeVar("_Function", bound=Callable[..., None])


@intrinsic  # type: ignore[untyped-decorator]
def element_pointer(_: Any, array: Any, offset: Any) -> Any:
    """A pointer to a contiguous array's element at an offset."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.gep(data, [arguments[1]])

    return pointer_to(array.dtype)(array, types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _add_one(_: Any, counter: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", arguments[0], ir.Constant(I64, 1), "acq_rel")

    return types.int64(counter), generate


@intrinsic  # type: ignore[untyped-decorator]
def _load(_: Any, counter: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if IS_X86:  # a hint that this is a loop that waits
            pause = ir.FunctionType(ir.VoidType(), [])
            name = "llvm.x86.sse2.pause"
            builder.call(cgutils.get_or_insert_function(builder.module, pause, name), [])
        return builder.load_atomic(arguments[0], "acquire", 8)

    return types.int64(counter), generate


@intrinsic  # type: ignore[untyped-decorator]
def _yield_processor(_: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        if os.name == "posix":
            give = ir.FunctionType(I32, [])
            builder.call(cgutils.get_or_insert_function(builder.module, give, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


_SPINS = 2048  # about 50 microseconds


@jit
def barrier(counter: NDArray[np.int64], expected: int) -> bool:
    """Wait until all threads have called it; what each has written is then visible to all.

    It spins, as threads usually arrive within a microsecond of each other. After 50 microseconds it
    yields the processor: another thread may be waiting for it.

    Args:
        counter: its first element counts the calls.
        expected: the count to wait for.

    Returns:
        Whether it has yielded the processor.
    """
    place = element_pointer(counter, 0)
    _add_one(place)
    spins = 0
    while _load(place) < expected:
        spins += 1
        if spins >= _SPINS:
            _yield_processor()
    return spins >= _SPINS


def _borrowed(context: Any, b: Any, kind: Any, value: Any) -> Any:
    """An array without reference counting, which takes time, most of all in threads."""
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, b, value)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def borrowed(_: Any, array: Any) -> Any:
    """The same array without reference counting of its views; its owner must outlive them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _borrowed(context, builder, array, arguments[0])

    return array(array), generate


@intrinsic  # type: ignore[untyped-decorator]
def run_in_team(
    typing: Any, entry: Any, threads: Any, rows: Any, kernel: Any, arguments: Any
) -> Any:
    """OpenMP's threads call `kernel(*arguments, first, last)`, each for a part of the rows.

    It is what a C compiler makes of a parallel region: a function that reads all that it needs from
    one block of memory, and a call of the library's entry with both.

    Args:
        entry: the address of `GOMP_parallel`.
        threads: how many parts the rows are divided into. A team may turn out smaller.
        rows: how many there are.
        kernel: a compiled function.
        arguments: a tuple.
    """
    taken = (*arguments.types, types.int64, types.int64)
    kernel.get_call_type(typing, taken, {})  # compiles it

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        compiled = kernel.dispatcher.overloads[taken]
        context.add_linking_libs([compiled.library])
        byte = ir.IntType(8).as_pointer()
        region = ir.FunctionType(ir.VoidType(), [byte])
        fields = [I64, I64, I64, context.get_value_type(arguments)]  # next part, parts, rows
        memory = ir.LiteralStructType(fields)

        def field(b: Any, pointer: Any, number: int) -> Any:
            return b.gep(pointer, [ir.Constant(I32, 0), ir.Constant(I32, number)])

        name = f"{compiled.fndesc.mangled_name}.region"
        outlined = ir.Function(builder.module, region, name)
        outlined.linkage = "internal"
        b = ir.IRBuilder(outlined.append_basic_block())
        found = b.bitcast(outlined.args[0], memory.as_pointer())
        parts, all_rows = (b.load(field(b, found, number)) for number in (1, 2))
        given = [
            _borrowed(context, b, kind, value)
            for kind, value in zip(
                arguments.types, cgutils.unpack_tuple(b, b.load(field(b, found, 3))), strict=True
            )
        ]
        turn, work, done = (b.append_basic_block() for _ in range(3))
        b.branch(turn)
        b.position_at_end(turn)
        part = b.atomic_rmw("add", field(b, found, 0), ir.Constant(I64, 1), "monotonic")
        b.cbranch(b.icmp_signed("<", part, parts), work, done)
        b.position_at_end(work)
        following = b.add(part, ir.Constant(I64, 1))
        bounds = [b.sdiv(b.mul(all_rows, end), parts) for end in (part, following)]
        callee = context.declare_function(builder.module, compiled.fndesc)
        context.call_conv.call_function(
            b, callee, compiled.fndesc.restype, compiled.fndesc.argtypes, [*given, *bounds]
        )
        b.branch(turn)
        b.position_at_end(done)
        b.ret_void()

        where = cgutils.alloca_once(builder, memory)
        for number, value in enumerate((ir.Constant(I64, 0), *values[1:3], values[4])):
            builder.store(value, field(builder, where, number))
        parallel = ir.FunctionType(ir.VoidType(), [region.as_pointer(), byte, I32, I32])
        builder.call(
            builder.inttoptr(values[0], parallel.as_pointer()),
            [
                outlined, builder.bitcast(where, byte), builder.trunc(values[1], I32),
                ir.Constant(I32, 0),
            ],
        )  # fmt: skip
        return context.get_dummy_value()

    return types.void(entry, threads, rows, kernel, arguments), generate


IN_TEAM: dict[Callable[..., None], Callable[..., None]] = {}
"""kernel(*arguments, first, last) -> function(entry, threads, rows, *arguments)."""


def in_team(kernel: Callable[..., None]) -> Callable[[_Function], _Function]:
    """Compile a function that has a team call the kernel, and register it in `IN_TEAM`."""

    def register(function: _Function) -> _Function:
        IN_TEAM[kernel] = compiled = jit(function)
        return compiled

    return register
