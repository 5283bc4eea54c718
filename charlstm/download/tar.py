"""The files of tar archives that may be hostile.

Python's `tarfile` reads headers of any number and length into memory, searches them with regular
expressions that take quadratic time, and follows maps of sparse files without end. This reader
knows plain files, folders and long names, and nothing else.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, TYPE_CHECKING, cast

from charlstm.text.zips import UnsafeArchiveError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_BYTES = 512
_MOST_HEADER = 1 << 20
_SKIPPED_BYTES = 1 << 18
_FILES, _FOLDER = (b"0", b"\0", b"7"), b"5"
_PAX, _LONG_NAME = (b"x", b"X"), b"L"
_EXTENSIONS = (*_PAX, _LONG_NAME, b"K", b"g")  # K: of a link's target; g: for all files


def tar_files(stream: IO[bytes]) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    """The plain files of an archive in order: their paths, and functions that open them.

    A file can be read until the next one is requested.

    Args:
        stream: the uncompressed archive; it is read once, and not sought.

    Raises:
        UnsafeArchiveError: the archive is damaged, or contains links or special files.
    """
    long_name, other_size = "", None
    while header := _header(stream):
        kind, size = header[156:157], _number(header[124:136])
        if kind in _EXTENSIONS:
            if size > _MOST_HEADER:
                raise UnsafeArchiveError("it has a header of more than 1 MB")
            data = _exactly(stream, size)
            _exactly(stream, -size % _BLOCK_BYTES)
            if kind == _LONG_NAME:
                long_name = _text(data)
            elif kind in _PAX:
                found = _pax_records(data)
                long_name = _text(found.get(b"path", b"")) or long_name
                if b"size" in found:
                    other_size = _decimal(found[b"size"])
            continue
        name = long_name or _name(header)
        size = size if other_size is None else other_size
        long_name, other_size = "", None
        if kind == _FOLDER or (kind == b"\0" and name.endswith("/")):
            continue
        if kind not in _FILES:
            raise UnsafeArchiveError(f"{name[:100]!r} in it is a link or a special file")
        member = _Member(stream, size)
        yield name, partial(cast, "IO[bytes]", member)
        member.skip()
        _exactly(stream, -size % _BLOCK_BYTES)


class _Member(io.RawIOBase):
    """The bytes of one file, which must be there."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read bytes into a buffer; returns their number, 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = _exactly(self._stream, min(len(view), self._left))
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def skip(self) -> None:
        """Read the rest."""
        while self.read(_SKIPPED_BYTES):
            pass


def _header(stream: IO[bytes]) -> bytes:
    """The next header; empty at the end of the archive."""
    header = stream.read(_BLOCK_BYTES)
    if not header or header == bytes(_BLOCK_BYTES):
        return b""
    header += _exactly(stream, _BLOCK_BYTES - len(header))
    if sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) != _number(header[148:156]):
        raise UnsafeArchiveError("the archive is damaged")
    return header


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = stream.read(size - len(data))
        if not piece:
            raise UnsafeArchiveError("the archive is damaged: it ends too early")
        data += piece
    return bytes(data)


def _number(field: bytes) -> int:
    """A number in octal digits, or, if its first bit is set, in base 256."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):
        raise UnsafeArchiveError("the archive is damaged")
    return int(digits or b"0", 8)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 18:
        raise UnsafeArchiveError("the archive is damaged")
    return int(digits)


def _text(name: bytes) -> str:
    return name.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """The records of a POSIX extension: each is its length, a space, `key=value` and a newline."""
    found: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 20)
        end = at + _decimal(data[at:space]) if space > at else 0
        if not space < end <= len(data) or data[end - 1 : end] != b"\n":
            raise UnsafeArchiveError("the archive is damaged")
        key, _, value = data[space + 1 : end - 1].partition(b"=")
        if key.startswith(b"GNU.sparse"):
            raise UnsafeArchiveError("it contains a sparse file")
        if key in (b"path", b"size"):
            found[key] = value
        at = end
    return found
