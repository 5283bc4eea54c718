"""Counts of a text's characters, and their entropy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.text.parts import Part

_CHUNK = 1 << 22  # ids counted at once, at 8 bytes each


def unigram_counts(part: Part, vocab_size: int) -> NDArray[np.int64]:
    """How often each id occurs in a part of a text, (V,).

    Args:
        part: the part.
        vocab_size: V; ids are below it.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    for ids in part.arrays(_CHUNK):
        counts += np.bincount(ids, minlength=vocab_size)
    return counts


def unigram_nats(part: Part, vocab_size: int) -> float:
    """The unigram entropy of a part of a text, in nats per character; arguments as above."""
    return entropy(unigram_counts(part, vocab_size))


def entropy(counts: NDArray[np.int64]) -> float:
    """The entropy of characters that occur as often as in `counts`, in nats per character."""
    p = counts[counts > 0] / max(1, counts.sum())
    return float(abs((p * np.log(p)).sum()))
