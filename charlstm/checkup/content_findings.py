"""What is unusual in the content of a text: markup, licences, documents, repetition, its end."""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterator, Sequence
from glob import escape
from typing import NamedTuple

from charlstm.checkup import repairs
from charlstm.checkup.edges import Edges, find_edges
from charlstm.checkup.findings import Finding, Mender
from charlstm.checkup.lines import RepeatedLine
from charlstm.checkup.scan import Place, Scan, SourceFigures
from charlstm.config import TextConfig
from charlstm.errors import quoted
from charlstm.text.hints import find_hints
from charlstm.text.repetition import PASSAGE
from charlstm.text.sources import Source
from charlstm.text.tokenizer import CharTokenizer

_ENTITY = re.compile(r"&(?:#\d{1,7}|#x[0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});")
_LEAST_ENTITIES, _CHARS_PER_ENTITY = 3, 20_000

# A line that separates documents has neither letters nor brackets of programs, or is a mark such
# as <|endoftext|>.
_SEPARATOR = re.compile(r"[^\w\s(){}\[\]<>;,/*+\\]{1,40}|<\|\w{1,30}\|>")
_LEAST_SEPARATORS, _DOCUMENT_CHARS = 20, 10_000
# Shorter copies stay, as they are often headings or names, unless most copies are short.
_SHORT_LINE = 20
_LEAST_FILES = 20  # of a folder of short documents
_REPEATED_LINES, _REPEATED_PASSAGES = 0.2, 0.3
_LARGE_PASSAGE, _LARGE_FRACTION = 1000, 0.01  # characters, and fraction of the sample


class Passage(NamedTuple):
    """A passage that occurs twice.

    Attributes:
        length: its characters.
        first, second: lines of the whole text in which it begins.
        first_whole: the first line that the second one has from its beginning.
        num_whole: number of its lines from that one on that it has to their ends.
    """

    length: int
    first: int
    second: int
    first_whole: int
    num_whole: int


def hint_findings(
    scan: Scan, tokenizer: CharTokenizer, config: TextConfig, mend: Mender
) -> Iterator[Finding]:
    """The notices that `train` gives, too (`charlstm.text.hints`)."""
    sources = [figures.source for figures in scan.sources]
    for hint in find_hints(sources, tokenizer, config):
        if hint.kind == "pages":  # how they are read, not a fault
            continue
        place = None if hint.source is None else Place(hint.source.name, 1)
        advice = hint.advice
        if not advice and hint.kind == "markup" and place is not None:
            advice = f"Remove the tags: {mend(repairs.WITHOUT_TAGS, place)}"
        yield Finding(hint.kind, hint.what, advice or "Give each file once.", place)


def copy_findings(scan: Scan) -> Iterator[Finding]:
    """A finding about sources with the same text."""
    seen: dict[tuple[int, int], SourceFigures] = {}
    copies: list[tuple[SourceFigures, SourceFigures]] = []
    for figures in scan.sources:
        key = figures.checksum, figures.chars
        other = seen.setdefault(key, figures)
        if other is not figures and other.source.name != figures.source.name and figures.chars:
            copies.append((figures, other))
    if copies:
        copy, other = copies[0]
        name = copy.source.name
        more = f", and {len(copies) - 1:,} more" if len(copies) > 1 else ""
        yield Finding(
            "copies",
            f"{name} has the same text as {other.source.name}{more}.",
            _omit(copy.source),
            Place(name, 1),
        )


def _omit(source: Source) -> str:
    """How to leave a source out."""
    within = source.within
    return (
        f"--exclude {shlex.quote(escape(within))} skips it." if within else f"Omit {source.name}."
    )


def entity_findings(scan: Scan, mend: Mender) -> Iterator[Finding]:
    """A finding about HTML's character references in plain text."""
    count, chars = 0, 0
    first: tuple[str, int] | None = None
    for piece in scan.pieces:
        chars += len(piece.text)
        for match in _ENTITY.finditer(piece.text):
            if html.unescape(match[0]) != match[0]:
                count += 1
                first = first or (match[0], piece.line_at(match.start()))
    if first is not None and count >= max(_LEAST_ENTITIES, chars / _CHARS_PER_ENTITY):
        place = scan.place(first[1])
        yield Finding(
            "entities",
            f"{count:,} character references of HTML in the sample, such as {first[0]} at {place}.",
            f"Replace them by characters: {mend(repairs.WITHOUT_ENTITIES, place)}",
            place,
        )


def edge_findings(scan: Scan, mend: Mender) -> Iterator[Finding]:
    """A finding about licences and front matter."""
    found = [edges for figures in scan.sources if figures.foot if (edges := find_edges(figures))]
    if not found:
        return
    edges = found[0]
    name, last = edges.figures.source.name, edges.figures.lines
    parts = [f"lines 1 to {edges.head:,}"] if edges.head else []
    parts += [f"lines {edges.foot:,} to {last:,}"] if edges.foot else []
    more = f"; {len(found) - 1:,} more files have some" if len(found) > 1 else ""
    place = Place(name, 1 if edges.head else edges.foot)
    yield Finding(
        "licence",
        f"{' and '.join(parts)} of {name} look like a licence or front matter{more}.",
        f"Remove them: {mend(repairs.without_lines(_ranges(edges)), place)}",
        place,
    )


