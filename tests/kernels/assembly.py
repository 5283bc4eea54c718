"""Prints how many instructions the loops of tiles have, as JSON, one line a tile.

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

from charlstm.kernels.matmul import TILE_ROWS, tile

FLOATS = target.pointer_to(types.float32)
TILES = {
    "most rows": tile(TILE_ROWS),
    "most rows, adds": tile(TILE_ROWS, adds=True),
    "4 rows": tile(4),
    "1 row": tile(1, 4),
}


def assembly(multiply: object) -> str:
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


for name, multiply in TILES.items():
    bodies = [body for body in loops(assembly(multiply)) if "ps" in body or "fmla" in body]
    for body in bodies:
        lines = [line.strip() for line in body.splitlines() if line.startswith("\t")]
        vectors = {found[1] for line in lines if (found := re.search(r"%([xyz])mm", line))}
        fused = [line for line in lines if re.match(r"vfmadd\d+ps|fmla", line)]
        other = [line for line in lines if re.match(r"v(mul|add|fmadd\d+s)[ps]?s|fmul|fadd", line)]
        stack = [line for line in lines if re.search(r"%rsp|\bsp\b", line)]
        result = {
            "tile": name, "vectors": sorted(vectors), "fused": len(fused), "other": other,
            "stack": stack, "code": body,
        }  # fmt: skip
        sys.stdout.write(json.dumps(result) + "\n")
