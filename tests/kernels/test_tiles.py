"""Products compile to fused multiply-adds of the class's vectors, with all sums in registers."""

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
# By processor: the least and the most vectors of sums in a tile, and their registers.
PROCESSORS = {
    "haswell": ({"1 row": 8, "4 rows": 8, "most rows": 12}, "y"),
    "znver4": ({"1 row": 8, "4 rows": 8, "most rows": 16}, "z"),
    "skylake-avx512": ({"1 row": 8, "4 rows": 8, "most rows": 16}, "z"),
    "aarch64": ({"1 row": 16, "4 rows": 16, "most rows": 20}, ""),
}


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="compiles from code for x86"
)
@pytest.mark.parametrize("processor", PROCESSORS)
def test_sums_stay_in_registers(processor: str) -> None:
    sums, vectors = PROCESSORS[processor]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_CPU")}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    if processor != "aarch64":
        environment["NUMBA_CPU_NAME"] = processor
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("assembly.py")), processor],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {loop["tile"] for loop in found} == {*sums, "most rows, adds"}
    for loop in found:
        name = loop["tile"].partition(",")[0]
        assert loop["fused"] > 0, loop["code"]
        assert loop["fused"] % sums[name] == 0, loop["code"]  # a loop may be unrolled
        assert loop["vectors"] == [vectors] * bool(vectors), loop["code"]
        assert not loop["other"], loop["code"]
        assert not loop["stack"], loop["code"]
