"""The text of HTML pages: block elements are lines, runs of spaces one space."""

from __future__ import annotations

import codecs
import re
from typing import Any

from charlstm.text.rich.lines import Lines

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
_KEPT_SPACES = frozenset(("pre", "listing", "xmp", "plaintext"))


class HtmlTarget:
    """Collects the text of a page."""

    def __init__(self) -> None:
        self.lines = Lines()
        self._skipped = ""  # the outermost skipped element
        self._depth = 0  # of elements of that name
        self._kept = 0  # depth of elements that keep spaces

    def start(self, tag: str, _attributes: Any) -> None:
        """An element begins."""
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


_DECLARED = re.compile(
    rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w:.+-]+)|<\?xml\s[^>]*?encoding\s*=\s*["']([\w.+-]+)""",
    re.IGNORECASE,
)
# What browsers read these names as (https://encoding.spec.whatwg.org/#names-and-labels).
_AS_BROWSERS = {
    "iso8859-1": "cp1252", "ascii": "cp1252", "iso8859-9": "cp1254", "gb2312": "gb18030",
    "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "tis-620": "cp874",
    "utf-16": "utf-8", "utf-16-le": "utf-8", "utf-16-be": "utf-8", "utf-7": "utf-8",
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
