"""Repetition between the parts of a text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.text.parts import Part
from charlstm.text.tokenizer import Ids

PASSAGE = 32
"""Length of a passage that rarely occurs twice by chance, in characters."""

# Limits that keep the work to about a second: passages to look up, characters to search, and
# characters to search at once.
_MOST_PASSAGES = 30_000
_MOST_CHARS = 4_000_000
_CHUNK = 250_000

Hashes = NDArray[np.uint64]


def repeated_share(train: Part, val: Part) -> float:
    """The fraction of `val` that also occurs in `train`.

    `val` is cut into passages of `PASSAGE` characters, each of which is searched in `train`. Only
    the ends of a long `train`'s segments are searched, for evenly spaced passages of a long `val`.

    Args:
        train: the training part.
        val: the validation part.

    Returns:
        0 to 1; 0 if no segment of `val` has a passage.
    """
    cut = [ids[: len(ids) // PASSAGE * PASSAGE].reshape(-1, PASSAGE) for ids in val.segments]
    passages = np.concatenate([val.ids[:0].reshape(0, PASSAGE), *cut])
    passages = passages[:: -(-len(passages) // _MOST_PASSAGES) or 1]
    if len(passages) == 0:
        return 0.0
    sought = _hashes(passages)[:, 0]
    found = np.zeros(len(sought), dtype=bool)
    for ids in train.shortened(_MOST_CHARS, end=True).segments:
        for start in range(0, len(ids) - PASSAGE + 1, _CHUNK):
            found |= np.isin(sought, _hashes(ids[start : start + _CHUNK + PASSAGE - 1]))
    return float(found.mean())


def _hashes(ids: Ids) -> Hashes:
    """A hash of the passage that starts at each position, by doubling the length.

    Args:
        ids: shape (..., num_chars).

    Returns:
        Shape (..., num_chars - PASSAGE + 1).
    """
    hashes = ids.astype(np.uint64)
    length = 1
    while length < PASSAGE:
        # An odd factor is invertible; the shift mixes high bits into low ones.
        first, second = hashes[..., :-length], hashes[..., length:]
        hashes = first * np.uint64(0x9E3779B97F4A7C15) + second
        hashes ^= hashes >> np.uint64(29)
        length *= 2
    return hashes
