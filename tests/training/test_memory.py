import os
import platform
import subprocess
import sys

import pytest

from charlstm.training.memory import keep_freed_memory

_CHURN = """
import resource
import torch
from charlstm.training.memory import keep_freed_memory

def churn():
    for _ in range(10):
        blocks = [torch.ones(size, dtype=torch.uint8) for size in (50_000_000, 1_000, 70_000_000)]
        del blocks
def faults():
    churn()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    churn()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
left = faults()
assert keep_freed_memory()
print(faults(), left)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_freed_memory_is_not_fetched_anew() -> None:
    """In a process of its own, whose C library stays as the program starts with it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _CHURN], env=environment, check=True, capture_output=True, text=True
    )
    kept, left = map(int, done.stdout.split())
    assert kept < left / 4


def test_a_users_own_settings_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()


@pytest.mark.parametrize("library", [OSError("no such library"), object()], ids=["none", "other"])
def test_another_c_library(library: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no library of that name; others have no mallopt. Nothing is changed."""

    def load(_name: None) -> object:
        if isinstance(library, OSError):
            raise library
        return library

    for name in [name for name in os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr("charlstm.training.memory.ctypes.CDLL", load)
    assert not keep_freed_memory()
