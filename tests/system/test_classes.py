"""Kernels compute the same in each class of processor that this one can stand for.

All classes share one folder of compiled code, as where a home folder is shared by machines.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")

from charlstm.kernels.llvm import IS_X86, instructions

ROOT = Path(__file__).parents[2]
TESTS = ["tests/nn/test_kernel_ops.py", "tests/kernels", "tests/nn/test_starts.py"]
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "NUMBA_CPU_NAME": "haswell"}
AVX512 = {
    "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "ATEN_CPU_CAPABILITY": "avx512",
    "NUMBA_CPU_NAME": "skylake-avx512",
}  # fmt: skip
NEEDED = {"native": "fma", "avx2": "fma", "avx512": "avx512f", "native again": "fma"}
MASKS = {"native": {}, "avx2": AVX2, "avx512": AVX512, "native again": {}}
ANOTHER = "from charlstm.kernels import llvm; llvm.IS_X86 = False; "
"""Vectors of 128 bits, as on processors that are not x86."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled code."""
    return tmp_path_factory.mktemp("compiled")


def run_tests(tests: list[str], cache: Path, mask: dict[str, str], before: str = "") -> str:
    """pytest in a process of its own: its output."""
    environment = {key: value for key, value in os.environ.items() if "NUMBA_CPU" not in key}
    environment |= {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": os.pathsep.join(sys.path)}
    code = f"{before}import pytest; raise SystemExit(pytest.main({['-x', '-q', *tests]!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | mask, cwd=ROOT, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", MASKS)
def test_each_class(name: str, shared: Path) -> None:
    if IS_X86 and NEEDED[name] not in instructions(of_host=True):
        pytest.skip(f"this processor has no {NEEDED[name]}")
    output = run_tests(TESTS, shared, MASKS[name])
    assert ("no bfloat16 products" in output) == (
        bool(MASKS[name]) or "avx512bf16" not in instructions(of_host=True)
    )


def test_vectors_of_128_bits(tmp_path: Path) -> None:
    run_tests(TESTS[:1], tmp_path, {}, ANOTHER)
