"""The text of EPUB books: the chapters, in the order of reading (EPUB 3.3, section 5)."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

from charlstm.text.rich.html import HtmlTarget, declared_encoding
from charlstm.text.rich.package import Package, resolve
from charlstm.text.rich.parsing import BadDocumentError, local, parse_html, read_xml

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_PAGES = ("application/xhtml+xml", "text/html")


def epub_text(package: Package) -> Iterator[str]:
    """The text of a book.

    Raises:
        BadDocumentError: it is damaged, hostile or encrypted.
    """
    chapters = _chapters(package)
    encrypted = _encrypted(package) if _ENCRYPTION in package else set()
    for chapter in chapters:
        if chapter in encrypted:
            raise BadDocumentError("it is encrypted (DRM)")
        yield from parse_html(_decoded(package.stream(chapter), chapter), HtmlTarget())


def _chapters(package: Package) -> list[str]:
    """The parts with the chapters, each once."""
    root = _first(read_xml(package.read(_CONTAINER)), "rootfile")
    where = resolve("", str(root.get("full-path", "")))
    book = read_xml(package.read(where))
    items = {str(item.get("id")): item for item in _all(book, "item")}
    chapters: dict[str, None] = {}
    for reference in _all(book, "itemref"):
        item = items.get(str(reference.get("idref")))
        if item is None or item.get("media-type") not in _PAGES:
            continue
        if "nav" not in str(item.get("properties", "")).split():
            chapters[resolve(where, str(item.get("href", "")))] = None
    return list(chapters)


def _encrypted(package: Package) -> set[str]:
    """The parts that are encrypted."""
    found = _all(read_xml(package.read(_ENCRYPTION)), "CipherReference")
    return {resolve("", str(element.get("URI", ""))) for element in found}


def _decoded(pieces: Iterator[bytes], chapter: str) -> Iterator[str]:
    first = next(pieces, b"")
    for mark, name in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if first.startswith(mark):
            encoding = name
            break
    else:
        encoding = "utf-8-sig" if first.startswith(codecs.BOM_UTF8) else declared_encoding(first)
    decoder = codecs.getincrementaldecoder(encoding or "utf-8")()
    try:
        yield decoder.decode(first)
        for piece in pieces:
            yield decoder.decode(piece)
        yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise BadDocumentError(f"{chapter} in it is not valid {error.encoding}") from error


def _all(root: Any, name: str) -> list[Any]:
    return [element for element in root.iter() if local(str(element.tag)) == name]


def _first(root: Any, name: str) -> Any:
    found = _all(root, name)
    if not found:
        raise BadDocumentError(f"it is incomplete: there is no {name}")
    return found[0]
