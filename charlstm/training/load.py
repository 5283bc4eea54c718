"""CPU usage of other programs, for a notice that the machine is busy.

On Linux it is the CPU time of the whole system minus that of this process. On other systems it is
estimated by the load average before training began.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_MIN_SECONDS = 0.5  # the system counts in ticks of 0.01 s, too coarse for shorter intervals
_MARGIN = 0.5  # processors, for the system's background work


@dataclass(frozen=True)
class CpuUse:
    """CPU times at one moment, in seconds.

    Attributes:
        at: the moment, as `time.monotonic()`.
        system: CPU time of the processors that this process may use, since the system started;
            None if unknown.
        process: CPU time of this process and of the child processes that it has waited for.
        load: the load average of the last minute; None if unknown.
    """

    at: float
    system: float | None
    process: float
    load: float | None

    @classmethod
    def now(cls) -> CpuUse:
        """The current CPU times."""
        times = os.times()
        process = times.user + times.system + times.children_user + times.children_system
        try:
            load: float | None = os.getloadavg()[0]
        except (OSError, AttributeError):  # Windows has none
            load = None
        return cls(time.monotonic(), _system_seconds(), process, load)


def used_by_others(before: CpuUse, after: CpuUse) -> float | None:
    """The mean number of processors that other programs used between two moments; None: unknown."""
    if after.at - before.at < _MIN_SECONDS:
        return before.load
    others = others_by_system(before, after)
    return before.load if others is None else others


def others_by_system(before: CpuUse, after: CpuUse) -> float | None:
    """The same by the system's counters alone; None if it has none."""
    if before.system is None or after.system is None:
        return None
    others = (after.system - before.system) - (after.process - before.process)
    return max(0.0, others / (after.at - before.at))


def busy_notice(others: float | None, processors: int, threads: int) -> str:
    """A notice that other programs use processors that training needs; empty if they do not.

    Args:
        others: number of processors that other programs use; None: unknown.
        processors: number of the machine's processors.
        threads: number of threads that training uses.
    """
    if others is None or others + threads < processors + _MARGIN or others < _MARGIN:
        return ""
    used = min(others, processors)  # rounding of the system's counters may give more
    return f"other programs use {used:.1f} of {processors} processors; training is slower."


def _system_seconds() -> float | None:
    """CPU time of the processors that this process may use, since the system started, in seconds.

    Lines `cpu0`, `cpu1`, ... of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal,
    ... in clock ticks (proc_stat(5)). user includes guest; steal is the time of other virtual
    machines.
    """
    try:
        names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        lines = [line.split() for line in _STAT.read_text("ascii").splitlines()]
        ticks = []
        for name, *words in lines:
            if name in names:
                user, nice, system, _idle, _iowait, irq, softirq = map(int, words[:7])
                ticks.append(user + nice + system + irq + softirq)
        return sum(ticks) / os.sysconf("SC_CLK_TCK") if ticks else None
    except (OSError, ValueError, AttributeError):
        return None
