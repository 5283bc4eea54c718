"""Calls that torch's own threads share: each takes some of the rows.

torch's threads (OpenMP's) wait for their next work by spinning. Threads of any other pool would
have to fight them for the processor's cores, so the work goes to the same ones, through the entry
that compilers use: `GOMP_parallel` of the library that torch has loaded. Where there is none,
Python's threads do it.
"""

from __future__ import annotations

import ctypes
import itertools
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch

_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_known = threading.local()


def share(function: Callable[..., None], rows: int, *arguments: Any) -> None:
    """Call `function(*arguments, first, last)` for parts of the rows that together are all.

    As many at a time as torch has threads. The function must let go of the interpreter's lock.

    Raises:
        Exception: what one of the calls has raised.
    """
    count = min(torch.get_num_threads(), rows)
    if count <= 1:
        function(*arguments, 0, rows)
        return
    parts = itertools.count()
    failures: list[BaseException] = []

    def work(_: object = None) -> None:
        _stay_known()
        # A team may turn out smaller than it was asked to be.
        while (part := next(parts)) < count:
            try:
                function(*arguments, rows * part // count, rows * (part + 1) // count)
            except BaseException as error:
                failures.append(error)

    parallel = _openmp()
    if parallel is not None:
        parallel(_CALLBACK(work), None, count, 0)
    else:
        for waiting in [_pool().submit(work) for _ in range(count)]:
            waiting.result()
    if failures:
        raise failures[0]


def _stay_known() -> None:
    """Let the interpreter remember this thread: to make one known anew takes 10 us each time."""
    if not hasattr(_known, "thread"):
        _known.thread = True
        ctypes.pythonapi.PyGILState_Ensure()  # never released, so it lasts as long as the thread


@cache
def _openmp() -> Callable[..., None] | None:
    for path in sorted((Path(torch.__file__).parent / "lib").glob("lib*omp*")):
        if not re.match(r"lib[gi]?omp", path.name):
            continue
        try:
            parallel = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):  # another library, or one without that entry
            continue
        parallel.argtypes = [_CALLBACK, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        entry: Callable[..., None] = parallel
        return entry
    return None


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=256, thread_name_prefix="window")
