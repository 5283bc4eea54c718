"""Prints the instructions in the loops of tiles and elementary functions as JSON, one line a loop.

`python assembly.py PROCESSOR`; NUMBA_CPU_NAME names the processor, but for `aarch64`, whose code is
made from what numba has LLVM's optimizer make for this processor. Nothing of it is run.
"""

from __future__ import annotations

import json
import re
import sys

import llvmlite.binding as llvm
import numba
from numba import types

from charlstm.kernels import llvm as target

if sys.argv[1] == "aarch64":
    target.IS_X86 = False

from charlstm.kernels.elementary import exp, sigmoid, tanh
from charlstm.kernels.jit import FAST_MATH
from charlstm.kernels.matmul import TILE_ROWS, tile

FLOATS = target.pointer_to(types.float32)
TILES = {
    "most rows": tile(TILE_ROWS),
    "most rows, adds": tile(TILE_ROWS, adds=True),
    "4 rows": tile(4),
    "1 row": tile(1, 4),
}


def function_assembly(one: object) -> str:
    """The code of an elementary function of many numbers."""

    @numba.njit(fastmath=FAST_MATH, error_model="numpy")
    def function(given, out):  # type: ignore[no-untyped-def]
        for j in range(len(out)):
            out[j] = one(given[j])  # type: ignore[operator]

    function.compile((types.float32[::1], types.float32[::1]))
    return "".join(function.inspect_asm().values())


def tile_assembly(multiply: object) -> str:
    """A tile's code."""

    @numba.njit
    def function(out, ldo, left, lda, panel, depth):  # type: ignore[no-untyped-def]
        multiply(out, ldo, left, lda, panel, depth)  # type: ignore[operator]

    function.compile((FLOATS, types.int64, FLOATS, types.int64, FLOATS, types.int64))
    if sys.argv[1] != "aarch64":
        return "".join(function.inspect_asm().values())
    code = "".join(function.inspect_llvm().values())
    code = re.sub(r"target (triple|datalayout) = .*", "", code)
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple("aarch64-unknown-linux-gnu").create_target_machine(opt=3)
    return str(machine.emit_assembly(llvm.parse_assembly(code)))


def loops(code: str) -> list[str]:
    """The instructions of each innermost loop: a block that ends with a jump to itself."""
    parts = re.split(r"^(\.LBB\w+):", code, flags=re.MULTILINE)
    found = []
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        jumps = list(re.finditer(rf"\b(j\w+|b\.\w+)\s+{re.escape(name)}\b", body))
        if jumps:
            found.append(body[: jumps[-1].end()])
    return found


def report(name: str, code: str) -> None:
    """Print a line for each loop with products of vectors."""
    for body in loops(code):
        lines = [line.strip() for line in body.splitlines() if line.startswith("\t")]
        fused = [line for line in lines if re.match(r"vfn?madd\d+ps|fmla", line)]
        result = {
            "name": name,
            "vectors": sorted(set(re.findall(r"%([xyz])mm", " ".join(fused)))),
            "fused": len(fused),
            "other": [line for line in lines if re.match(r"v(mul|add)[ps]s|f(mul|add)", line)],
            "stack": [line for line in lines if re.search(r"%rsp|\bsp\b", line)],
            "code": body,
        }
        if fused:
            sys.stdout.write(json.dumps(result) + "\n")


for name, multiply in TILES.items():
    report(name, tile_assembly(multiply))
if sys.argv[1] != "aarch64":
    for one in (tanh, sigmoid, exp):
        report(one.__name__.partition("_")[0], function_assembly(one))
