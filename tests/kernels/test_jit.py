"""Compiled code is kept from process to process, until any kernel's source changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]

# Rounds 1 + 2^-8 + 2^-9, which lies between two bfloat16 numbers, by a function that calls one of
# another file; prints its bits and how many functions were compiled.
SCRIPT = """
import numpy as np
from charlstm.kernels.dropout import dropout
from charlstm.kernels.llvm import report_compilation
compiled = []
with report_compilation(compiled.append):
    out = np.zeros((1, 1, 1), np.uint16)
    values = np.full(out.shape, 1 + 2**-8 + 2**-9, np.float32)
    dropout(values, out, np.uint64(1), 0, 1, 0, 0, 1)
print(out[0, 0, 0], len(compiled))
"""


def test_compiled_code_is_kept_until_a_source_file_changes(tmp_path: Path) -> None:
    package, cache = tmp_path / "charlstm", tmp_path / "cache"
    package.mkdir()
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "charlstm" / name, package)
    # Python itself would take its compiled file for a source of the same size and time.
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "charlstm" / "kernels", package / "kernels", ignore=ignored)

    def run() -> tuple[int, int]:
        environment = os.environ | {
            "PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(cache),
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        bits, count = map(int, done.stdout.split())
        return bits, count

    bits, count = run()
    assert bits == 0x3F81  # the nearest
    assert count > 0
    kept = {path.name for path in cache.rglob("*.nb?")}
    assert kept
    assert run() == (bits, 0)
    elementary = package / "kernels" / "elementary.py"
    source = elementary.read_text("utf-8")
    assert "np.uint32(0x7FFF)" in source
    before = elementary.stat()
    elementary.write_text(source.replace("np.uint32(0x7FFF)", "np.uint32(0x0000)"), "utf-8")
    os.utime(elementary, ns=(before.st_atime_ns, before.st_mtime_ns))  # as some installers do
    bits, count = run()
    assert bits == 0x3F80  # cut off
    assert count > 0
    assert not kept & {path.name for path in cache.rglob("*.nb?")}  # nothing outdated is left


def test_the_newest_numba_allowed_is_the_one_that_is_tested() -> None:
    """Kernels use numba's internals, which any version may change."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (numba,) = map(Requirement, project["optional-dependencies"]["fast"])
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    (tested,) = (line.partition("==")[2] for line in lines if line.startswith("numba=="))
    version = Version(tested)
    assert numba.specifier.contains(tested)
    assert not numba.specifier.contains(f"{version.major}.{version.minor + 1}.0")
