"""Available processors: CPU affinity and the container's CPU quota.

Linux limits CPU time by control groups (cgroups). Version 2 has the limit in `cpu.max`, version 1
in `cpu.cfs_quota_us` and `cpu.cfs_period_us`, both as microseconds of CPU time per period. The
limits of parent groups also apply.
https://docs.kernel.org/admin-guide/cgroup-v2.html and
https://docs.kernel.org/scheduler/sched-bwc.html
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

_ROOT = Path("/")


def available_processors() -> int:
    """The number of processors that this process may use, at least 1.

    A quota is rounded down: with more threads than it allows, all are suspended for part of each
    period.
    """
    return allowed_processors(_affinity(), cpu_quota() if sys.platform == "linux" else None)


def allowed_processors(affinity: int, quota: float | None) -> int:
    """The minimum of CPU affinity and quota (None: unlimited), rounded down, at least 1."""
    return max(1, affinity if quota is None else min(affinity, math.floor(quota)))


def limit_library_threads() -> None:
    """Limit the thread pools of numpy and torch to the quota.

    These libraries respect CPU affinity, but not the quota. Call this before importing them. A
    value set by the user is kept.
    """
    processors = available_processors()
    if processors < _affinity():
        os.environ.setdefault("OMP_NUM_THREADS", str(processors))


def cpu_quota(root: Path = _ROOT) -> float | None:
    """CPU time per wall-clock time that cgroups allow this process; None: unlimited.

    Args:
        root: the folder that contains `proc/self/cgroup` and all mount points.
    """
    try:
        groups = (root / "proc/self/cgroup").read_text("utf-8", "replace")
        mounts = (root / "proc/self/mountinfo").read_text("utf-8", "replace")
    except OSError:
        return None
    quotas = [
        quota
        for folder in _cgroup_folders(groups, mounts)
        if (quota := _quota_of(root / str(folder).lstrip("/"))) is not None
    ]
    return min(quotas, default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    return os.cpu_count() or 1


def _cgroup_folders(groups: str, mounts: str) -> Iterator[PurePosixPath]:
    """The folders of this process's CPU groups and of all their parents.

    Args:
        groups: /proc/self/cgroup; lines of `id:controllers:path`, without controllers in version 2.
        mounts: /proc/self/mountinfo; see `man 5 proc`.
    """
    mounted = [mount for line in mounts.splitlines() if (mount := _cgroup_mount(line))]
    for line in groups.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        for is_cpu_v1, mount_root, mount_point in mounted:
            if is_cpu_v1 != bool(controllers):
                continue
            # A container often sees its own group as the root of the mount.
            group = PurePosixPath(path)
            inside = group.relative_to(mount_root) if group.is_relative_to(mount_root) else ""
            folder = mount_point / inside
            yield folder
            for parent in folder.parents:
                if not parent.is_relative_to(mount_point):
                    break
                yield parent


def _cgroup_mount(line: str) -> tuple[bool, PurePosixPath, PurePosixPath] | None:
    """A cgroup mount in a line of mountinfo: (is version 1's CPU controller, root, mount point)."""
    before, separator, after = line.partition(" - ")
    fields, kinds = before.split(), after.split()
    if not separator or len(fields) < 5 or len(kinds) < 3:
        return None
    is_v1 = kinds[0] == "cgroup" and "cpu" in kinds[2].split(",")
    if not is_v1 and kinds[0] != "cgroup2":
        return None
    return is_v1, PurePosixPath(_unescaped(fields[3])), PurePosixPath(_unescaped(fields[4]))


def _unescaped(path: str) -> str:
    for escaped, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        path = path.replace(escaped, character)
    return path


def _quota_of(folder: Path) -> float | None:
    """A group's own limit; None if it has none, or its format is unknown."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text("ascii").split()
        return _ratio(quota, period)
    with suppress(OSError, ValueError):
        quota = (folder / "cpu.cfs_quota_us").read_text("ascii")
        return _ratio(quota, (folder / "cpu.cfs_period_us").read_text("ascii"))
    return None


def _ratio(quota: str, period: str) -> float | None:
    """Quota divided by period; None for `max` or -1, which mean no limit."""
    if quota.strip() == "max":
        return None
    time, length = int(quota), int(period)
    return time / length if time > 0 and length > 0 else None
