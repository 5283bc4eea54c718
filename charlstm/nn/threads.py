"""Parallel calls of kernels on torch's threads, each for a part of the rows.

torch's OpenMP threads spin while they wait for work. Threads of another pool would compete with
them for the processor's cores. Kernels therefore run on the same threads, through `GOMP_parallel`
of the library that torch has loaded. Compiled code calls it (`charlstm.kernels.team`), so that no
thread waits for Python's global interpreter lock: waking a waiting thread can take longer than the
kernel. Without such a library, Python's threads are used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch

from charlstm.kernels.team import IN_TEAM
from charlstm.nn.openmp import parallel_entry


def parallel_for(kernel: Callable[..., None], rows: int, *arguments: Any) -> None:
    """Call `kernel(*arguments, first, last)` for parts of the rows, on torch's threads.

    Args:
        kernel: one of `charlstm.kernels.team.IN_TEAM`.
        rows: number of rows.
        arguments: the kernel's arguments before `first` and `last`.
    """
    count = max(1, min(torch.get_num_threads(), rows))
    if entry := parallel_entry():
        IN_TEAM[kernel](entry, count, rows, *arguments)
    else:
        parts = [(rows * part // count, rows * (part + 1) // count) for part in range(count)]
        for waiting in [_pool().submit(kernel, *arguments, *part) for part in parts]:
            waiting.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="window")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
