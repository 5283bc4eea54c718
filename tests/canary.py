"""Hostile files for tests, written by hand: nothing in the project imports pickle."""

from __future__ import annotations

import os
import struct
from pathlib import Path


def pickled_canary(target: Path, protocol: int = 5) -> bytes:
    """A pickle that makes a folder where it is loaded.

    Its opcodes (see the standard library's `pickletools`): GLOBAL `os.mkdir`, MARK, the path,
    TUPLE, REDUCE, STOP; after PROTO from protocol 2 on.
    """
    path = os.fsencode(target)
    start = b"\x80" + bytes([protocol]) if protocol >= 2 else b""
    text = b"X" + struct.pack("<I", len(path)) + path if protocol else b"V" + path + b"\n"
    return start + b"cos\nmkdir\n(" + text + b"tR."


def entry(descr: str, shape: str = "(1,)", data: bytes = b"", extra: str = "") -> bytes:
    """A `.npy` file with a header of our own."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}{extra}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data
