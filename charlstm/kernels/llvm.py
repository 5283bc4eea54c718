"""All that is taken from numba's internals (`numba.core`) and from llvmlite, in one place.

Neither promises that these names stay. pyproject.toml has the versions of numba that they are
tested with.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import config as _numba_config
from numba.core import event as _event
from numba.core.registry import cpu_target as _cpu_target
from numba.core.types import CPointer as _CPointer
from numba.extending import intrinsic as _intrinsic

__all__ = [
    "BFLOAT", "I8", "I16", "I32", "I64", "IS_X86", "cgutils", "instructions", "intrinsic", "ir",
    "pointer_to", "report_compilation", "use_features_of_named_processor",
]  # fmt: skip

# What numba does not declare the types of.
cgutils, intrinsic, pointer_to = cast(Any, _cgutils), cast(Any, _intrinsic), cast(Any, _CPointer)
_config = cast(Any, _numba_config)

IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite is not typed
    """LLVM's type of bfloat16 numbers, which llvmlite lacks."""

    def __str__(self) -> str:
        return "bfloat"


BFLOAT = _BFloat()


def use_features_of_named_processor() -> None:
    """Compile for the processor that NUMBA_CPU_NAME names, with the instructions that it has.

    numba itself keeps the features of this processor unless NUMBA_CPU_FEATURES is set. It must be
    called before anything is compiled.
    """
    if _config.CPU_NAME is not None and _config.CPU_FEATURES is None:
        _config.CPU_FEATURES = ""


# LLVM has no list of a named processor's features, so these functions are compiled for it.
_PROBE = """
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
declare i32 @llvm.vector.reduce.add.v64i32(<64 x i32>)
define void @multiply(<16 x float>* %a) {
  %1 = load <16 x float>, <16 x float>* %a
  %2 = call <16 x float> @llvm.fma.v16f32(<16 x float> %1, <16 x float> %1, <16 x float> %1)
  store <16 x float> %2, <16 x float>* %a
  ret void
}
define void @round(<16 x float>* %a, <16 x bfloat>* %b) {
  %1 = load <16 x float>, <16 x float>* %a
  %2 = fptrunc <16 x float> %1 to <16 x bfloat>
  store <16 x bfloat> %2, <16 x bfloat>* %b
  ret void
}
define i32 @add(<64 x i8>* %a, <64 x i8>* %b) {
  %1 = load <64 x i8>, <64 x i8>* %a
  %2 = load <64 x i8>, <64 x i8>* %b
  %3 = zext <64 x i8> %1 to <64 x i32>
  %4 = sext <64 x i8> %2 to <64 x i32>
  %5 = mul <64 x i32> %3, %4
  %6 = call i32 @llvm.vector.reduce.add.v64i32(<64 x i32> %5)
  ret i32 %6
}
"""
# What the assembly code has where the processor has a feature of LLVM's.
_SIGNS = {
    "fma": r"vfmadd\w*ps",
    "avx2": r"vp\w+\b.*%[yz]mm",
    "avx512f": r"vfmadd\w*ps.*zmm",
    "avx512bw": r"(vpmovzxbw|vpdpbusd)\b.*zmm",
    "avx512bf16": r"vcvtneps2bf16\b.*, %ymm",
    "avx512vnni": r"vpdpbusd\b.*zmm",
    "avxvnni": r"\{vex\}\s*vpdpbusd\b",
}


@cache
def instructions(*, of_host: bool = False) -> frozenset[str]:
    """Which of LLVM's features that products use there are, on x86: a subset of `_SIGNS`.

    Args:
        of_host: on this processor; otherwise, on the one that numba compiles for, which
            NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX may change.
    """
    if not IS_X86:
        return frozenset()
    host = llvmlite.binding.get_host_cpu_features()
    triple, name, features = _cpu_target.target_context.codegen().magic_tuple()
    if of_host or (name, features) == (llvmlite.binding.get_host_cpu_name(), host.flatten()):
        return frozenset(feature for feature in _SIGNS if host.get(feature))
    machine = llvmlite.binding.Target.from_triple(triple).create_target_machine(
        cpu=name, features=features, opt=3
    )
    code = machine.emit_assembly(llvmlite.binding.parse_assembly(_PROBE))
    return frozenset(feature for feature, sign in _SIGNS.items() if re.search(sign, code))


class _Listener(_event.Listener):  # type: ignore[misc,unused-ignore]
    """Passes numba's events on."""

    def __init__(self, report: Callable[[bool], None]) -> None:
        self._report = report

    def on_start(self, event: object) -> None:
        self._report(True)

    def on_end(self, event: object) -> None:
        self._report(False)


@contextmanager
def report_compilation(report: Callable[[bool], None]) -> Iterator[None]:
    """Call `report(True)` before a function is compiled, and `report(False)` after that.

    A function that is loaded from disk is not reported. A function that calls others is reported
    around them.
    """
    with _event.install_listener("numba:compile", _Listener(report)):
        yield
