"""Notices about probable mistakes: repeated files, markup, or a wrong encoding."""

from __future__ import annotations

import codecs
import dataclasses
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.decoding import encoding_named
from charlstm.text.documents import markup, markup_command
from charlstm.text.reading import read_text
from charlstm.text.rich.reader import is_page
from charlstm.text.sources import Source
from charlstm.text.tokenizer import CharTokenizer

_HEAD_CHARS = 4096
_MIN_LINES, _MOST_LINES, _SHORT_LINE = 200, 5000, 40  # of a list of documents
_MOST_SOURCES = 1000  # sources to examine
_C1 = frozenset(map(chr, range(0x80, 0xA0)))
_UNDEFINED_IN_CP1252 = frozenset("\x81\x8d\x8f\x90\x9d")

# Windows code pages with the same letters, but punctuation instead of control characters.
_WINDOWS = {
    "iso8859-1": "cp1252", "iso8859-2": "cp1250", "iso8859-5": "cp1251", "iso8859-6": "cp1256",
    "iso8859-7": "cp1253", "iso8859-8": "cp1255", "iso8859-9": "cp1254", "iso8859-13": "cp1257",
    "iso8859-15": "cp1252",
}  # fmt: skip


class Hint(NamedTuple):
    """A probable mistake.

    Attributes:
        kind: twice, pages, markup, documents, encoding or controls.
        what: what was found, as sentences.
        advice: what to do; empty if nothing can be advised.
        source: the first source that has it; None: the text as a whole.
    """

    kind: str
    what: str
    advice: str
    source: Source | None = None

    def __str__(self) -> str:
        return f"{self.what} {self.advice}".rstrip()


def hints(sources: Sequence[Source], tokenizer: CharTokenizer, config: TextConfig) -> Iterator[str]:
    """A notice for each probable mistake; arguments and errors as for `find_hints`."""
    return map(str, find_hints(sources, tokenizer, config))


def find_hints(
    sources: Sequence[Source], tokenizer: CharTokenizer, config: TextConfig
) -> Iterator[Hint]:
    """The probable mistakes.

    Args:
        sources: the sources that were read.
        tokenizer: their vocabulary.
        config: how they were read.

    Raises:
        SourceError: a source cannot be read any more.
    """
    yield from _repeated(sources)
    sources = sources[:_MOST_SOURCES]
    yield from _markup(sources, config)
    if config.documents == "auto" and (count := _lines_alone(sources, config)):
        yield Hint(
            "documents",
            f"the text looks like {count:,} short documents, one per line.",
            "--documents line trains on them as separate documents; --documents none hides this "
            "notice.",
        )
    if misread := [source for source in sources if _is_utf_8(source, config)]:
        yield Hint(
            "encoding",
            f"{_names(misread)} valid UTF-8, but read as --encoding "
            f"{shlex.quote(config.encoding)}.",
            "Omit the option if the characters are wrong.",
            misread[0],
        )
        return
    found = sorted(_C1 & set(tokenizer.writable + tokenizer.rare))
    if found:
        shown = ", ".join(f"U+{ord(c):04X}" for c in found[:5]) + (", ..." if found[5:] else "")
        windows = _WINDOWS.get(encoding_named(config.encoding), "")
        if windows == "cp1252" and _UNDEFINED_IN_CP1252.intersection(found):
            windows = ""
        yield Hint(
            "controls",
            f"the text contains control characters ({shown}), which samples also have.",
            f"These are quotes and dashes in Windows text: give --encoding {windows} instead."
            if windows
            else "Another --encoding may be correct.",
        )


def _lines_alone(sources: Sequence[Source], config: TextConfig) -> int:
    """The number of lines of a text that looks like a list of short documents; otherwise 0.

    Such lines are short and of various lengths, without indentation, blank lines between them or
    punctuation at their ends, and most are different. Only the beginning of a single source
    is examined.
    """
    if len(sources) != 1:
        return 0
    head = _head(sources[0], config)
    lines = head.splitlines()
    lines = lines[: len(lines) - (not head.endswith("\n"))][:_MOST_LINES]
    if len(lines) < _MIN_LINES:
        return 0
    lengths = sorted(len(line) for line in lines)
    longest, median = lengths[len(lengths) * 99 // 100], lengths[len(lengths) // 2]
    alike = sum(length > 0.8 * longest for length in lengths)  # as in text of a fixed width
    odd = sum(not line.strip() or line[0].isspace() or line[-1] in ",;:({[-" for line in lines)
    is_list = (
        4 <= median <= _SHORT_LINE
        and longest <= 2 * _SHORT_LINE
        and alike < 0.4 * len(lines)
        and odd <= 0.01 * len(lines)
        and len(set(lines)) >= 0.2 * len(lines)
    )
    return head.count("\n") if is_list else 0


def _repeated(sources: Sequence[Source]) -> Iterator[Hint]:
    seen: set[tuple[int, int]] = set()
    again = []
    for source in sources:
        if (identity := source.identity()) is None:
            continue
        if identity in seen:
            again.append(source)
        seen.add(identity)
    if again:
        yield Hint(
            "twice",
            f"{_names(again)} given more than once and read each time: the validation part may "
            "repeat the training part.",
            "",
            again[0],
        )


def _markup(sources: Sequence[Source], config: TextConfig) -> Iterator[Hint]:
    if config.html == "text":
        tagged = dataclasses.replace(config, html="markup")
        pages = [s for s in sources if not s.exact and is_page(s.name, _head(s, tagged))]
        if pages:
            yield Hint(
                "pages", f"{_names(pages)} HTML: only the text is read.",
                "--html markup keeps the tags.", pages[0],
            )  # fmt: skip
    kinds: dict[str, list[Source]] = {}
    for source in sources:
        if kind := markup(_head(source, config)[:_HEAD_CHARS]):
            kinds.setdefault(kind, []).append(source)
    for kind, found in kinds.items():
        command = markup_command(kind, found[0].name)
        yield Hint(
            "markup",
            f"{_names(found)} {kind}: the model also learns the markup.",
            f"To convert it to plain text: {command}" if command else "",
            found[0],
        )


def _names(sources: Sequence[Source]) -> str:
    shown = ", ".join(source.name for source in sources[:3])
    more = f" and {len(sources) - 3:,} more" if len(sources) > 3 else ""
    return f"{shown}{more} {'is' if len(sources) == 1 else 'are'}"


def _is_utf_8(source: Source, config: TextConfig) -> bool:
    """Whether a source read in another encoding begins with valid UTF-8 that was misread."""
    encoding = encoding_named(config.encoding)
    if encoding in ("utf-8", "utf-7"):
        return False
    utf_8 = dataclasses.replace(config, encoding="utf-8", encoding_errors="strict")
    try:
        text = _head(source, utf_8)
    except SourceError:
        return False
    read = _head(source, config)
    if encoding.startswith(("utf-16", "utf-32")):
        # With a byte order mark, all of them read the same.
        return text[:_HEAD_CHARS] != read[: len(text[:_HEAD_CHARS])]
    # ASCII is the same in most others, except for UTF-8's own mark.
    return not text.isascii() or read.startswith(codecs.BOM_UTF8.decode(encoding, "replace"))


def _head(source: Source, config: TextConfig) -> str:
    """A source's first chunk."""
    return next(read_text([source], config), "")
