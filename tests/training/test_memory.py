import os
import platform
import subprocess
import sys

import pytest

from charlstm.training.memory import keep_freed_memory

_CHURN = """
import resource, sys
import torch
from charlstm.training.memory import keep_freed_memory

if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
sizes = [50_000_000, 1_000, 70_000_000]  # bytes
for _ in range(10):
    blocks = [torch.ones(size, dtype=torch.uint8) for size in sizes]
    del blocks
before = faults()
for _ in range(10):
    blocks = [torch.ones(size, dtype=torch.uint8) for size in sizes]
    del blocks
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_freed_memory_is_not_fetched_anew() -> None:
    def faults(how: str) -> int:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        done = subprocess.run(
            [sys.executable, "-c", _CHURN, how],
            env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return int(done.stdout)

    assert faults("keep") < faults("leave") / 4


def test_a_users_own_settings_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()
