"""ZIP files that may be hostile: opened only if their directory is small and plain.

Python's `zipfile` reads the whole directory of an archive into memory, and takes its size from the
file.
"""

from __future__ import annotations

import errno
import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_END = b"PK\5\6"
_END_BYTES = 22
_ZIP64_LOCATOR = b"PK\6\7"
_ZIP64_LOCATOR_BYTES = 20
_MOST_COMMENT = 65535
_MOST_DIRECTORY = 4 << 20  # tens of thousands of entries
_ENCRYPTED = 0x1
_LEAST_LIMIT, _MOST_RATIO = 64 << 20, 200
ZIP_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, LookupError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""What `zipfile` raises for damaged archives."""


class UnsafeArchiveError(Exception):
    """An archive is damaged, or has what a hostile one would have; the text says what."""


def open_zip(raw: IO[bytes]) -> zipfile.ZipFile:
    """An archive in a file that can be sought.

    Raises:
        UnsafeArchiveError: it is damaged, or too large for a small program.
        OSError: it cannot be read.
    """
    size = raw.seek(0, io.SEEK_END)
    tail_bytes = min(size, _END_BYTES + _MOST_COMMENT + _ZIP64_LOCATOR_BYTES)
    raw.seek(size - tail_bytes)
    tail = raw.read(tail_bytes)
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_BYTES:
        raise UnsafeArchiveError("the archive is incomplete")
    (directory_bytes,) = struct.unpack_from("<I", tail, end + 12)
    locator = tail[max(0, end - _ZIP64_LOCATOR_BYTES) : end]
    if directory_bytes > _MOST_DIRECTORY or locator.startswith(_ZIP64_LOCATOR):
        raise UnsafeArchiveError("the archive has too many files, or is in ZIP64 format")
    raw.seek(0)
    with zip_errors():
        return zipfile.ZipFile(raw)


@contextmanager
def zip_errors() -> Iterator[None]:
    """Errors of `zipfile` on a damaged archive, as one kind of error.

    Raises:
        UnsafeArchiveError: the archive is damaged.
    """
    try:
        yield
    except ZIP_DAMAGE as error:
        raise UnsafeArchiveError("the archive is damaged") from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise UnsafeArchiveError("the archive is damaged") from error  # a negative position


def check_entry(entry: zipfile.ZipInfo) -> None:
    """Check that an entry is a plain file or a folder, and can be unpacked in bounded memory.

    Raises:
        UnsafeArchiveError: it is encrypted, compressed by a rare method, a link, or something else.
    """
    # `zipfile` unpacks the others without a bound: a kilobyte may become gigabytes.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsafeArchiveError("its compression is not supported")
    if entry.flag_bits & _ENCRYPTED:
        raise UnsafeArchiveError("the archive is protected by a password")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeArchiveError(f"{entry.filename!r} in it is a link or a special file")


def most_unpacked(packed: int) -> int:
    """The size up to which data of a packed size may be unpacked, in bytes.

    Text is compressed to a tenth, rarely to a hundredth. More is a bomb, beyond a harmless size.
    """
    return max(_LEAST_LIMIT, _MOST_RATIO * packed)
