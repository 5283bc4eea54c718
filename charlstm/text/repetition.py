"""Repetition between the parts of a text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.text.tokenizer import Ids

PASSAGE = 32
"""Length of a passage that rarely occurs twice by chance, in characters."""

# Limits that keep the work to about a second: passages to look up, characters to search, and
# characters to search at once.
_MOST_PASSAGES = 30_000
_MOST_CHARS = 4_000_000
_CHUNK = 250_000

Hashes = NDArray[np.uint64]


def repeated_share(train: Ids, val: Ids) -> float:
    """The fraction of `val` that also occurs in `train`.

    `val` is cut into passages of `PASSAGE` characters, each of which is searched in `train`. Only
    the end of a long `train` is searched, for evenly spaced passages of a long `val`.

    Args:
        train: shape (num_chars,).
        val: shape (num_chars,).

    Returns:
        0 to 1; 0 if `val` is shorter than a passage.
    """
    passages = val[: len(val) // PASSAGE * PASSAGE].reshape(-1, PASSAGE)
    passages = passages[:: -(-len(passages) // _MOST_PASSAGES) or 1]
    if len(passages) == 0:
        return 0.0
    sought = _hashes(passages)[:, 0]
    train = train[-_MOST_CHARS:]
    found = np.zeros(len(sought), dtype=bool)
    for start in range(0, len(train) - PASSAGE + 1, _CHUNK):
        found |= np.isin(sought, _hashes(train[start : start + _CHUNK + PASSAGE - 1]))
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
