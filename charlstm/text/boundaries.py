"""Dividing a text into many documents.

Such a text is read as a stream B d1 B d2 ... B dn B of documents and boundaries. The boundary B is
U+0000 (`charlstm.text.tokenizer.BOUNDARY`), which no text contains. Each document therefore begins
after a boundary and ends before one.

A document never continues in the next file. Blank lines at its beginning and end are removed.
Documents of whitespace only are omitted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from charlstm.config import TextConfig
from charlstm.config.text import separator_of
from charlstm.text.reading import read_text
from charlstm.text.sources import Source
from charlstm.text.tokenizer import BOUNDARY

_NEWLINE = re.compile(r"\r\n|\r|\n")
_BLANK_LINES = re.compile(r"(?:\r\n|\r|\n)(?:[^\S\r\n]*(?:\r\n|\r|\n))+")
_MOST_HELD = 1 << 22
"""Characters of a line from which `whole_lines` divides it."""


@dataclass
class Dropped:
    """Counts of what reading documents omits.

    Attributes:
        empty: number of documents of whitespace only.
        separators: number of separators within files.
    """

    empty: int = 0
    separators: int = 0


def read_stream(
    sources: Sequence[Source], config: TextConfig, found: Dropped | None = None
) -> Iterator[str]:
    """The text to encode; a text of documents has boundaries.

    Args:
        sources: the sources.
        config: how to read and divide them.
        found: receives counts.

    Yields:
        Chunks of the stream of documents, or of `read_text` if the text is not divided.

    Raises:
        SourceError, ConfigError: as for `read_text`.
    """
    if not config.has_documents:
        yield from read_text(sources, config)
        return
    found = Dropped() if found is None else found
    yield BOUNDARY
    for source in sources:
        chunks = read_text([source], config)
        first = next(chunks, "")
        if source.exact and first.startswith(BOUNDARY):
            yield from _kept(chain([first[1:]], chunks))
            continue
        cutter = _Cutter(config.documents, found)
        for chunk in chain([first], chunks):
            if text := cutter.feed(chunk):
                yield text
        if text := cutter.finish():
            yield text


def _kept(chunks: Iterable[str]) -> Iterator[str]:
    """The chunks of a stream that was kept in a file, without the newline that ends a source."""
    held = ""
    for chunk in chunks:
        text = held + chunk
        held = "\n" if text.endswith("\n") else ""
        yield text[: len(text) - len(held)]


def whole_lines(chunks: Iterable[str], border: str, most: int = _MOST_HELD) -> Iterator[str]:
    """Regroup a text into chunks of whole lines or documents, so that no sequence to map is split.

    A longer line is divided before a letter or digit.

    Args:
        chunks: the text.
        border: the character after each line or document.
        most: characters of a line from which it is divided.
    """
    held: list[str] = []
    length = 0
    for chunk in chunks:
        lines, newline, rest = chunk.rpartition(border)
        if newline:
            yield "".join([*held, lines, newline])
            held, length = [], 0
        held.append(rest)
        length += len(rest)
        if length > most:
            whole = "".join(held)
            cut = _last_start(whole)
            if cut:
                yield whole[:cut]
            held, length = [whole[cut:]], len(whole) - cut
    if last := "".join(held):
        yield last


def _last_start(text: str) -> int:
    """The position of the last letter or digit that no mapping joins to what is before it, or 0."""
    places = range(len(text) - 1, 0, -1)
    # Vowels and finals of Korean belong to the letter before.
    fits = (n for n in places if text[n].isalnum() and not "\u1160" <= text[n] <= "\u11ff")
    return next(fits, 0)


def stream_of(text: str, config: TextConfig) -> str:
    """A text in memory as a stream of documents; line endings must be converted already."""
    cutter = _Cutter(config.documents, Dropped())
    return BOUNDARY + cutter.feed(text) + cutter.finish()


class _Cutter:
    """Divides one source into documents, each followed by a boundary.

    Args:
        documents: the value of `--documents`.
        found: receives counts.
    """

    def __init__(self, documents: str, found: Dropped) -> None:
        self._found = found
        self._split, self._hold = _splitter(documents)
        self._is_lines = documents == "line"
        self._counts_empty = documents != "blank-line"
        self._unread = ""  # in which a separator may have begun
        self._white = ""  # whitespace that may turn out to begin or end a document
        self._has_begun = False
        self._is_first = True  # document of the source

    def feed(self, chunk: str) -> str:
        """The part of the stream that is certain after one more chunk."""
        text = self._unread + chunk
        held = self._hold(text)
        self._unread = text[len(text) - held :]
        return self._cut(text[: len(text) - held])

    def finish(self) -> str:
        """The rest of the stream, at the source's end."""
        return self._cut(self._unread) + self._end(is_last=True)

    def _cut(self, text: str) -> str:
        *ended, last = self._split(text)
        self._found.separators += len(ended)
        parts = []
        for number, piece in enumerate(ended):
            if number == 1 and self._is_lines:  # lines are omitted only as a whole
                lines = [line for line in ended[1:] if line and not line.isspace()]
                self._found.empty += len(ended) - 1 - len(lines)
                parts += [line + BOUNDARY for line in lines]
                break
            parts.append(self._add(piece))
            parts.append(self._end())
        parts.append(self._add(last))
        return "".join(parts)

    def _add(self, piece: str) -> str:
        """Continue the current document."""
        text = self._white + piece if self._white else piece
        if not self._has_begun:
            content = text.lstrip()
            if not content:
                self._white = text
                return ""
            lead = text[: len(text) - len(content)]
            text = lead[max(lead.rfind("\n"), lead.rfind("\r")) + 1 :] + content
            self._has_begun = True
        body = text.rstrip()
        self._white = text[len(body) :]
        return body

    def _end(self, *, is_last: bool = False) -> str:
        """End the current document."""
        white, has_begun = self._white, self._has_begun
        is_only = self._is_first and is_last
        at_the_edge = (self._is_first or is_last) and not is_only
        self._white, self._has_begun, self._is_first = "", False, False
        if not has_begun:
            self._found.empty += self._counts_empty and not at_the_edge
            return ""
        return _NEWLINE.split(white, maxsplit=1)[0] + BOUNDARY


def _splitter(documents: str) -> tuple[Callable[[str], list[str]], Callable[[str], int]]:
    """Two functions of a text: the pieces between separators, and the length to hold back."""
    if documents == "file":
        return lambda text: [text], lambda text: 0
    if documents == "line":
        return _NEWLINE.split, lambda text: text.endswith("\r")
    if documents == "blank-line":
        return _BLANK_LINES.split, _held_of_blank_lines
    separator = separator_of(documents)

    def held(text: str) -> int:
        """The length of the end of a text in which a separator may begin."""
        pieces = text.split(separator)  # from the left, as one may overlap the next
        return min(len(separator) - 1, len(pieces[-1]))

    return lambda text: text.split(separator), held


def _held_of_blank_lines(text: str) -> int:
    """Characters from the first newline of a text's whitespace at the end."""
    white = text[len(text.rstrip()) :]
    found = _NEWLINE.search(white)
    return len(white) - found.start() if found else 0
