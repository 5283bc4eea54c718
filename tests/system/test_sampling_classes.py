"""Sampling by compiled code as on smaller processors than this one.

NUMBA_CPU_NAME selects what is compiled. The processor must have the instructions itself.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = (
    "tests/kernels/test_byte_products.py",
    "tests/inference/test_fast_writer.py",
    "tests/inference/test_scoring.py",
)
CLASSES = {"haswell": "avx2", "skylake-avx512": "avx512bw", "cascadelake": "avx512vnni"}
"""A processor of each class, and the feature of LLVM's that it needs."""
REPORT = """
import json
from charlstm.inference.generation import load_writer
from charlstm.kernels.matmul import LANES
from charlstm.kernels.products import BYTE_TYPE
loaded = (load_writer(precision) is not None for precision in ("float32", "int8"))
print(json.dumps([LANES, BYTE_TYPE.name, *loaded]))
"""
REPORTS = {
    "haswell": '[8, "int8", true, true]',
    "skylake-avx512": '[16, "int8", true, true]',
    "cascadelake": '[16, "uint8", true, true]',
}


@pytest.mark.parametrize("name", CLASSES)
def test_sampling_on_a_smaller_processor(name: str) -> None:
    llvm = pytest.importorskip("charlstm.kernels.llvm", reason="numba is not installed")
    if CLASSES[name] not in llvm.instructions(of_host=True):
        pytest.skip(f"this processor has no {CLASSES[name]}")
    env = os.environ | {"NUMBA_CPU_NAME": name, "PYTHONPATH": os.pathsep.join(sys.path)}
    report = subprocess.run(
        [sys.executable, "-W", "error", "-c", REPORT],
        env=env, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (report.stdout.strip(), report.stderr) == (REPORTS[name], "")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *TESTS],
        env=env, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-1000:]
