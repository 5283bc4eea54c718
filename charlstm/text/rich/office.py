"""The text of Word (.docx) and OpenDocument (.odt) files.

The elements are those of ECMA-376 part 1, WordprocessingML, and of OpenDocument 1.3 part 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from charlstm.text.rich.lines import Lines
from charlstm.text.rich.package import Package
from charlstm.text.rich.parsing import BadDocumentError, XmlTarget, parse_xml

_WORD_MAIN = "word/document.xml"
# Both namespaces of the standard, transitional and strict; and formulas.
_WORD = re.compile(r"\{[^}]*/(wordprocessingml(/2006)?/main|math)\}")
_SKIPPED_WORD = frozenset(("moveFrom", "del", "rt", "instrText", "delText"))
_MOST_SPACES = 100  # that one element of OpenDocument can stand for


def word_text(package: Package) -> Iterator[str]:
    """The text of a Word document: the body, then footnotes and endnotes.

    Raises:
        BadDocumentError: it is damaged or hostile.
    """
    main = package.related("").get("officeDocument", _WORD_MAIN)
    notes = package.related(main)
    yield from parse_xml(package.stream(main), _WordTarget())
    for kind in ("footnotes", "endnotes"):
        if (part := notes.get(kind)) is not None and part in package:
            yield from parse_xml(package.stream(part), _WordTarget())


def open_document_text(package: Package) -> Iterator[str]:
    """The text of an OpenDocument text: the body, then its notes.

    Raises:
        BadDocumentError: it is damaged, hostile or encrypted.
    """
    manifest = "META-INF/manifest.xml"
    if manifest in package and b"encryption-data" in package.read(manifest):
        raise BadDocumentError("it is protected by a password")
    for notes in (False, True):
        yield from parse_xml(package.stream("content.xml"), _OpenTarget(notes))


class _WordTarget(XmlTarget):
    """Collects the text of one part of a Word document."""

    def __init__(self) -> None:
        self.lines = Lines()
        self._in_text = False
        self._tables = 0
        self._skipped = 0  # depth of skipped elements
        self._separator = False  # within a note that is only a line above the others

    def start(self, tag: str, attributes: Any) -> None:
        """An element begins."""
        self.check_names(tag, attributes)
        name = _word(tag)
        if self._skipped or name in _SKIPPED_WORD or tag.endswith("}Fallback"):
            self._skipped += 1
        elif name == "t":
            self._in_text = True
        elif name == "p":
            self.lines.end_line()  # of a paragraph around a text box
        elif name == "tbl":
            self._tables += 1
        elif name == "tab":
            self.lines.add("\t", keep_spaces=True)
        elif name == "noBreakHyphen":
            self.lines.add("-", keep_spaces=True)
        elif name in ("br", "cr"):
            kinds = [value for key, value in attributes.items() if key.endswith("}type")]
            if kinds in ([], ["textWrapping"]):
                self.lines.break_line()
            else:  # of a page or column
                self.lines.end_line()
        elif name in ("footnote", "endnote"):
            kinds = [value for key, value in attributes.items() if key.endswith("}type")]
            self._separator = kinds not in ([], ["normal"])

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._skipped:
            self._skipped -= 1
            return
        name = _word(tag)
        if name == "t":
            self._in_text = False
        elif name == "tbl":
            self._tables -= 1
        elif name == "p":
            if self._tables or self._separator:
                self.lines.end_line()
            else:
                self.lines.break_line()

    def data(self, text: str) -> None:
        """Text."""
        if self._in_text and not self._skipped:
            self.lines.add(re.sub(r"[\r\n]", " ", text), keep_spaces=True)


def _word(tag: str) -> str:
    """The name of an element of Word's; empty for others."""
    found = _WORD.match(tag)
    return tag[found.end() :] if found else ""


_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}table"
_PARAGRAPHS = frozenset((f"{_TEXT}p", f"{_TEXT}h"))
_NOTE, _NOTE_BODY = f"{_TEXT}note", f"{_TEXT}note-body"
_SKIPPED_OPEN = frozenset(
    (
        f"{_TEXT}tracked-changes", f"{_TEXT}ruby-text",
        "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}annotation",
        "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}title",
        "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}desc",
    )
)  # fmt: skip


class _OpenTarget(XmlTarget):
    """Collects the text of an OpenDocument file, or its notes.

    Args:
        notes: collect the text of footnotes and endnotes, and nothing else.
    """

    def __init__(self, notes: bool) -> None:
        self.lines = Lines()
        self._notes = notes
        self._paragraphs = self._tables = self._skipped = 0  # depths
        self._in_note = False
        self._in_body = False  # of a note

    def start(self, tag: str, attributes: Any) -> None:
        """An element begins."""
        self.check_names(tag, attributes)
        if self._skipped or tag in _SKIPPED_OPEN:
            self._skipped += 1
            return
        if tag == _NOTE:
            self._in_note = True
        elif tag == _NOTE_BODY:
            self._in_body = True
        elif tag == _TABLE:
            self._tables += 1
        elif tag in _PARAGRAPHS:
            self._paragraphs += 1
            if self._wanted:
                self.lines.end_line()  # of a paragraph around a text box
        elif self._wanted and self._paragraphs:
            self._character(tag, attributes)

    def _character(self, tag: str, attributes: Any) -> None:
        if tag == f"{_TEXT}s":
            count = str(attributes.get(f"{_TEXT}c", "1"))
            spaces = min(int(count), _MOST_SPACES) if re.fullmatch(r"[0-9]{1,9}", count) else 1
            self.lines.add(" " * spaces, keep_spaces=True)
        elif tag == f"{_TEXT}tab":
            self.lines.add("\t", keep_spaces=True)
        elif tag == f"{_TEXT}line-break":
            self.lines.break_line()

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._skipped:
            self._skipped -= 1
            return
        if tag == _NOTE:
            self._in_note = False
        elif tag == _NOTE_BODY:
            self._in_body = False
        elif tag == _TABLE:
            self._tables -= 1
        elif tag in _PARAGRAPHS:
            self._paragraphs -= 1
            if self._wanted and (self._tables or self._notes):
                self.lines.end_line()
            elif self._wanted:
                self.lines.break_line()

    def data(self, text: str) -> None:
        """Text."""
        if self._paragraphs and self._wanted and not self._skipped:
            self.lines.add(text)

    @property
    def _wanted(self) -> bool:
        return self._in_body if self._notes else not self._in_note
