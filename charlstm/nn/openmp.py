"""The OpenMP library that torch has loaded: its entry for parallel regions, and how threads wait.

A thread that waits at the end of a parallel region spins first, as the others usually arrive soon.
While another program uses one of the processors they do not: the thread that spins then keeps a
processor from the one it waits for, and a region takes many times as long. GNU's library spins for
some milliseconds, but hardly at all while it manages more threads than there are processors
(https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html). `sleep_while_waiting` brings this
about by threads that have nothing to do. The work is divided as before, so all results keep their
bits.
"""

from __future__ import annotations

import ctypes
import os
import re
import threading
from functools import cache
from pathlib import Path

import torch


def sleep_while_waiting(sleep: bool) -> None:
    """Let torch's threads sleep soon when they wait (True), or spin first, as is the default.

    Sleeping is faster while other programs use the processors, and slower while they do not. It
    has no effect where torch's OpenMP library is not GNU's.
    """
    if sleep == sleeps_while_waiting() or not _is_gnu():
        return
    if sleep:
        _idle_teams.append(_IdleTeam())
    else:
        _idle_teams.pop().end()


def sleeps_while_waiting() -> bool:
    """Whether `sleep_while_waiting` is on."""
    return bool(_idle_teams)


class _IdleTeam:
    """OpenMP threads, asleep, that raise the number of threads above that of processors."""

    def __init__(self) -> None:
        processors = len(os.sched_getaffinity(0))
        # The library counts torch's threads, but a team's first thread only once.
        self._count = max(2, processors - torch.get_num_threads() + 2)
        self._started, self._ended = threading.Event(), threading.Event()
        self._leader = threading.Thread(target=self._lead, name="idle-team", daemon=True)
        self._leader.start()
        self._started.wait()

    def _lead(self) -> None:
        """Form the team; it lasts as long as the thread that has formed it."""
        kinds = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel = ctypes.CFUNCTYPE(None, *kinds)(parallel_entry())
        nothing = ctypes.cast(ctypes.CDLL(None).free, ctypes.c_void_p)  # free(NULL)
        parallel(nothing, None, self._count, 0)
        self._started.set()
        self._ended.wait()

    def end(self) -> None:
        """End its threads."""
        self._ended.set()
        self._leader.join()


_idle_teams: list[_IdleTeam] = []  # one, or none


@cache
def _library() -> ctypes.CDLL | None:
    """The OpenMP library that torch has loaded, if it has the entry of GNU's."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("lib*omp*")):
        if not re.match(r"lib[gi]?omp", path.name):
            continue
        try:
            library = ctypes.CDLL(str(path))
            library.GOMP_parallel  # noqa: B018 - whether it is there
        except (OSError, AttributeError):  # another library, or one without that entry
            continue
        return library
    return None


@cache
def parallel_entry() -> int:
    """The address of `GOMP_parallel`, or 0."""
    library = _library()
    if library is None:
        return 0
    return ctypes.cast(library.GOMP_parallel, ctypes.c_void_p).value or 0


@cache
def _is_gnu() -> bool:
    """Whether it is GNU's own."""
    library = _library()
    return library is not None and Path(library._name).name.startswith("libgomp")


if hasattr(os, "register_at_fork"):  # a child process has none of its parent's threads
    os.register_at_fork(after_in_child=_idle_teams.clear)
