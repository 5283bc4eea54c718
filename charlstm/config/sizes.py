"""Sizes in bytes, written with a unit."""

from __future__ import annotations

import re

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def bytes_of(size: str) -> int | None:
    """The number of bytes of a size such as `500MB`, `1.5 GB` or `20G`; None if it is not one."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([KMGT]?B?)", size.strip().upper())
    if match is None:
        return None
    unit = f"{match[2]}B" if match[2] in tuple("KMGT") else match[2]
    return int(float(match[1]) * _UNITS[unit])
