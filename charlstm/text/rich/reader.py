"""Which files are read as documents, and their text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO

from charlstm.errors import SourceError
from charlstm.text.documents import EPUB, OPEN_DOCUMENT, WORD, Kind, document, is_archive, markup
from charlstm.text.rich.epub import epub_text
from charlstm.text.rich.html import HtmlTarget
from charlstm.text.rich.office import open_document_text, word_text
from charlstm.text.rich.package import Package
from charlstm.text.rich.parsing import BadDocumentError, MissingLibraryError, parse_html

_READERS: dict[Kind, Callable[[Package], Iterator[str]]] = {
    WORD: word_text,
    OPEN_DOCUMENT: open_document_text,
    EPUB: epub_text,
}
_HTML_NAME = re.compile(r"\.(html?|xhtml?)(\.(gz|bz2|xz))?$", re.IGNORECASE)
_HEAD_CHARS = 4096


def kind_of(head: bytes, raw: IO[bytes] | None) -> Kind | None:
    """The kind of document that can be read as text; None for all other files.

    Args:
        head: the first bytes.
        raw: the file; its position is restored. None: only the first bytes are examined.
    """
    kind = document(head)
    if kind in _READERS:
        return kind
    if raw is None or kind is None or not is_archive(kind):
        return None
    position = raw.tell()
    try:
        # The first bytes of an archive do not always show what it contains.
        package = Package(raw)
        if any(name.startswith("word/document") for name in package.names()):
            return WORD
        names = "META-INF/container.xml", "content.xml"
        if "mimetype" in package and any(name in package for name in names):
            mimetype = package.read("mimetype").strip()
            return {
                b"application/epub+zip": EPUB,
                b"application/vnd.oasis.opendocument.text": OPEN_DOCUMENT,
            }.get(mimetype)
    except (BadDocumentError, OSError):
        return None
    finally:
        raw.seek(position)
    return None


def document_text(raw: IO[bytes], kind: Kind, name: str) -> Iterator[str]:
    """The text of a document, in chunks.

    Args:
        raw: the file.
        kind: from `kind_of`.
        name: its name, for errors.

    Raises:
        SourceError: it is damaged or hostile, or the extra `documents` is not installed.
    """
    with _errors(name, kind.name, kind.advice_for(name)):
        yield from _READERS[kind](Package(raw))


def is_page(name: str, head: str) -> bool:
    """Whether a text is an HTML page, by its name or its beginning.

    Args:
        name: the source's name.
        head: the first characters.
    """
    begins = markup(head[:_HEAD_CHARS], fragments=False) == "HTML"
    return begins or (bool(_HTML_NAME.search(name)) and "<" in head)


def has_page_name(name: str) -> bool:
    """Whether the name is that of an HTML page."""
    return _HTML_NAME.search(name) is not None


def page_text(chunks: Iterable[str], name: str) -> Iterator[str]:
    """The text of an HTML page, in chunks.

    Args:
        chunks: the page.
        name: its name, for errors.

    Raises:
        SourceError: the extra `documents` is not installed.
    """
    with _errors(name, "an HTML page", "charlstm train --html markup reads pages with their tags."):
        yield from parse_html(chunks, HtmlTarget())


@contextmanager
def _errors(name: str, kind: str, advice: str) -> Iterator[None]:
    try:
        yield
    except BadDocumentError as error:
        raise SourceError(f"{name} is {kind}, but cannot be read: {error}.\n{advice}") from error
    except MissingLibraryError as error:
        raise SourceError(
            f"{name} is {kind}; to read its text, install the extra documents: "
            f"pip install 'charlstm[documents]'\n{advice}"
        ) from error
    except OSError as error:
        raise SourceError(f"cannot read {name}: {error.strerror or error}.") from error
