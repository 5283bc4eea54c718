"""Unpacking downloads: ZIP and tar archives, and single files compressed by gzip, bzip2 or xz.

An archive may be hostile. Only plain files are unpacked, under checked relative paths, up to a
size; anything else is an error, and nothing of the archive is kept.
"""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from charlstm.download.tar import tar_files
from charlstm.errors import DownloadError
from charlstm.text.documents import document
from charlstm.text.unpacking import TrailingDataError, open_bzip2, open_xz
from charlstm.text.zips import ZIP_DAMAGE, UnsafeArchiveError, check_entry, most_unpacked, open_zip

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_BYTES = 1 << 18
_HEAD_BYTES = 1 << 12  # the first few of a bzip2 file may all be ASCII
_MOST_FILES = 20_000
_MOST_DEPTH = 32


def _open_gzip(raw: IO[bytes]) -> IO[bytes]:
    return cast(IO[bytes], gzip.GzipFile(fileobj=raw, mode="rb"))


_COMPRESSED = (
    (b"\x1f\x8b\x08", _open_gzip),
    (b"BZh", open_bzip2),
    (b"\xfd7zXZ\0", open_xz),
)
_SUFFIX = re.compile(r"\.(gz|bz2|xz)$", re.I)
_ARCHIVE_SUFFIX = re.compile(r"\.(zip|tar|t(ar\.)?(gz|bz2|xz))$", re.I)


class BadArchiveError(DownloadError):
    """An archive is damaged, hostile or not the expected one."""


@dataclass(frozen=True)
class Packed:
    """How a download is packed.

    Attributes:
        kind: `zip`, `tar` or `file`; empty if it is not packed.
        stem: its name without the suffix of the format.
    """

    kind: str
    stem: str


def packing_of(path: Path, name: str) -> Packed:
    """How a file is packed, from its content.

    Word, EPUB and OpenDocument files are ZIP archives, but not to be unpacked.

    Args:
        path: the file.
        name: its name.

    Raises:
        DownloadError: it cannot be read.
    """
    with _errors(name), path.open("rb") as raw:
        kind = document(raw.read(1 << 16))
        raw.seek(0)
        if kind is not None and kind.name == "a ZIP archive":
            return Packed("zip", _ARCHIVE_SUFFIX.sub("", name))
        stream = _uncompressed(raw)
        inner = kind if stream is None else document(stream.read(1024))
        if inner is not None and inner.name == "a tar archive":
            return Packed("tar", _ARCHIVE_SUFFIX.sub("", name))
        return Packed("", name) if stream is None else Packed("file", _SUFFIX.sub("", name))


def unpack(
    path: Path,
    packed: Packed,
    into: Path,
    *,
    name: str,
    members: tuple[str, ...] = (),
    max_size: int,
    progress: Callable[[int], None],
) -> list[str]:
    """Unpack a download into an empty folder.

    Args:
        path: the download.
        packed: how it is packed.
        into: the folder.
        name: the download's name, for errors.
        members: the files to unpack; empty: all of them.
        max_size: the largest total size, in bytes.
        progress: called with the number of bytes unpacked.

    Returns:
        The paths of the unpacked files within the folder, in the archive's order or in that of
        `members`.

    Raises:
        BadArchiveError: the archive is damaged, hostile or too large, or a member is missing.
        DownloadError: a file cannot be written.
    """
    with _errors(name), path.open("rb") as raw:
        limit = min(max_size, most_unpacked(path.stat().st_size))
        sink = _Sink(into, limit, max_size, progress)
        match packed.kind:
            case "zip":
                files = _zip_files(raw)
            case "tar":
                most = most_unpacked(path.stat().st_size)
                files = tar_files(cast("IO[bytes]", _Limited(_uncompressed(raw) or raw, most)))
            case _:
                stream = _uncompressed(raw)
                assert stream is not None
                files = iter([(packed.stem, lambda: stream)])
        seen: set[str] = set()
        for member, open_member in files:
            where = _safe_path(member)
            if where.casefold() in seen:
                raise UnsafeArchiveError(f"{member!r} occurs in it twice")
            seen.add(where.casefold())
            if len(seen) > _MOST_FILES:
                raise UnsafeArchiveError(f"it has more than {_MOST_FILES:,} files")
            if not members or where in members:
                sink.write(where, open_member())
        if missing := [member for member in members if member not in sink.written]:
            raise UnsafeArchiveError(f"it does not contain {missing[0]}")
        if not sink.written:
            raise UnsafeArchiveError("it contains no file")
        return list(members) or sink.written


