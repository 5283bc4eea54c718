"""Kernels compile to the class's vectors: fused multiply-adds, with a tile's sums in registers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")

ROOT = Path(__file__).parents[2]
# By processor: vectors of sums in each tile, the registers of tiles, and those of functions.
PROCESSORS = {
    "haswell": ({"1 row": 8, "4 rows": 8, "most rows": 12}, "y", "y"),
    "znver4": ({"1 row": 8, "4 rows": 8, "most rows": 16}, "z", "z"),
    "skylake-avx512": ({"1 row": 8, "4 rows": 8, "most rows": 16}, "z", "y"),
    "aarch64": ({"1 row": 16, "4 rows": 16, "most rows": 20}, "", ""),
}


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="compiles from code for x86"
)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_vectors_and_registers(processor: str) -> None:
    sums, vectors, of_functions = PROCESSORS[processor]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CPU")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    if processor != "aarch64":
        environment["NUMBA_CPU_NAME"] = processor
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("assembly.py")), processor],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    functions = set() if processor == "aarch64" else {"tanh", "sigmoid", "exp"}
    assert {loop["name"] for loop in found} == {*sums, "most rows, adds", *functions}
    for name in functions:  # beside loops over the last elements
        used = {one for loop in found if loop["name"] == name for one in loop["vectors"]}
        assert of_functions in used, name
    for loop in (one for one in found if one["name"] not in functions):
        assert loop["vectors"] == [vectors] * bool(vectors), loop["code"]
        # Loops may be unrolled.
        assert loop["fused"] % sums[loop["name"].partition(",")[0]] == 0, loop["code"]
        assert not loop["other"], loop["code"]
        assert not loop["stack"], loop["code"]
