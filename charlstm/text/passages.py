"""Dividing sources into many texts: lines, documents or whole files, in bounded memory.

A text is read in one or more passages, so that it may have any length. A passage has the
characters before it, which a model reads to continue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from charlstm.config import TextConfig
from charlstm.text.boundaries import read_stream
from charlstm.text.live import LiveSource
from charlstm.text.reading import read_text
from charlstm.text.sources import Source
from charlstm.text.tokenizer import BOUNDARY

CONTEXT = 512
"""Number of characters before a passage that continues a text."""
_LONGEST = 1 << 20  # characters of a passage
BLOCK_CHARS, BLOCK_PASSAGES = 1 << 20, 1 << 15
"""Numbers of characters and of passages, the smaller of which makes a block."""


class Passage(NamedTuple):
    """A part of a text, usually all of it.

    Attributes:
        source: the name of the file.
        number: of the line or document in its file, from 1; 0 for a file.
        text: the characters, without the newline or separator that ends the text.
        before: up to `CONTEXT` characters before it; empty at the beginning of the text.
        ends: whether the text ends here.
        last: whether the scored unit ends here: the text, or the last document of a file.
        document: number of the document in a file of documents that is one unit; otherwise 0.
    """

    source: str
    number: int
    text: str
    before: str = ""
    ends: bool = True
    last: bool = True
    document: int = 0


@dataclass
class Blank:
    """The number of texts of whitespace only, which are left out."""

    count: int = 0


def read_blocks(
    sources: Iterable[Source], by: str, config: TextConfig, blank: Blank, *, has_documents: bool
) -> Iterator[list[Passage]]:
    """The texts of sources, in blocks of about a million characters.

    A block ends early where a live source has no more data yet.

    Args:
        sources: the sources.
        by: line, document or file.
        config: how to read them; a document is what `documents` says, or a paragraph between blank
            lines if it says nothing.
        blank: receives the number of texts left out.
        has_documents: whether a file is a series of documents.

    Raises:
        SourceError, ConfigError: as for `read_text`.
    """
    if by == "document" and not config.has_documents:
        config = replace(config, documents="blank-line")
    block: list[Passage] = []
    size = 0
    for source in sources:
        for passage in _passages(source, by, config, blank, has_documents=has_documents):
            if passage is not None:
                block.append(passage)
                size += len(passage.text)
            waits = passage is None and isinstance(source, LiveSource)
            if block and (waits or size >= BLOCK_CHARS or len(block) >= BLOCK_PASSAGES):
                yield block
                block, size = [], 0
    if block:
        yield block


def _passages(
    source: Source, by: str, config: TextConfig, blank: Blank, *, has_documents: bool
) -> Iterator[Passage | None]:
    """The passages of one source, with None after each chunk that was read."""
    by_documents = by == "document" or (by == "file" and has_documents)
    chunks = read_stream([source], config) if by_documents else read_text([source], config)
    if by == "line":
        # A carriage return that was kept ends a line, and is no part of a document.
        ending = "\r" if has_documents else ""
        yield from _divided(chunks, source.name, "\n", blank, ending)
    elif by == "document":
        yield from _divided(chunks, source.name, BOUNDARY, blank)
    elif has_documents:
        yield from _as_one(_divided(chunks, source.name, BOUNDARY, blank))
    else:
        yield from _divided(chunks, source.name, "", blank)


def _divided(
    chunks: Iterable[str], name: str, separator: str, blank: Blank, ending: str = ""
) -> Iterator[Passage | None]:
    """Texts between separators, numbered from 1; without a separator, one text with number 0.

    Args:
        chunks: the source; it ends with a newline, which is removed if there is no separator.
        name: the source's name.
        separator: one character; empty: none.
        blank: receives the number of texts left out.
        ending: removed from the end of each text.
    """
    # The stream of documents begins with a separator.
    number = 0 if separator in ("", BOUNDARY) else 1
    held, before = "", ""
    for chunk in chunks:
        *ended, held = (held + chunk).split(separator) if separator else [held + chunk]
        for text in ended:
            if before or (text and not text.isspace()):
                yield Passage(name, number, text.removesuffix(ending), before)
            else:
                blank.count += number > 0  # nothing lies before the first document
            number, before = number + 1, ""
        while len(held) > _LONGEST:
            # Between lines, if there are any, for `--unknown map`.
            cut = held.rfind("\n", _LONGEST // 2, _LONGEST) + 1 or _LONGEST
            text, held = held[:cut], held[cut:]
            yield Passage(name, number, text, before, ends=False, last=False)
            before = (before + text)[-CONTEXT:]
        yield None
    text = held if separator else held.removesuffix("\n")
    if before or (text and not text.isspace()):
        yield Passage(name, number, text.removesuffix(ending), before)
    else:
        blank.count += not separator


def _as_one(passages: Iterable[Passage | None]) -> Iterator[Passage | None]:
    """The documents of a file as one unit."""
    held: Passage | None = None
    for passage in passages:
        if passage is None:
            yield None
            continue
        if held is not None:
            yield held
        held = passage._replace(number=0, document=passage.number, last=False)
    if held is not None:
        yield held._replace(last=True)
