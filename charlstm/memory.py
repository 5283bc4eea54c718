"""Available memory: of the machine, of the container, and by the process's resource limits.

Linux: `MemAvailable` of /proc/meminfo, and the limits of control groups (`memory.max` in version 2,
`memory.limit_in_bytes` in version 1), of which page cache that can be dropped does not count as
used. `ulimit -d` and `ulimit -v` limit a process. https://docs.kernel.org/filesystems/proc.html
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from charlstm.cgroups import ROOT, group_folders, read_file


def available_memory(root: str | os.PathLike[str] = ROOT) -> int | None:
    """Bytes that this process can still allocate without swap; None: unknown.

    Args:
        root: the folder that contains `proc` and all mount points.
    """
    root = os.fspath(root)
    return min((max(0, left) for left in _limits(root)), default=None)


def total_memory(root: str | os.PathLike[str] = ROOT) -> int | None:
    """Bytes of the machine's memory, or of the smallest limit of a container; None: unknown."""
    root = os.fspath(root)
    found = [_kilobytes(os.path.join(root, "proc/meminfo")).get("MemTotal")]
    found += [limit for folder in group_folders("memory", root) for limit, _ in _group(folder)]
    return min((size for size in found if size is not None), default=None)


def _limits(root: str) -> Iterator[int]:
    """What each limit leaves."""
    meminfo = _kilobytes(os.path.join(root, "proc/meminfo"))
    if "MemAvailable" in meminfo:
        yield meminfo["MemAvailable"]
    for folder in group_folders("memory", root):
        for limit, used in _group(folder):
            yield limit - used
    with suppress(ImportError, AttributeError):  # Windows
        import resource  # noqa: PLC0415 - not on Windows

        status = _kilobytes(os.path.join(root, "proc/self/status"))
        for kind, field in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
            soft, _ = resource.getrlimit(kind)
            if soft != resource.RLIM_INFINITY and field in status:
                yield soft - status[field]


def _group(folder: str) -> Iterator[tuple[int, int]]:
    """A group's limit and use in bytes, if it has a limit."""
    for limit, usage, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):  # `max` means no limit
            size, used = int(read_file(folder, limit)), int(read_file(folder, usage))
            for line in read_file(folder, "memory.stat").splitlines():
                name, _, value = line.partition(" ")
                if name == cache:
                    used -= int(value)
            if size < 1 << 60:  # version 1 writes almost 2**63 for no limit
                yield size, used


def _kilobytes(path: str) -> dict[str, int]:
    """The sizes in a file of lines such as `MemTotal: 16 kB`, in bytes."""
    found = {}
    with suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            words = rest.split()
            if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
                found[name] = 1024 * int(words[0])
    return found