class _Sink:
    """Writes unpacked files, up to a total size."""

    def __init__(
        self, into: Path, limit: int, max_size: int, progress: Callable[[int], None]
    ) -> None:
        self._into = into
        self._limit = limit
        self._max_size = max_size
        self._progress = progress
        self._done = 0
        self.written: list[str] = []

    def write(self, where: str, stream: IO[bytes]) -> None:
        path = self._into / where
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while data := stream.read(_BLOCK_BYTES):
                self._done += len(data)
                if self._done > self._limit:
                    raise UnsafeArchiveError(
                        f"unpacked, it has more than the {self._max_size:,} bytes of --max-size"
                        if self._limit == self._max_size
                        else f"unpacked, it has more than {self._limit:,} bytes, far more than text"
                    )
                file.write(data)
                self._progress(self._done)
        self.written.append(where)


class _Limited(io.RawIOBase):
    """A stream with an error after so many bytes, also if they are headers or are skipped."""

    def __init__(self, stream: IO[bytes], limit: int) -> None:
        self._stream = stream
        self._left = self._limit = limit

    def readable(self) -> bool:
        """True."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read bytes into a buffer; returns their number, 0 at the end."""
        view = memoryview(buffer).cast("B")
        data = self._stream.read(len(view))
        self._left -= len(data)
        if self._left < 0:
            raise UnsafeArchiveError(
                f"unpacked, it has more than {self._limit:,} bytes, far more than text"
            )
        view[: len(data)] = data
        return len(data)


def _uncompressed(raw: IO[bytes]) -> IO[bytes] | None:
    """The uncompressed bytes of a compressed file; None if it is not compressed."""
    head = raw.read(_HEAD_BYTES)
    raw.seek(0)
    for magic, opened in _COMPRESSED:
        if head.startswith(magic) and not head.isascii():  # a text may begin with `BZh`
            return opened(raw)
    return None


def _zip_files(raw: IO[bytes]) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    with open_zip(raw) as archive:
        for entry in archive.infolist():
            check_entry(entry)
            if not entry.is_dir() and not entry.filename.startswith("__MACOSX/"):
                yield entry.filename, partial(archive.open, entry)


def _safe_path(member: str) -> str:
    """A member's path, normalised.

    Raises:
        UnsafeArchiveError: it leads out of the folder, or is not a portable path.
    """
    parts = [part for part in member.split("/") if part not in ("", ".")]
    if (
        not parts
        or member.startswith("/")
        or ".." in parts
        or len(parts) > _MOST_DEPTH
        or re.search(r"[\\\0-\x1f\x7f]", member)
        or re.match(r"[A-Za-z]:", parts[0])
        or any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in parts)
    ):
        raise UnsafeArchiveError(f"the path {member[:100]!r} in it is not allowed")
    return "/".join(parts)


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Errors of unpacking, as errors for the user."""
    try:
        yield
    except UnsafeArchiveError as error:
        reason = str(error)
    except EOFError:
        reason = "the compressed data ends too early"
    except TrailingDataError:
        reason = "bytes that are not compressed follow the compressed data"
    except (lzma.LZMAError, *ZIP_DAMAGE):
        reason = "the compressed data is damaged"
    except OSError as error:
        # bz2 and gzip raise it for damage, without a number; `zipfile` seeks negative positions.
        if error.errno not in (None, errno.EINVAL):
            raise DownloadError(
                f"cannot unpack {name}: {error.strerror}"
                + (f" ({error.filename})" if error.filename else "")
                + ".\nThe download is kept; --no-unpack stores it as it is."
            ) from error
        reason = "the compressed data is damaged"
    else:
        return
    raise BadArchiveError(f"cannot unpack {name}: {reason}.\n--no-unpack stores it as it is.")
