"""Distinct characters of a text: by script, the rare ones, and those that cannot be seen."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from charlstm.checkup.scan import Place, Scan

RARE = 5
"""Characters that occur less often are rare."""

_JOINERS = "\u200c\u200d"  # spelling in Persian and Indian languages, and in emoji
_MARKS_OF_ORDER = "\u200e\u200f"  # ordinary in Hebrew and Arabic
# Format characters with a shape: they stand around numbers and names.
_VISIBLE = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2")
# Characters without a shape that are letters or marks by category.
_SHAPELESS = frozenset("\u034f\u115f\u1160\u180e\u3164\uffa0")
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RIGHT_TO_LEFT = ("R", "AL")
# Line ends, tabs and page breaks belong to text; the C1 controls have a hint of their own.
_CONTROLS = frozenset(map(chr, (*range(1, 9), 11, *range(14, 32), 127)))

_SPACES = "spaces and line ends"
_CONTROL_NAMES = {"\t": "TAB", "\n": "LINE FEED", "\r": "CARRIAGE RETURN"}
_ALIASES = {
    "COMBINING": "marks",
    "FEMININE": "Latin",
    "IDEOGRAPHIC": "CJK",
    "KATAKANA-HIRAGANA": "Katakana",
    "MASCULINE": "Latin",
    "UNNAMED": "unnamed letters",
    "VARIATION": "marks",
}
_GROUPS = {
    "N": "digits",
    "P": "punctuation",
    "S": "symbols",
    "Z": _SPACES,
    "Cc": "control characters",
    "Cf": "invisible",
    "Co": "private use",
    "Cn": "unassigned",
    "Cs": "surrogates",
}


def script(character: str) -> str:
    """The script of a letter or mark, otherwise the kind of character.

    A script is the first word of the character's Unicode name, such as Latin or Cyrillic.
    """
    category = unicodedata.category(character)
    if character in "\n\r\t":
        return _SPACES
    if category[0] in "LM":
        word = unicodedata.name(character, "UNNAMED").split()[0]
        return _ALIASES.get(word, word if word == "CJK" else word.capitalize())
    return _GROUPS.get(category) or _GROUPS[category[0]]


def scripts(counts: Mapping[str, int]) -> dict[str, dict[str, int]]:
    """Number of distinct characters, and of all characters, by script, the most frequent first."""
    found: dict[str, dict[str, int]] = {}
    for character, count in counts.items():
        entry = found.setdefault(script(character), {"distinct": 0, "characters": 0})
        entry["distinct"] += 1
        entry["characters"] += count
    return dict(sorted(found.items(), key=lambda pair: (-pair[1]["characters"], pair[0])))


def name(character: str) -> str:
    """The Unicode name of a character; of a control character, what it is."""
    usual = _CONTROL_NAMES.get(character, script(character).removesuffix("s").upper())
    return unicodedata.name(character, usual)


@dataclass(frozen=True)
class Found:
    """A character, and where it occurs.

    Attributes:
        character: the character.
        count: how often it occurs.
        first: its first place.
    """

    character: str
    count: int
    first: Place

    def to_json(self) -> dict[str, Any]:
        """The character as a JSON object."""
        return {
            "character": self.character,
            "code_point": f"U+{ord(self.character):04X}",
            "name": name(self.character),
            "count": self.count,
            "file": self.first.file,
            "line": self.first.line,
        }


class Characters:
    """The characters of a text.

    Args:
        scan: the pass over the text.

    Attributes:
        counts: of each character, by code point.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        points = sorted(scan.first_lines)
        self.counts = {chr(p): int(scan.counts[p]) for p in points}

    def rare(self) -> list[Found]:
        """Characters but line ends that occur fewer than `RARE` times, the rarest first."""
        counts = self.counts.items()
        return self._found(c for c, count in counts if count < RARE and c not in "\n\r")

    def controls(self) -> list[Found]:
        """Control characters that do not belong to text."""
        return self._found(_CONTROLS & self.counts.keys())

    def direction(self) -> list[Found]:
        """Characters that change the direction of text."""
        ordinary = _MARKS_OF_ORDER if self._is_right_to_left() else ""
        return self._found(c for c in _DIRECTION & self.counts.keys() if c not in ordinary)

    def invisible(self) -> list[Found]:
        """Characters without a shape, but for spaces and those of direction."""
        formats = {c for c in self.counts if unicodedata.category(c) == "Cf"} - _VISIBLE
        hidden = (formats | (_SHAPELESS & self.counts.keys())) - _DIRECTION
        return self._found(c for c in hidden if c not in _JOINERS)

    def only(self, character: str) -> Found | None:
        """A character, if it occurs."""
        found = self._found({character} & self.counts.keys())
        return found[0] if found else None

    def _found(self, characters: Iterable[str]) -> list[Found]:
        ordered = sorted(characters, key=lambda c: (self.counts[c], c))
        return [Found(c, self.counts[c], self._scan.place_of(c)) for c in ordered]

    def _is_right_to_left(self) -> bool:
        directions = Counter[str]()
        for character, count in self.counts.items():
            directions[unicodedata.bidirectional(character)] += count
        return any(directions[kind] for kind in _RIGHT_TO_LEFT)