def _ranges(edges: Edges) -> list[tuple[int, int | None]]:
    ranges: list[tuple[int, int | None]] = [(1, edges.head)] if edges.head else []
    return [*ranges, (edges.foot, None)] if edges.foot else ranges


def document_findings(scan: Scan, config: TextConfig, num_chars: int) -> Iterator[Finding]:
    """A finding about separators between documents, or many short files."""
    if config.documents != "auto":
        return
    most = sorted(scan.lines.table.most_repeated(1000), key=lambda line: -line.count)
    texts = lines_of(scan, [line for line in most if line.length <= 40])
    for line in most:
        text = texts.get(line.key, "")
        count = line.count << scan.lines.table.halvings
        if count < _LEAST_SEPARATORS or num_chars / count > _DOCUMENT_CHARS:
            break
        if _SEPARATOR.fullmatch(text):
            place = scan.place(line.first)
            yield Finding(
                "documents",
                f"the line {quoted(text)} occurs {line.count:,} times, first at {place}: it may "
                "separate documents.",
                f"{_option(text)} trains on them as separate documents.",
                place,
            )
            return
    files = len(scan.sources)
    if files >= _LEAST_FILES and num_chars / files <= _DOCUMENT_CHARS:
        yield Finding(
            "documents",
            f"{files:,} files of {num_chars / files:,.0f} characters on average may be separate "
            "documents.",
            "--documents file trains on them as separate documents.",
        )


def _option(separator: str) -> str:
    """The option for documents between lines that hold the separator."""
    value = f"\\n{separator}\\n"
    return f"--documents {shlex.quote(value)}"


def lines_of(scan: Scan, lines: Sequence[RepeatedLine]) -> dict[int, str]:
    """The texts of lines, by their hashes, as far as the sample has them."""
    wanted = {line.key for line in lines}
    found: dict[int, str] = {}
    for piece in scan.pieces:
        if missing := wanted - found.keys():
            found |= scan.lines.texts_of(missing, piece.text)
    return found


def repetition_findings(
    scan: Scan,
    mend: Mender,
    *,
    repeated_lines: float,
    repeated_passages: float,
    largest: Passage | None,
    sampled_chars: int,
) -> Iterator[Finding]:
    """Findings about repeated lines and passages.

    Args:
        scan: the pass over the text.
        mend: makes commands.
        repeated_lines, repeated_passages: fractions of the characters.
        largest: the largest repeated passage.
        sampled_chars: length of the sample.
    """
    if repeated_lines >= _REPEATED_LINES:
        line = scan.lines.table.most_repeated(1)[0]
        text = lines_of(scan, [line]).get(line.key, "")
        place = scan.place(line.first)
        shown = f": {quoted(text[:40])}" if text else ""
        table = scan.lines.table
        stay_short = 2 * table.copied(_SHORT_LINE) >= table.copied()
        least = _SHORT_LINE if stay_short else min(_SHORT_LINE, line.length)
        what = "copies" if least == _SHORT_LINE else "copies, headings and names among them"
        yield Finding(
            "repeated-lines",
            f"{repeated_lines:.0%} of the characters are in copies of earlier lines. The line at "
            f"{place}{shown} occurs {line.count:,} times.",
            f"Remove {what}: {mend(repairs.without_copies(least), place)}",
            place,
        )
    is_large = (
        largest is not None
        and largest.length >= max(_LARGE_PASSAGE, _LARGE_FRACTION * sampled_chars)
        and largest.num_whole > 0
    )
    if largest is not None and (is_large or repeated_passages >= _REPEATED_PASSAGES):
        first, place = scan.place(largest.first), scan.place(largest.second)
        begin = scan.place(largest.first_whole).line
        removed = begin, begin + largest.num_whole - 1
        copy = scan.source_of(largest.second)
        is_file = removed == (1, copy.lines)
        yield Finding(
            "repeated-passages",
            f"{repeated_passages:.0%} of the sample is in passages of {PASSAGE} characters that "
            f"occur before. The largest repeated passage has {largest.length:,} characters, at "
            f"{first} and {place}.",
            _omit(copy.source)
            if is_large and is_file
            else f"Remove the second: {mend(repairs.without_lines([removed]), place)}"
            if is_large
            else "Evaluate on another text, which repeats less: charlstm eval RUN OTHER",
            place,
        )


def tail_findings(other_tail: bool | None, split: str) -> Iterator[Finding]:
    """A finding about an end that differs from the rest.

    Args:
        other_tail: whether the end differs.
        split: the value of `--split`.
    """
    if other_tail and split != "blocks":
        yield Finding(
            "tail",
            "the end of the text differs from the rest.",
            "--split blocks holds out blocks spread over the text"
            + ("; --split auto, the default, chooses it here." if split == "auto" else "."),
        )
