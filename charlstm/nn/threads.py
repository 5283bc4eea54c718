"""Calls that torch's own threads share: each takes some of the rows.

torch's threads (OpenMP's) wait for their next work by spinning. Threads of any other pool would
have to fight them for the processor's cores, so the work goes to the same ones, through the entry
that compilers use: `GOMP_parallel` of the library that torch has loaded. Compiled code calls it
(`charlstm.kernels`), so that no thread asks for the interpreter's lock: one that waits for
that sleeps, and takes longer to wake than many a call takes. Where there is no such entry, Python's
threads do it.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch

from charlstm.kernels.lstm_windows import IN_TEAM


def share(function: Callable[..., None], rows: int, *arguments: Any) -> None:
    """Call `function(*arguments, first, last)` for parts of the rows that together are all.

    As many at a time as torch has threads.

    Args:
        function: one of `IN_TEAM`.
        rows: how many there are.
        arguments: what it takes before them.
    """
    count = max(1, min(torch.get_num_threads(), rows))
    if entry := _openmp():
        IN_TEAM[function](entry, count, rows, *arguments)
    else:
        parts = [(rows * part // count, rows * (part + 1) // count) for part in range(count)]
        for waiting in [_pool().submit(function, *arguments, *part) for part in parts]:
            waiting.result()


@cache
def _openmp() -> int:
    """Where `GOMP_parallel` is, or 0."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("lib*omp*")):
        if not re.match(r"lib[gi]?omp", path.name):
            continue
        try:
            entry = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):  # another library, or one without that entry
            continue
        return ctypes.cast(entry, ctypes.c_void_p).value or 0
    return 0


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="window")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
