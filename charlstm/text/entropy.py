"""How much a text's single characters say."""

from __future__ import annotations

import numpy as np

from charlstm.text.tokenizer import Ids

_CHUNK = 1 << 22  # ids that are counted at a time: numpy needs 8 bytes for each


def unigram_nats(ids: Ids, vocab_size: int) -> float:
    """The entropy of a text's single characters, in nats per character.

    Args:
        ids: the text, (T,); may be memory-mapped.
        vocab_size: V; ids are below it.
    """
    counts = np.zeros(vocab_size, dtype=np.int64)
    for first in range(0, len(ids), _CHUNK):
        counts += np.bincount(ids[first : first + _CHUNK], minlength=vocab_size)
    shares = counts[counts > 0] / max(1, len(ids))
    return float(abs((shares * np.log(shares)).sum()))
