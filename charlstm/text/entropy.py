"""Unigram entropy of a text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.text.parts import Part

_CHUNK = 1 << 22  # ids counted at once, at 8 bytes each


def unigram_nats(part: Part, vocab_size: int) -> float:
    """The unigram entropy of a part of a text, in nats per character.

    Args:
        part: the part.
        vocab_size: V; ids are below it.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    for ids in part.arrays(_CHUNK):
        counts += np.bincount(ids, minlength=vocab_size)
    return entropy_of(counts)


def entropy_of(counts: NDArray[np.int64]) -> float:
    """The entropy of the frequencies that have some counts, in nats."""
    p = counts[counts > 0] / max(1, counts.sum())
    return float(abs((p * np.log(p)).sum()))
