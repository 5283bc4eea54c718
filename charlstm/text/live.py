"""Standard input as a source that is read while it is written."""

from __future__ import annotations

import io
import select
from typing import IO, TYPE_CHECKING, cast

from charlstm.text.decoding import HEAD_BYTES, unpack
from charlstm.text.sources import Source, spool, standard_input

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_WAIT_SECONDS = 0.02  # for more data, before what has arrived is returned


class LiveSource(Source):
    """Standard input, read as it arrives; it can be opened once."""

    def open(self) -> IO[bytes]:
        """The bytes. A read waits only until something has arrived.

        Raises:
            SourceError: standard input is closed, or compressed and cannot be copied.
        """
        arriving = cast(IO[bytes], _Arriving(standard_input()))
        _, packed = unpack(arriving)
        arriving.seek(0)
        if packed:  # reading it goes back
            arriving = spool(arriving, "-")
            arriving.seek(0)
        return arriving


class _Arriving(io.RawIOBase):
    """The bytes of a stream as they arrive; a read returns fewer bytes than requested.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._head = b""  # the first bytes, which can be read again
        self._position = 0
        self._has_ended = False

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True; `seek` goes back to the start, as long as only the head has been read."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go back to the start.

        Raises:
            io.UnsupportedOperation: another position is requested, or more than the head was read.
        """
        if offset or whence != io.SEEK_SET or self._position > len(self._head):
            raise io.UnsupportedOperation("only the head can be read again")
        self._position = 0
        return 0

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read what has arrived into a buffer; returns the number of bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        if not self._position and not self._head:
            self._head = self._arrived(HEAD_BYTES)
        data = self._head[self._position : self._position + len(view)] or self._arrived(len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _arrived(self, most: int) -> bytes:
        """The next bytes: at least one, or none at the end."""
        parts: list[bytes] = []
        size = 0
        while size < most and not self._has_ended:
            if parts and not select.select([self._stream], [], [], _WAIT_SECONDS)[0]:
                break
            # One read at a time: after the end, a terminal would wait for another one.
            part = getattr(self._stream, "read1", self._stream.read)(most - size)
            self._has_ended = not part
            parts.append(part)
            size += len(part)
        return b"".join(parts)
