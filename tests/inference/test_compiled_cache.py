"""Sampling where numba has another target, or no cache of compiled code that can be used."""

from __future__ import annotations

import functools
import importlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.inference.writers import NO_NUMBA

ROOT = Path(__file__).parents[2]


SCRIPT = """
import warnings
from charlstm.errors import CompiledCodeWarning
from charlstm.inference import generation
from tests.inference.test_fast_writer import make_engine, written
warnings.simplefilter("always", CompiledCodeWarning)
texts = [written(make_engine(1, 8, 9, compiled=compiled), 300) for compiled in (True, False)]
written(make_engine(1, 8, 9, compiled=True), 9)
print(texts[0] == texts[1], generation.load_writer("float32") is not None)
"""


HARMS = {
    "no folder": "import numba.core.caching as n; n.CacheImpl._locator_classes = []",
    "disk full": "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (0, 0))",
    "damaged": "",
}


SETTINGS = {
    "NUMBA_CPU_NAME=generic": "NUMBA_CPU_NAME",
    "NUMBA_CPU_FEATURES=-fma": "NUMBA_CPU_FEATURES",
    "NUMBA_DISABLE_JIT=1": "NUMBA_DISABLE_JIT",
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_numba_is_set_to_another_target(setting: str, tmp_path: Path) -> None:
    """Text is written by numpy with one notice, where LLVM would end the process."""
    pytest.importorskip("numba", reason=NO_NUMBA)
    name, _, value = setting.partition("=")
    env = os.environ | {
        name: value, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)
    }  # fmt: skip
    low = "print(*(generation.load_writer(p) is not None for p in ('bfloat16', 'int8')))"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT + low],
        env=env, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.split() == ["True", "False", "False", "False"]
    assert result.stderr.count("compiled code is not used") >= 1
    assert SETTINGS[setting] in result.stderr


def copy_cache(folder: Path) -> None:
    """Put what is compiled already where `NUMBA_CACHE_DIR` is this folder."""
    from numba.core.caching import UserProvidedCacheLocator as Locator

    elementary = importlib.import_module("charlstm.kernels.elementary")
    kept = Path(elementary.exp.stats.cache_path)
    name: str = cast(Any, Locator).get_suitable_cache_subpath(elementary.__file__)
    shutil.copytree(kept, folder / name, ignore=lambda _, names: {
        name for name in names if not name.endswith((".nbi", ".nbc"))
    })  # fmt: skip


@pytest.mark.parametrize("harm", HARMS)
def test_a_cache_that_cannot_be_used(harm: str, tmp_path: Path) -> None:
    pytest.importorskip("numba", reason=NO_NUMBA)
    env = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-W", "error", "-c", HARMS[harm] + SCRIPT]
    run = functools.partial(
        subprocess.run, command, env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    if harm == "damaged":
        copy_cache(tmp_path)
        good = run()
        assert (good.stdout.split(), good.stderr) == (["True", "True"], "")
        for path in tmp_path.rglob("*.nb?"):
            path.write_bytes(path.read_bytes()[:100])
    result = run()
    assert result.stdout.split() == ["True", "False"]
    assert result.stderr.count("CompiledCodeWarning: compiled code is not used") == 1
    assert "NUMBA_CACHE_DIR" in result.stderr
