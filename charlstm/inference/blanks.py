"""Texts with blanks to fill in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import ConfigError, UnknownCharacterError, quoted
from charlstm.inference.texts import TextReader


def check_has_blank(text: str, blank: str) -> None:
    """Check that a text has blanks to fill in.

    Raises:
        ConfigError: the text has no blank.
    """
    if blank not in text:
        raise ConfigError(
            f"the text has no blank ({quoted(blank)[1:-1]}): {quoted(text[:60])}.\n"
            "--blank sets another character; a run's name goes before the text."
        )


def encode_with_blanks(
    texts: TextReader, text: str, blank: str, unknown: str
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Ids of a text with blanks, and a mask of the blanks, both of shape (T,).

    The ids at blanks are arbitrary.

    Args:
        texts: encodes the text between blanks.
        text: the text.
        blank: the character that stands for a blank.
        unknown: handling of unknown characters, as for `CharTokenizer.encode`.

    Raises:
        UnknownCharacterError: see `unknown`; its position is that in `text`.
    """
    ids: list[NDArray[np.int64]] = []
    blanks: list[NDArray[np.bool_]] = []
    done = 0
    for number, part in enumerate(text.split(blank)):
        if number:
            ids.append(np.zeros(1, dtype=np.int64))
            blanks.append(np.ones(1, dtype=bool))
            done += 1
        try:
            before = blank if number else ""
            encoded = texts.encode(part, unknown, before=before).astype(np.int64)
        except UnknownCharacterError as error:
            raise UnknownCharacterError(
                error.character, done + error.position, form=error.form
            ) from error
        ids.append(encoded)
        blanks.append(np.zeros(len(encoded), dtype=bool))
        done += len(part)
    return np.concatenate(ids), np.concatenate(blanks)
