"""Documents that are ZIP archives: their parts, as streams of bytes with a bounded size."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import IO
from urllib.parse import unquote

from charlstm.text.rich.parsing import BadDocumentError, local, read_xml
from charlstm.text.zips import UnsafeArchiveError, check_entry, most_unpacked, open_zip, zip_errors

_BLOCK_BYTES = 1 << 16
_MOST_SMALL = 4 << 20  # bytes of a part that is read as a whole; its tree takes 40 times as much


class Package:
    """The parts of a document.

    Args:
        raw: the file, which can be sought.

    Raises:
        BadDocumentError: it is not an intact archive.
        OSError: it cannot be read.
    """

    def __init__(self, raw: IO[bytes]) -> None:
        try:
            self._archive = open_zip(raw)
        except UnsafeArchiveError as error:
            raise BadDocumentError(str(error)) from error
        self._left = most_unpacked(raw.seek(0, 2))

    def __contains__(self, part: str) -> bool:
        return part in self._archive.NameToInfo

    def names(self) -> list[str]:
        """The names of all parts."""
        return self._archive.namelist()

    def stream(self, part: str) -> Iterator[bytes]:
        """The bytes of a part, in pieces.

        Raises:
            BadDocumentError: it is missing, damaged, encrypted, or a bomb.
        """
        entry = self._archive.NameToInfo.get(part)
        if entry is None:
            raise BadDocumentError(f"it is incomplete: {part} is missing")
        try:
            check_entry(entry)
            with zip_errors(), self._archive.open(entry) as stream:
                while piece := stream.read(_BLOCK_BYTES):
                    self._left -= len(piece)
                    if self._left < 0:
                        raise BadDocumentError("it unpacks to far more than a text would")
                    yield piece
        except UnsafeArchiveError as error:
            raise BadDocumentError(f"{part} in it: {error}") from error

    def read(self, part: str) -> bytes:
        """A small part.

        Raises:
            BadDocumentError: see `stream`; or it is not small.
        """
        data = bytearray()
        for piece in self.stream(part):
            data += piece
            if len(data) > _MOST_SMALL:
                raise BadDocumentError(f"{part} in it is too large")
        return bytes(data)

    def related(self, part: str) -> dict[str, str]:
        """The parts that an Office document's part refers to, by kind, such as `footnotes`."""
        folder, _, name = part.rpartition("/")
        where = posixpath.join(folder, "_rels", f"{name}.rels")
        if where not in self:
            return {}
        found: dict[str, str] = {}
        for element in read_xml(self.read(where)):
            if (
                local(str(element.tag)) == "Relationship"
                and element.get("TargetMode") != "External"
            ):
                kind = str(element.get("Type", "")).rpartition("/")[2]
                found.setdefault(kind, resolve(part, str(element.get("Target", ""))))
        return found


def resolve(part: str, target: str) -> str:
    """The name of the part that a part refers to by a relative address."""
    path = unquote(target.partition("#")[0])
    joined = posixpath.join("/", posixpath.dirname(part), path)
    return posixpath.normpath(joined).lstrip("/")
