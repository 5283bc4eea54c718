"""Licence text and other front matter at the beginning and end of a source, by its words.

A line belongs to it if it has one of the words. Such lines count together if few others are between
them. They are reported if they have several of the words, and the rest of the text does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from charlstm.checkup.scan import SourceFigures

_WORDS = re.compile(
    r"\b(?:(copyright)|(licen[cs]e[ds]?)|(all rights reserved)|(permissions?)|(warrant(?:y|ies))"
    r"|(redistribut\w+|distribut(?:e|ed|ing|ion))|(trademarks?)|(isbn)|(public domain)"
    r"|(terms of use)|(e-?books?)|(creative commons)|(liab(?:le|ility)))\b|(\(c\)|\u00a9)",
    re.IGNORECASE,
)
_LEAST_WORDS = 3  # different ones
_MARKER = re.compile(r"[ \t]*\*{3} ?(START|END) OF\b")
_GAP = 30  # lines without one of the words
_RARER = 0.3  # density of the words in the rest, relative to the front matter
_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class Edges:
    """Front and back matter of a source.

    Attributes:
        figures: the source.
        head: lines at its beginning; 0: none.
        foot: the line, from 1, with which the back matter begins; 0: none.
    """

    figures: SourceFigures
    head: int
    foot: int


def find_edges(figures: SourceFigures) -> Edges | None:
    """The front and back matter of a source; None if it has none, or is nothing else."""
    head = _LINE_END.split(figures.head)
    foot = _LINE_END.split(figures.foot)[:-1]
    if len(figures.head) < figures.chars:
        # Lines that are cut at the border.
        head.pop()
        foot = foot[1:]
    front, back = _matter(head, "START"), _matter(foot[::-1], "END")
    if not (front or back) or front + back >= figures.lines:
        return None
    return Edges(figures, front, figures.lines - back + 1 if back else 0)


def _matter(lines: list[str], marker: str) -> int:
    """How many of the first lines are front matter."""
    for number, line in enumerate(lines):
        found = _MARKER.match(line)
        if found and found[1] == marker:
            return number + 1
    words = set[int]()
    last = -1
    for number, line in enumerate(lines):
        if number - last > _GAP:
            break
        if matches := _WORDS.findall(line):
            words |= {n for match in matches for n, word in enumerate(match) if word}
            last = number
    front, rest = lines[: last + 1], lines[last + 1 :]
    if (
        len(words) < _LEAST_WORDS
        or len(front) > len(rest)
        or _density(rest) > _RARER * _density(front)
    ):
        return 0
    return len(front)


def _density(lines: list[str]) -> float:
    """Fraction of lines with one of the words."""
    return sum(bool(_WORDS.search(line)) for line in lines) / len(lines)
