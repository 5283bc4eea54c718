"""Available memory: made-up machines and control groups, and a limit of this process."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from charlstm.memory import available_memory, total_memory

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 25 0:29 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
MEMINFO = (
    "MemTotal:       16000 kB\nMemFree:  10 kB\nMemAvailable:    8000 kB\nHugePages_Total: 0\n"
)
KB = 1024

# cgroup file, mount, files below the root, available, total
TREES: dict[str, tuple[str, str, dict[str, str], int | None, int | None]] = {
    "no container": ("0::/\n", V2, {"proc/meminfo": MEMINFO}, 8000 * KB, 16000 * KB),
    "v2": (
        "0::/job\n",
        V2,
        {
            "proc/meminfo": MEMINFO,
            "sys/fs/cgroup/job/memory.max": f"{4000 * KB}\n",
            "sys/fs/cgroup/job/memory.current": f"{1500 * KB}\n",
            "sys/fs/cgroup/job/memory.stat": f"anon 1\ninactive_file {500 * KB}\n",
        },
        3000 * KB,
        4000 * KB,
    ),
    "v2, a parent limits, and is full": (
        "0::/a/b\n",
        V2,
        {
            "proc/meminfo": MEMINFO,
            "sys/fs/cgroup/a/memory.max": "1000\n",
            "sys/fs/cgroup/a/memory.current": "2000\n",
            "sys/fs/cgroup/a/memory.stat": "anon 2000\n",
            "sys/fs/cgroup/a/b/memory.max": "max\n",
            "sys/fs/cgroup/a/b/memory.current": "2000\n",
        },
        0,
        1000,
    ),
    "v1": (
        "4:memory:/job\n",
        V1,
        {
            "proc/meminfo": MEMINFO,
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{2000 * KB}\n",
            "sys/fs/cgroup/memory/job/memory.usage_in_bytes": f"{500 * KB}\n",
            "sys/fs/cgroup/memory/job/memory.stat": "total_inactive_file 1024\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "1\n",
            "sys/fs/cgroup/memory/memory.stat": "total_inactive_file 0\n",
        },
        1501 * KB,
        2000 * KB,
    ),
    "damaged": ("0::/\n", V2, {"proc/meminfo": "MemTotal: many kB\n\n:\n"}, None, None),
}


@pytest.mark.parametrize("case", TREES)
def test_made_up_machines(case: str, tmp_path: Path) -> None:
    groups, mount, files, available, total = TREES[case]
    files = {"proc/self/cgroup": groups, "proc/self/mountinfo": mount + "\n", **files}
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert available_memory(tmp_path) == available
    assert total_memory(tmp_path) == total


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_this_machine_and_a_limit() -> None:
    available, total = available_memory(), total_memory()
    assert available is not None
    assert total is not None
    assert 0 < available <= total
    code = "from charlstm.memory import available_memory as a; print(a())"
    limit = 200_000_000
    result = subprocess.run(
        [sys.executable, "-c", code],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert limit / 2 < int(result.stdout) < limit
