"""Matching the vocabulary of one model with that of another, character by character."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import UnknownCharacterError
from charlstm.text.equivalents import Knows, map_text
from charlstm.text.tokenizer import BOUNDARY, CharTokenizer


@dataclass(frozen=True)
class Alphabets:
    """A vocabulary, matched with that of a base.

    Attributes:
        copied: the characters that both have.
        new: the others of the vocabulary, each with the most similar character of the base (see
            `sibling`); empty: there is none.
        dropped: the characters of the base that the vocabulary lacks.
        base_ids: for each id, the base's id of the same character, (V,); -1: the character is new.
        sibling_ids: for each id, the base's id of the sibling of a new character, (V,); -1: none.
    """

    copied: str
    new: dict[str, str]
    dropped: str
    base_ids: NDArray[np.int64]
    sibling_ids: NDArray[np.int64]


def match_alphabets(base: CharTokenizer, tokenizer: CharTokenizer) -> Alphabets:
    """Match a vocabulary with that of a base.

    The boundary of documents is not the character U+0000 of other texts, although it has that code
    point. The most similar character to it is the newline.
    """
    known = {character: number for number, character in enumerate(base.characters)}
    if base.boundary != tokenizer.boundary:
        known.pop(BOUNDARY, None)
    writable = set(base.writable)
    base_ids = np.full(len(tokenizer), -1, dtype=np.int64)
    sibling_ids = base_ids.copy()
    new: dict[str, str] = {}
    for number, character in enumerate(tokenizer.characters):
        if character in known:
            base_ids[number] = known[character]
            continue
        is_boundary = tokenizer.boundary and character == BOUNDARY
        similar = sibling("\n" if is_boundary else character, writable.__contains__)
        new[character] = similar
        if similar:
            sibling_ids[number] = known[similar]
    copied = "".join(c for c in tokenizer.characters if c in known)
    dropped = "".join(c for c in base.characters if c not in tokenizer.characters or c not in known)
    return Alphabets(copied, new, dropped, base_ids, sibling_ids)


def sibling(character: str, knows: Knows) -> str:
    """The most similar of the known characters; empty if none is similar.

    It is the same letter in the other case, or an equivalent (see `charlstm.text.equivalents`):
    a look-alike of the same use, or the letter without its accent, in either case. An equivalent
    of several equal characters counts as one of them.

    Args:
        character: one character.
        knows: whether a character is known.
    """
    cases = (character, character.lower(), character.upper())
    for form in cases:
        if len(form) == 1 and knows(form):
            return form
    for form in cases:
        if len(form) == 1:
            found = set(_equivalent(form, knows))
            if len(found) == 1:
                return found.pop()
    return ""


def _equivalent(character: str, knows: Knows) -> str:
    """A text of known characters in place of one; empty if there is none."""
    try:
        return map_text(character, [0], knows).text
    except UnknownCharacterError:
        return ""
