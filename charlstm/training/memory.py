"""How the C library reuses memory that training frees in every step."""

from __future__ import annotations

import ctypes
import os

# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = 2**31 - 1  # bytes; the largest number that mallopt takes


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the next step, whatever its size.

    A step frees all that it allocated, some of it in blocks of megabytes. By default glibc hands
    such blocks back to the system at once, and gets them anew, page by page and zeroed, in the
    next step; that takes up to a third of the time of training. Kept, the process holds on to
    what its largest step needed, which it needs again anyway.

    Nothing is done where the user has set the same by `MALLOC_...` variables, or where the C
    library is another.

    Returns:
        Whether it was set.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no such function; on Windows no such library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _NEVER) and mallopt(_TRIM_THRESHOLD, _NEVER))
