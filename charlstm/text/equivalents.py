"""Equivalents of characters outside a vocabulary: `--unknown map`.

Candidates, in this order; the first whose characters are all in the vocabulary is used:

1. look-alikes of the same use: quotation marks, dashes, ellipsis, spaces, line endings, slashes;
2. Unicode's normal forms of the character and its combining marks: NFC, NFD, NFKC, NFKD (composed
   or decomposed accents, ligatures, full-width and styled letters, fractions, superscripts);
3. character by character, of the most decomposed form: letters that Unicode does not decompose
   (ae for the ligature, ss for sharp s, ...), accents dropped, invisible characters left out.

A straight quotation mark becomes an opening one at the start of a text, after white space and after
opening punctuation, otherwise a closing one, which is also the apostrophe.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from charlstm.errors import UnknownCharacterError

Knows = Callable[[str], bool]
"""Returns whether a character is in the vocabulary."""

# Straight marks first: they open and close. Then pairs; the first with both marks known is used:
# German and Polish texts open with the low mark, French ones with guillemets.
_QUOTES = (
    ('"', ("\u201c\u201d", "\u201e\u201c", "\u201e\u201d", "\u00ab\u00bb", "\u201f\u201d")),
    ("'", ("\u2018\u2019", "\u201a\u2018", "\u201a\u2019", "\u2039\u203a", "\u201b\u2019")),
)
# Other equivalents of a straight mark: primes, accents, modifier letters.
_LIKE_QUOTES = ("\u2033\u02ba\u201c\u201d", "\u2032\u02b9\u02bc`\u00b4\u2018\u2019")
_OPENING = frozenset("\u201c\u201e\u201f\u00ab\u2018\u201a\u201b\u2039")
_CLOSING = frozenset("\u201d\u00bb\u2019\u203a\u02bc\u00b4")

_HYPHENS = ("-", "\u2010", "\u2011", "\u2212", "\u2013", "\ufe63")
_EN_DASHES = ("\u2013", "\u2012", "-", "\u2212", "\u2010", "\u2014")
_EM_DASHES = ("\u2014", "\u2015", "\u2013", "--", "-")
_SPACES = (" ", "\u00a0", "\u202f", "\u3000", "\t")
_LINE_ENDS = ("\n", "\r", "\r\n", "\u2028", "\u2029", " ")
_LOOK_ALIKES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys("-\u2010\u2011\u2212\ufe63\uff0d", _HYPHENS),
    **dict.fromkeys("\u2012\u2013", _EN_DASHES),
    **dict.fromkeys("\u2014\u2015\ufe58", _EM_DASHES),
    "\u2026": ("...",),
    "\u22ef": ("\u2026", "..."),
    **dict.fromkeys(" \t\u00a0\u1680\u202f\u205f\u3000", _SPACES),
    **dict.fromkeys(map(chr, range(0x2000, 0x200B)), _SPACES),
    **dict.fromkeys("\n\r\v\f\x85\u2028\u2029", _LINE_ENDS),
    **dict.fromkeys("/\u2044\u2215", ("/", "\u2044", "\u2215")),
}
# Sequences with single-character equivalents, the longest first.
_SEQUENCES = {
    "...": ("\u2026",),
    "---": ("\u2014", "\u2015", "\u2013"),
    "--": ("\u2014", "\u2015", "\u2013"),
}
# Letters without a Unicode decomposition.
_LETTERS = {
    "\u00c6": "AE", "\u00e6": "ae", "\u0152": "OE", "\u0153": "oe", "\u00df": "ss", "\u1e9e": "SS",
    "\u00d8": "O", "\u00f8": "o", "\u0141": "L", "\u0142": "l", "\u0110": "D", "\u0111": "d",
    "\u00d0": "D", "\u00f0": "d", "\u00de": "Th", "\u00fe": "th", "\u0131": "i", "\u0237": "j",
}  # fmt: skip
_FORMS: tuple[Literal["NFC", "NFD", "NFKC", "NFKD"], ...] = ("NFC", "NFD", "NFKC", "NFKD")


class Replacement(NamedTuple):
    """A replacement of a part of a text.

    Attributes:
        start, end: the part's position, end excluded.
        old: the part.
        new: its equivalent; None if there is none.
    """

    start: int
    end: int
    old: str
    new: str | None


class Mapped(NamedTuple):
    """A text with unknown characters mapped.

    Attributes:
        text: the text.
        counts: number of replacements by (old, new).
    """

    text: str
    counts: Counter[tuple[str, str]]


def map_text(text: str, unknown: list[int], knows: Knows, *, before: str = "") -> Mapped:
    """A text with unknown characters mapped; arguments as for `replacements`.

    Raises:
        UnknownCharacterError: a character has no equivalent in the vocabulary.
    """
    parts: list[str] = []
    counts: Counter[tuple[str, str]] = Counter()
    done = 0
    for found in replacements(text, unknown, knows, before=before):
        if found.new is None:
            first = next(p for p in unknown if p >= found.start)
            raise UnknownCharacterError(text[first], first)
        parts += [text[done : found.start], found.new]
        counts[found.old, found.new] += 1
        done = found.end
    return Mapped("".join(parts) + text[done:], counts)


def replacements(
    text: str, unknown: list[int], knows: Knows, *, before: str = ""
) -> Iterator[Replacement]:
    """The replacements of a text's unknown characters, in order, without overlap.

    Args:
        text: any text.
        unknown: sorted positions of its unknown characters.
        knows: whether a character is in the vocabulary.
        before: the character before the text, if any.
    """
    found: dict[tuple[str, bool], str | None] = {}
    done = 0
    for position in unknown:
        if position < done:
            continue
        start, end = _part(text, position, done, knows)
        old = text[start:end]
        opening = _opens(text[start - 1] if start else before)
        if (old, opening) not in found:
            found[old, opening] = _form(old, opening, knows)
        yield Replacement(start, end, old, found[old, opening])
        done = end


def _part(text: str, position: int, done: int, knows: Knows) -> tuple[int, int]:
    """Start and end of the part to replace: a sequence, or a character with its marks."""
    for sequence, forms in _SEQUENCES.items():
        if text.startswith(sequence, position) and any(map(knows, forms)):
            return position, position + len(sequence)
    start, end = position, position + 1
    while start > done and _continues(text[start]):
        start -= 1
    while end < len(text) and _continues(text[end]):
        end += 1
    return start, end


def _continues(character: str) -> bool:
    """Whether a character combines with the one before it: a mark, or a Korean jamo."""
    return unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"


def _opens(before: str) -> bool:
    """Whether a straight quotation mark after that character is an opening one."""
    return not before or before.isspace() or unicodedata.category(before) in ("Ps", "Pi", "Pd")


def _form(old: str, opening: bool, knows: Knows) -> str | None:
    """The equivalent of a part; None if there is none."""
    candidates = [*_SEQUENCES.get(old, ()), *_look_alikes(old, opening, knows)]
    candidates += [unicodedata.normalize(form, old) for form in _FORMS]
    for candidate in candidates:
        if all(map(knows, candidate)):
            return candidate
    decomposed = unicodedata.normalize("NFKD", old)
    if decomposed.startswith(" ") and not old[0].isspace():
        return None  # a standalone accent
    letters = [_letter(c, opening, knows) for c in decomposed]
    known = [letter for letter in letters if letter is not None]
    return "".join(known) if len(known) == len(letters) else None


def _letter(character: str, opening: bool, knows: Knows) -> str | None:
    """The equivalent of one character of a decomposed form; None if there is none."""
    if knows(character):
        return character
    for candidate in (*_look_alikes(character, opening, knows), _LETTERS.get(character, "")):
        if candidate and all(map(knows, candidate)):
            return candidate
    # Marks of a lower class (voicing, overlays) change the letter; accents do not.
    accent = unicodedata.combining(character) >= 10
    invisible = unicodedata.category(character) == "Cf" or "\ufe00" <= character <= "\ufe0f"
    return "" if accent or invisible else None


def _look_alikes(old: str, opening: bool, knows: Knows) -> Iterator[str]:
    """Characters of the same use as one, the closest first."""
    yield from _LOOK_ALIKES.get(old, ())
    for (straight, pairs), others in zip(_QUOTES, _LIKE_QUOTES, strict=True):
        marks = straight + "".join(pairs) + others
        if old not in marks:
            continue
        opens = old in _OPENING or (old not in _CLOSING and opening)
        yield straight
        for pair in pairs:
            if knows(pair[0]) and knows(pair[1]):
                yield pair[0 if opens else 1]
        yield from marks
        if straight == '"':
            yield from ("''", "\u2019\u2019")
