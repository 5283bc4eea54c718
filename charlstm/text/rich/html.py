"""The text of HTML pages: block elements are lines, runs of spaces one space."""

from __future__ import annotations

import codecs
import re
from typing import Any

from charlstm.text.rich.lines import Lines
from charlstm.text.rich.parsing import BadDocumentError

_BLOCKS = frozenset(
    (
        "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details",
        "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form",
        "h1", "h2", "h3", "h4", "h5", "h6", "header", "hgroup", "hr", "html", "legend", "li",
        "main", "menu", "nav", "ol", "p", "pre", "search", "section", "summary", "table", "tbody",
        "td", "tfoot", "th", "thead", "tr", "ul",
    )
)  # fmt: skip
_SKIPPED = frozenset(
    (
        "audio", "canvas", "datalist", "head", "iframe", "noframes", "noscript", "object", "rp",
        "rt", "script", "select", "style", "svg", "template", "textarea", "title", "video",
    )
)  # fmt: skip
_MOST_DEPTH = 2000  # libxml2 looks through all open elements for each end tag; browsers stop at 512
_KEPT_SPACES = frozenset(("pre", "listing", "xmp", "plaintext"))


class HtmlTarget:
    """Collects the text of a page."""

    def __init__(self) -> None:
        self.lines = Lines()
        self._skipped = ""  # the outermost skipped element
        self._depth = 0  # of elements of that name
        self._kept = 0  # depth of elements that keep spaces
        self._open = 0  # depth of all elements

    def start(self, tag: str, _attributes: Any) -> None:
        """An element begins.

        Raises:
            BadDocumentError: it is nested too deeply.
        """
        self._open += 1
        if self._open > _MOST_DEPTH:
            raise BadDocumentError(f"a page of it has more than {_MOST_DEPTH:,} nested elements")
        name = _name(tag)
        if name == "body":
            self._skipped = ""  # a head that is not closed
        if self._skipped:
            self._depth += name == self._skipped
            return
        if name in _SKIPPED:
            self._skipped, self._depth = name, 1
            return
        if name == "br":
            self.lines.break_line()
        elif name in _BLOCKS:
            self.lines.end_line()
        self._kept += name in _KEPT_SPACES

    def end(self, tag: str) -> None:
        """An element ends."""
        self._open -= 1
        name = _name(tag)
        if self._skipped:
            self._depth -= name == self._skipped
            if self._depth == 0:
                self._skipped = ""
            return
        if name in _BLOCKS:
            self.lines.end_line()
        self._kept -= name in _KEPT_SPACES and self._kept > 0

    def data(self, text: str) -> None:
        """Text."""
        if self._skipped:
            return
        if not self._kept:
            self.lines.add(text)
            return
        first, *others = text.split("\n")
        self.lines.add(first, keep_spaces=True)
        for line in others:
            self.lines.break_line()
            self.lines.add(line, keep_spaces=True)

    def close(self) -> None:
        """The page ends."""


def _name(tag: str) -> str:
    """An element's name without a prefix such as `svg:`."""
    return tag.rpartition(":")[2].lower()


# Every repetition is bounded: a hostile page must not take quadratic time.
_DECLARED = re.compile(
    rb"""<meta\s[^>]{0,999}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.+-]{1,40})"""
    rb"""|<\?xml\s[^>]{0,999}?encoding\s{0,9}=\s{0,9}["']([\w.+-]{1,40})""",
    re.IGNORECASE,
)
# What browsers read these names as (https://encoding.spec.whatwg.org/#names-and-labels).
_AS_BROWSERS = {
    "iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030",
    "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "tis-620": "cp874",
    "utf-16": "utf-8", "utf-16-le": "utf-8", "utf-16-be": "utf-8", "utf-7": "utf-8",
    "utf-32": "utf-8", "utf-32-le": "utf-8", "utf-32-be": "utf-8",
    # Of host names and string literals, not of pages; and slow.
    "idna": "", "punycode": "", "unicode_escape": "", "unicode-escape": "",
    "raw_unicode_escape": "", "raw-unicode-escape": "",
}  # fmt: skip


def declared_encoding(head: bytes) -> str:
    """The encoding that a page declares in its first bytes; empty if there is none."""
    found = _DECLARED.search(head)
    if found is None:
        return ""
    try:
        name = codecs.lookup((found[1] or found[2]).decode("ascii")).name
        "".encode(name)  # not all codecs are for text
    except (LookupError, UnicodeError, ValueError):
        return ""
    return _AS_BROWSERS.get(name, name)
