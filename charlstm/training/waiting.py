"""Adapts how torch's threads wait for each other to the load of other programs.

See `charlstm.nn.openmp` for the two ways. Neither changes any result, so the load may be measured
by the clock.
"""

from __future__ import annotations

import time

import torch

from charlstm.nn.openmp import sleep_while_waiting, sleeps_while_waiting
from charlstm.processors import affinity
from charlstm.training.load import CpuUse, others_by_system

_INTERVAL = 0.25  # seconds; the system counts in ticks of 0.01
# Processors that threads and other programs want beyond those there are. About half a processor is
# where spinning and sleeping are equally fast.
_SLEEP_FROM, _SPIN_BELOW = 0.4, 0.25


class LoadWatch:
    """Lets torch's threads sleep when they wait, while other programs need their processors.

    Attributes:
        others: how many processors other programs used when last measured; None: not known.
    """

    def __init__(self) -> None:
        self.others: float | None = None
        self._before = CpuUse.now()

    def check(self) -> None:
        """Measure the load, unless it was measured a moment ago, and adapt to it."""
        if time.monotonic() - self._before.at < _INTERVAL:
            return
        before, self._before = self._before, CpuUse.now()
        others = others_by_system(before, self._before)
        if others is None:
            return
        self.others = others
        threads = torch.get_num_threads()
        sleep_while_waiting(
            must_sleep(others, affinity(), threads, sleeping=sleeps_while_waiting())
        )


def end_sleep() -> None:
    """Let threads wait as they did before training."""
    sleep_while_waiting(False)


def must_sleep(others: float, processors: int, threads: int, *, sleeping: bool) -> bool:
    """Whether waiting threads should sleep.

    Args:
        others: how many processors other programs use.
        processors: how many there are.
        threads: how many training uses.
        sleeping: whether they sleep now.
    """
    missing = others + threads - processors
    return threads > 1 and missing > (_SPIN_BELOW if sleeping else _SLEEP_FROM)
