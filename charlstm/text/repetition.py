"""How much of a text repeats what came before it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.text.tokenizer import Ids

PASSAGE = 32
"""Characters that two places of a text hardly share by chance."""

# Bounds for a second's work on a text of any size: passages that are looked up, characters that
# they are looked up among, and how many of these at a time.
_MOST_PASSAGES = 30_000
_MOST_CHARS = 4_000_000
_CHUNK = 250_000

Hashes = NDArray[np.uint64]


def repeated_share(train: Ids, val: Ids) -> float:
    """The share of `val` that stands in `train`, too, word for word.

    `val` is cut into passages of `PASSAGE` characters; each counts if it begins anywhere in
    `train`. Of a long `train` the end is searched, of a long `val` evenly spaced passages.

    Args:
        train: shape (num_chars,).
        val: shape (num_chars,).

    Returns:
        0 to 1; 0 where `val` has no passage.
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
    """A hash of the passage at each place that one begins at, by doubling.

    Args:
        ids: shape (..., num_chars).

    Returns:
        Shape (..., num_chars - PASSAGE + 1).
    """
    hashes = ids.astype(np.uint64)
    length = 1
    while length < PASSAGE:
        # An odd factor keeps each half's hash whole; the shift lets its high bits count low.
        first, second = hashes[..., :-length], hashes[..., length:]
        hashes = first * np.uint64(0x9E3779B97F4A7C15) + second
        hashes ^= hashes >> np.uint64(29)
        length *= 2
    return hashes
