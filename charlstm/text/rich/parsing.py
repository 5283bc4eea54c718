"""Parsing XML and HTML with lxml, piece by piece.

XML with a document type declaration, in which entities could be declared, is refused where the
format has no use for one. Entities are never replaced, external ones never loaded, and libxml2's
limits on depth and on the size of names and texts hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

from charlstm.text.rich.lines import Lines

_CHUNK_CHARS = 1 << 18
_MOST_NAME = 1000
_MOST_PAGE_CHARS = 256_000_000  # libxml2 keeps a page in memory until its end


class BadDocumentError(Exception):
    """A document is damaged, or has what a hostile one would have; the text says what."""


class MissingLibraryError(Exception):
    """lxml is not installed."""


class Target(Protocol):
    """What a parser reports to.

    Attributes:
        lines: the text collected.
    """

    lines: Lines

    def start(self, tag: str, attributes: Any) -> None:
        """An element begins; its name is `{namespace}name` in XML."""

    def end(self, tag: str) -> None:
        """An element ends."""

    def data(self, text: str) -> None:
        """Text."""

    def close(self) -> None:
        """The document ends."""


def load_lxml() -> Any:
    """The module `lxml.etree`.

    Raises:
        MissingLibraryError: it is not installed.
    """
    try:
        from lxml import etree  # noqa: PLC0415 - optional
    except ImportError as error:
        raise MissingLibraryError from error
    return etree


class XmlTarget:
    """A target for XML without a document type declaration."""

    def check_names(self, tag: str, attributes: Any) -> None:
        """Check the names of an element, each of which repeats its namespace.

        Raises:
            BadDocumentError: one of them is very long.
        """
        if len(tag) > _MOST_NAME or any(len(name) > _MOST_NAME for name in attributes):
            raise BadDocumentError(f"a name in it has more than {_MOST_NAME:,} characters")

    def doctype(self, *_: object) -> None:
        """Refuse the declaration.

        Raises:
            BadDocumentError: always.
        """
        raise BadDocumentError("it declares a document type, as hostile documents do")

    def close(self) -> None:
        """The document ends."""


def parse_xml(pieces: Iterable[bytes], target: Target) -> Iterator[str]:
    """The text that a target collects from an XML document, in chunks.

    Raises:
        BadDocumentError: the document is not well-formed, or declares a document type.
        MissingLibraryError: lxml is not installed.
    """
    etree = load_lxml()
    parser = etree.XMLParser(
        target=target, resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    yield from _parse(etree, parser, pieces, target)


def parse_html(pieces: Iterable[str], target: Target) -> Iterator[str]:
    """The text that a target collects from an HTML page, in chunks.

    Raises:
        BadDocumentError: the page is too large, or cannot be parsed at all.
        MissingLibraryError: lxml is not installed.
    """
    etree = load_lxml()
    parser = etree.HTMLParser(target=target, no_network=True, huge_tree=True)
    yield from _parse(etree, parser, _limited(pieces), target)


def _limited(pieces: Iterable[str]) -> Iterator[str]:
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > _MOST_PAGE_CHARS:
            raise BadDocumentError(f"a page of it has more than {_MOST_PAGE_CHARS:,} characters")
        yield piece


def _parse(etree: Any, parser: Any, pieces: Iterable[Any], target: Target) -> Iterator[str]:
    fed = False
    try:
        for piece in pieces:
            fed = fed or bool(piece)
            parser.feed(piece)
            if target.lines.size >= _CHUNK_CHARS:
                yield target.lines.take()
        if fed:
            parser.close()
    except etree.LxmlError as error:
        raise BadDocumentError(f"it is damaged ({_short(error)})") from error
    finally:
        with suppress(etree.LxmlError):  # frees the parser after an error
            if fed:
                parser.close()
    target.lines.end_line()
    if rest := target.lines.take():
        yield rest


def read_xml(data: bytes) -> Any:
    """The root of a small XML document.

    Raises:
        BadDocumentError: it is not well-formed, or declares entities.
        MissingLibraryError: lxml is not installed.
    """
    etree = load_lxml()
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    if b"<!ENTITY" in data.replace(b"\0", b""):  # also in UTF-16
        raise BadDocumentError("it declares entities, as hostile documents do")
    try:
        return etree.fromstring(data, parser)
    except etree.LxmlError as error:
        raise BadDocumentError(f"it is damaged ({_short(error)})") from error


def local(tag: str) -> str:
    """The name of an element without its namespace."""
    return tag.rpartition("}")[2]


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
