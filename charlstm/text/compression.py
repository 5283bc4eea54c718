"""The size of a text after compression by general programs, to compare a model's loss with."""

from __future__ import annotations

import lzma
import zlib

LEAST, MOST = 4096, 4 << 20
"""Bytes of a text that is compressed: of shorter ones, headers count; longer ones take long."""
_GZIP = 31  # zlib's number for gzip's format with the largest window


class Compressors:
    """Compresses a text as it arrives, by gzip and by xz, until it exceeds `MOST` bytes."""

    def __init__(self) -> None:
        self._size = 0
        self._packed = {"gzip": 0, "xz": 0}
        self._gzip, self._xz = zlib.compressobj(9, wbits=_GZIP), lzma.LZMACompressor()

    def add(self, data: bytes) -> None:
        """Compress the next bytes."""
        self._size += len(data)
        if self._size <= MOST:
            self._packed["gzip"] += len(self._gzip.compress(data))
            self._packed["xz"] += len(self._xz.compress(data))

    @property
    def is_full(self) -> bool:
        """Whether the text is too long, so that no more of it is needed."""
        return self._size > MOST

    def bits_per_byte(self) -> dict[str, float]:
        """Bits per byte of the whole text by program; empty if it is too short or too long."""
        if not LEAST <= self._size <= MOST:
            return {}
        ends = {"gzip": self._gzip.flush(), "xz": self._xz.flush()}
        return {
            name: 8 * (self._packed[name] + len(end)) / self._size for name, end in ends.items()
        }
