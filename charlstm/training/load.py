"""How busy other programs keep the machine's processors.

Linux counts the time that all processors have worked, and each process its own: what is left is
the others'. Elsewhere the load average stands for it, as it was before this process began to work.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")
_LEAST_SECONDS = 0.5  # clock ticks of 0.01 s say little about less
_MARGIN = 0.5  # processors: what a system does in the background


@dataclass(frozen=True)
class CpuUse:
    """Processor time at a moment, in seconds.

    Attributes:
        at: when, by `time.monotonic`.
        everyone: worked by all processors since the system started; None: not known.
        own: by this process and the children that it has waited for.
        load: the load average of the last minute; None: not known.
    """

    at: float
    everyone: float | None
    own: float
    load: float | None

    @classmethod
    def now(cls) -> CpuUse:
        """What the system knows now."""
        times = os.times()
        own = times.user + times.system + times.children_user + times.children_system
        try:
            load: float | None = os.getloadavg()[0]
        except (OSError, AttributeError):  # Windows has none
            load = None
        return cls(time.monotonic(), _everyone(), own, load)


def used_by_others(before: CpuUse, after: CpuUse) -> float | None:
    """How many processors other programs have used between two moments; None: not known."""
    seconds = after.at - before.at
    if before.everyone is None or after.everyone is None or seconds < _LEAST_SECONDS:
        return before.load
    others = (after.everyone - before.everyone) - (after.own - before.own)
    return max(0.0, others / seconds)


def busy_notice(others: float | None, processors: int, threads: int) -> str:
    """A warning that other programs use processors that training needs; otherwise empty.

    Args:
        others: how many processors they use; None: not known.
        processors: how many there are.
        threads: how many training uses.
    """
    if others is None or others + threads < processors + _MARGIN or others < _MARGIN:
        return ""
    advice = "; --threads 1 may be faster" if threads > 1 else ""
    used = min(others, processors)  # rounding of the system's counters may add to more
    return (
        f"the machine is busy: other programs use {used:.1f} of its {processors} processors, so "
        f"training is slower{advice}."
    )


def _everyone() -> float | None:
    """Seconds that all processors have worked since the system started.

    The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal, ... in
    clock ticks (proc_stat(5)). user holds guest, and steal is other machines'.
    """
    try:
        words = _STAT.read_text("ascii").partition("\n")[0].split()
        user, nice, system, _idle, _iowait, irq, softirq = map(int, words[1:8])
        return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return None
