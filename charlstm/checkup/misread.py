"""Text that was decoded with a wrong encoding, and then saved: UTF-8 read as cp1252, and others.

In UTF-8 a character above ASCII is a lead byte and one to three continuation bytes. Read as an
8-bit encoding they are two to four characters that rarely stand together in text: U+00E9 becomes
U+00C3 U+00A9.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from charlstm.checkup.sample import Piece

CODECS = ("cp1252", "cp1251", "koi8-r", "mac-roman", "cp437")
"""Encodings to consider, the most common first."""
_LEAST = 3  # sequences
# Fraction of the characters above ASCII that lie in such sequences. Text of Western languages has
# few of those whose character is a letter or a punctuation mark of the West.
_FRACTION = {"cp1252": 0.1}
_USUAL_FRACTION = 0.5
# In cp1252, what the letters of Western Europe and curly quotation marks become.
_PLAIN_SIGNS = re.compile("[\u00c2\u00c3][\u0080-\u00bf]|\u00e2\u20ac[\u0080-\u00bf\u0152-\u2122]")
_FIRST_AFTER_CONTROLS = "\u00a0"
_ABOVE_ASCII = re.compile("[^\0-\x7f]")


@dataclass(frozen=True)
class Misread:
    """Characters that were decoded with a wrong encoding.

    Attributes:
        codec: the wrong encoding.
        count: number of such characters in the sample.
        example: the first.
        meant: what it probably is.
        line: its line in the whole text, from 0.
        all_encodable: whether the whole sample can be encoded with the codec, and so repaired.
        has_controls: whether it has control characters above ASCII, as which Latin-1 and some
            programs read the bytes 0x80 to 0x9F.
    """

    codec: str
    count: int
    example: str
    meant: str
    line: int
    all_encodable: bool
    has_controls: bool


def find_misread(pieces: Sequence[Piece]) -> Misread | None:
    """What was misread in a sample; None if nothing was."""
    pieces = [piece for piece in pieces if not piece.text.isascii()]
    above = sum(len(_ABOVE_ASCII.findall(piece.text)) for piece in pieces)
    best: tuple[int, Misread] | None = None
    for codec in CODECS:
        western, covered, found = _find(pieces, codec)
        if found is None or found.count < _LEAST:
            continue
        is_enough = (
            covered >= _USUAL_FRACTION * above
            or western >= _FRACTION.get(codec, _USUAL_FRACTION) * above
            or (codec == "cp1252" and _plain(pieces) >= _LEAST)
        )
        if is_enough and (best is None or covered > best[0]):
            best = covered, found
    return None if best is None else best[1]


def _plain(pieces: Sequence[Piece]) -> int:
    return sum(len(_PLAIN_SIGNS.findall(piece.text)) for piece in pieces)


def _is_western(character: str) -> bool:
    return character <= "\u06ff" or "\u2000" <= character <= "\u23ff"


def _find(pieces: Sequence[Piece], codec: str) -> tuple[int, int, Misread | None]:
    """Numbers of characters in sequences of Western characters and in all, and what they are."""
    to_byte, pattern = _sequences(codec)
    western, covered, count = 0, 0, 0
    example: tuple[str, str, int] | None = None
    for piece in pieces:
        for match in pattern.finditer(piece.text):
            try:
                meant = bytes(to_byte[c] for c in match[0]).decode()
            except UnicodeDecodeError:  # an overlong form
                continue
            covered += len(match[0])
            western += len(match[0]) if _is_western(meant) else 0
            count += 1
            example = example or (match[0], meant, piece.line_at(match.start()))
    if example is None:
        return 0, 0, None
    above = set().union(*(_ABOVE_ASCII.findall(piece.text) for piece in pieces))
    controls = {character for character in above if character < _FIRST_AFTER_CONTROLS}
    whole = above - controls <= to_byte.keys()
    return western, covered, Misread(codec, count, *example, whole, bool(controls))


@cache
def _sequences(codec: str) -> tuple[dict[str, int], re.Pattern[str]]:
    """Character -> byte, and a pattern of UTF-8's sequences read as that encoding."""
    to_byte = {}
    for byte in range(0x80, 0x100):
        # An undefined byte is read as the control character with its number.
        character = bytes([byte]).decode(codec, "ignore") or chr(byte)
        to_byte[character] = byte
    characters = {byte: character for character, byte in to_byte.items()}

    def kind(first: int, last: int) -> str:
        return "[" + re.escape("".join(characters[b] for b in range(first, last + 1))) + "]"

    more = kind(0x80, 0xBF)
    return to_byte, re.compile(
        f"{kind(0xC2, 0xDF)}{more}|{kind(0xE0, 0xEF)}{more}{{2}}|{kind(0xF0, 0xF4)}{more}{{3}}"
    )
