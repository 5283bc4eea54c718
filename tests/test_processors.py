"""The number of processors: made-up cgroup trees, and this process's own affinity."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from charlstm import processors
from charlstm.processors import allowed_processors, available_processors, cpu_quota

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"
V1_MEMORY = "34 25 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V1_CONTAINER = "33 25 0:29 /docker/ab /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu"
SPACE = r"30 23 0:26 / /sys/fs/c\040group rw - cgroup2 cgroup2 rw"
ROOT_DISK = "22 1 8:1 / / rw - ext4 /dev/sda1 rw"

# cgroup file, mounts, files below the root, quota
TREES: dict[str, tuple[str, list[str], dict[str, str], float | None]] = {
    "v2 in a container": ("0::/\n", [V2], {"sys/fs/cgroup/cpu.max": "250000 100000\n"}, 2.5),
    "v2 without a limit": ("0::/\n", [V2], {"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
    "v2 root without the file": ("0::/\n", [V2], {}, None),
    "v2, a parent limits": (
        "0::/a/b/c\n",
        [ROOT_DISK, V2],
        {
            "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "400000 100000\n",
            "sys/fs/cgroup/a/b/c/cpu.max": "max 100000\n",
        },
        1.5,
    ),
    "v2, a sibling does not": (
        "0::/a\n",
        [V2],
        {"sys/fs/cgroup/b/cpu.max": "1000 100000\n"},
        None,
    ),
    "v2, a path with a space": (
        "0::/x y\n", [SPACE], {"sys/fs/c group/x y/cpu.max": "50000 25000"}, 2.0,
    ),
    "v1": (
        "5:memory:/m\n4:cpu,cpuacct:/job\n1:name=systemd:/job\n",
        [V1, V1_MEMORY],
        {
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "300000\n",
            "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        3.0,
    ),
    "v1 without a limit": (
        "4:cpu,cpuacct:/\n",
        [V1],
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        None,
    ),
    "v1 in a container": (
        "4:cpu:/docker/ab\n",
        [V1_CONTAINER],
        {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        0.5,
    ),
    "v1, a group outside the mount": (
        "4:cpu:/elsewhere\n",
        [V1_CONTAINER],
        {
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
        1.0,
    ),
    "both, the smaller counts": (
        "4:cpu,cpuacct:/\n0::/\n",
        [V1, V2],
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu.max": "200000 100000\n",
        },
        2.0,
    ),
    "damaged": (
        "0::/\nnonsense\n\n",
        [V2, "short", "1 2 3 4 5 - cgroup"],
        {"sys/fs/cgroup/cpu.max": "many 100000\n"},
        None,
    ),
    "a period of zero": ("0::/\n", [V2], {"sys/fs/cgroup/cpu.max": "100 0\n"}, None),
}  # fmt: skip


@pytest.mark.parametrize("case", TREES)
def test_the_quota_of_a_cgroup_tree(case: str, tmp_path: Path) -> None:
    groups, mounts, files, expected = TREES[case]
    files = {"proc/self/cgroup": groups, "proc/self/mountinfo": "\n".join(mounts) + "\n", **files}
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert cpu_quota(tmp_path) == expected


def test_a_machine_without_cgroups(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None


@pytest.mark.parametrize(
    ("affinity", "quota", "expected"),
    [(8, None, 8), (8, 2.5, 2), (8, 0.5, 1), (2, 4.0, 2), (1, 1.0, 1)],
)
def testaffinity_and_quota(affinity: int, quota: float | None, expected: int) -> None:
    assert allowed_processors(affinity, quota) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def testaffinity_counts() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available_processors() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_everything_counts_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training, inference and the number of processes, under a quota of 3 of 64 processors."""
    pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    import torch

    from charlstm.inference.fast_writer import _max_threads
    from charlstm.training.device import divide_threads
    from charlstm.training.launch import most_processes
    from charlstm.training.process_group import ProcessGroup
    from charlstm.training.rank import RankInfo

    monkeypatch.setattr(processors, "affinity", lambda: 64)
    monkeypatch.setattr(processors, "cpu_quota", lambda: 3.9)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr("charlstm.training.device._DEFAULT_THREADS", 64)
    chosen: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    count: Callable[[], int]
    _max_threads.cache_clear()
    for count in (available_processors, _max_threads, most_processes):
        assert count() == 3
    _max_threads.cache_clear()
    for group in (
        ProcessGroup(),
        ProcessGroup(RankInfo(0, 2, 0, 2)),
        ProcessGroup(RankInfo(0, 8, 0, 8)),
    ):
        divide_threads(0, group)
    divide_threads(40, ProcessGroup())
    assert chosen == [3, 1, 1, 3]
    processors.limit_library_threads()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("OMP_NUM_THREADS", "17")  # the user's own choice
    processors.limit_library_threads()
    assert os.environ["OMP_NUM_THREADS"] == "17"
