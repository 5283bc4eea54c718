"""Available processors: CPU affinity and the container's CPU quota.

Linux limits CPU time by control groups. Version 2 has the limit in `cpu.max`, version 1 in
`cpu.cfs_quota_us` and `cpu.cfs_period_us`, both as microseconds of CPU time per period.
https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/scheduler/sched-bwc.html
"""

from __future__ import annotations

import math
import os
import sys
from contextlib import suppress

from charlstm.cgroups import ROOT, group_folders, read_file


def available_processors() -> int:
    """The number of processors that this process may use, at least 1.

    A quota is rounded down: with more threads than it allows, all are suspended for part of each
    period.
    """
    return allowed_processors(affinity(), cpu_quota() if sys.platform == "linux" else None)


def allowed_processors(affinity: int, quota: float | None) -> int:
    """The minimum of CPU affinity and quota (None: unlimited), rounded down, at least 1."""
    return max(1, affinity if quota is None else min(affinity, math.floor(quota)))


def limit_library_threads() -> None:
    """Limit the thread pools of numpy and torch to the quota.

    These libraries respect CPU affinity, but not the quota. Call this before importing them. A
    value set by the user is kept.
    """
    processors = available_processors()
    if processors < affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(processors))


def cpu_quota(root: str | os.PathLike[str] = ROOT) -> float | None:
    """CPU time per wall-clock time that cgroups allow this process; None: unlimited.

    Args:
        root: the folder that contains `proc/self/cgroup` and all mount points.
    """
    quotas = (_quota_of(folder) for folder in group_folders("cpu", root))
    return min((quota for quota in quotas if quota is not None), default=None)


def affinity() -> int:
    """The number of processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return os.cpu_count() or 1


def _quota_of(folder: str) -> float | None:
    """A group's own limit; None if it has none, or its format is unknown."""
    with suppress(OSError, ValueError):
        quota, period = read_file(folder, "cpu.max").split()
        return _ratio(quota, period)
    with suppress(OSError, ValueError):
        quota = read_file(folder, "cpu.cfs_quota_us")
        return _ratio(quota, read_file(folder, "cpu.cfs_period_us"))
    return None


def _ratio(quota: str, period: str) -> float | None:
    """Quota divided by period; None for `max` or -1, which mean no limit."""
    if quota == "max":
        return None
    time, length = int(quota), int(period)
    return time / length if time > 0 and length > 0 else None
