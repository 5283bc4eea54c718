"""All that is taken from numba's internals (`numba.core`) and from llvmlite, in one place.

Neither promises that these names stay. pyproject.toml has the versions of numba that they are
tested with.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils as _cgutils
from numba.core import event as _event
from numba.core.registry import cpu_target as _cpu_target
from numba.core.types import CPointer as _CPointer
from numba.extending import intrinsic as _intrinsic

__all__ = [
    "BFLOAT", "I32", "I64", "IS_X86", "cgutils", "host_features", "intrinsic", "ir",
    "numba_target", "pointer_to", "report_compilation",
]  # fmt: skip

# What numba does not declare the types of.
cgutils, intrinsic, pointer_to = cast(Any, _cgutils), cast(Any, _intrinsic), cast(Any, _CPointer)

IS_X86 = platform.machine().lower() in ("x86_64", "amd64", "i686")
I32, I64 = ir.IntType(32), ir.IntType(64)


class _BFloat(ir.Type):  # type: ignore[misc]  # llvmlite is not typed
    """LLVM's type of bfloat16 numbers, which llvmlite lacks."""

    def __str__(self) -> str:
        return "bfloat"


BFLOAT = _BFloat()


def host_features() -> dict[str, bool]:
    """Which of LLVM's features this processor has."""
    return dict(llvmlite.binding.get_host_cpu_features())


def numba_target() -> tuple[bool, dict[str, bool]]:
    """What numba compiles for.

    Returns:
        Whether it is this processor by name, and the features that are turned on or off.
    """
    _triple, name, features = _cpu_target.target_context.codegen().magic_tuple()
    signs = {feature[1:]: feature[0] == "+" for feature in features.split(",") if feature}
    return name == llvmlite.binding.get_host_cpu_name(), signs


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
