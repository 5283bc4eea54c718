"""Streams of the uncompressed bytes of bzip2 and xz files.

Python's own readers of these formats drop whatever follows the compressed data. These ones read
concatenated streams, as Python's reader of gzip does, and raise an error for anything else.
"""

from __future__ import annotations

import bz2
import io
import lzma
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_BYTES = 1 << 16
_BZIP2_MAGIC = b"BZh"
_XZ_MAGIC = b"\xfd7zXZ\0"


class TrailingDataError(Exception):
    """Bytes that are not compressed follow the compressed data."""


def open_bzip2(raw: IO[bytes]) -> IO[bytes]:
    """The uncompressed bytes of a bzip2 file, as a stream that can go back to its start."""
    return _buffered(_Unpacked(raw, bz2.BZ2Decompressor, _BZIP2_MAGIC))


def open_xz(raw: IO[bytes]) -> IO[bytes]:
    """The uncompressed bytes of an xz file, as a stream that can go back to its start."""
    return _buffered(_Unpacked(raw, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), _XZ_MAGIC))


def _buffered(unpacked: _Unpacked) -> IO[bytes]:
    return cast(IO[bytes], io.BufferedReader(unpacked, _BLOCK_BYTES))


class _Unpacked(io.RawIOBase):
    """Concatenated compressed streams, uncompressed. Zero bytes after a stream are padding.

    Args:
        raw: the compressed file.
        new_decompressor: makes a decompressor for one stream.
        magic: the bytes that each stream begins with.
    """

    def __init__(
        self,
        raw: IO[bytes],
        new_decompressor: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor],
        magic: bytes,
    ) -> None:
        self._raw = raw
        self._new_decompressor = new_decompressor
        self._magic = magic
        self._rewind()

    def _rewind(self) -> None:
        self._raw.seek(0)
        self._decompressor = self._new_decompressor()
        self._position = 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True; `seek` goes to the start only."""
        return True

    def tell(self) -> int:
        """The number of uncompressed bytes read."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to the start, or stay.

        Raises:
            io.UnsupportedOperation: another position is requested.
        """
        if whence == io.SEEK_SET and offset == 0:
            self._rewind()
        elif (whence, offset) not in ((io.SEEK_CUR, 0), (io.SEEK_SET, self._position)):
            raise io.UnsupportedOperation("only the start can be sought")
        return self._position

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read uncompressed bytes into a buffer; returns their number, 0 at the end.

        Raises:
            EOFError: the file ends within a stream.
            TrailingDataError: something else follows a stream.
            OSError, lzma.LZMAError: the file is damaged or cannot be read.
        """
        view = memoryview(buffer).cast("B")
        data = b""
        while not data:
            if self._decompressor.eof and not self._next_stream():
                return 0
            packed = self._raw.read(_BLOCK_BYTES) if self._decompressor.needs_input else b""
            if not packed and self._decompressor.needs_input:
                raise EOFError("the file ends within a compressed stream")
            data = self._decompressor.decompress(packed, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _next_stream(self) -> bool:
        """Begin with the stream that follows; False at the end of the file."""
        after = self._decompressor.unused_data.lstrip(b"\0")
        while len(after) < len(self._magic) and (more := self._raw.read(_BLOCK_BYTES)):
            after = (after + more).lstrip(b"\0")
        if not after:
            return False
        if not after.startswith(self._magic):
            raise TrailingDataError
        self._decompressor = self._new_decompressor()
        self._raw.seek(-len(after), io.SEEK_CUR)
        return True
