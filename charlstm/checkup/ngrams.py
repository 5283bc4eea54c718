"""N-gram statistics of a sample: conditional entropies, and the loss of an n-gram model.

Entropy of order k is that of a character given the k before it, as counted in the same text:

    H(k) = mean of log2( count of the k characters / count of the k + 1 characters )

It falls below what any model reaches on new text where k + 1 characters rarely occur twice.

The loss on the held-out part is that of an n-gram model of the training part. Each order is
smoothed by the one below, by Witten and Bell's method C (1991, "The zero-frequency problem"):

    P(c | h) = (count(hc) + types(h) P(c | shorter h)) / (count(h) + types(h))
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ORDERS = 6
"""Entropies: order 0 to 5."""
_MOST_GRAM = 8


@dataclass(frozen=True)
class NGramFigures:
    """Statistics in bits per character.

    Attributes:
        entropies: of order 0, 1, ...; fewer for a text of a few characters.
        loss: of the held-out part under the best n-gram model; None without such a part.
        order: characters of context of that model.
    """

    entropies: tuple[float, ...]
    loss: float | None
    order: int


def measure(ids: NDArray[np.int64], vocab_size: int, held_out: int) -> NGramFigures:
    """Statistics of ids, shape (N,), of which the last `held_out` are the held-out part.

    Args:
        ids: the training part, then the held-out part.
        vocab_size: V; ids are below it.
        held_out: length of the held-out part.
    """
    ids = ids.astype(np.int64, copy=False)
    train, size = len(ids) - held_out, len(ids)
    probabilities = np.full(held_out, 1 / max(1, vocab_size))
    rank = np.zeros(size + 1, dtype=np.int64)  # of the characters before each one, exact
    entropies: list[float] = []
    losses: list[float] = []
    for length in range(1, min(_MOST_GRAM, size) + 1):
        context = rank[: size - length + 1]
        _, gram, counts = np.unique(
            context * vocab_size + ids[length - 1 :], return_inverse=True, return_counts=True
        )
        if length <= ORDERS:
            before = np.bincount(context)
            entropies.append(float(np.log2(before[context] / counts[gram]).mean()))
        if held_out and length <= train:
            _predict(probabilities, context, gram, len(counts), train - length + 1)
            losses.append(abs(float(np.log2(probabilities).mean())))
        rank = gram
        if length >= ORDERS and (not losses or losses[-1] > min(losses)):
            break
    best = int(np.argmin(losses)) if losses else 0
    return NGramFigures(tuple(entropies), losses[best] if losses else None, best)


def _predict(
    probabilities: NDArray[np.float64],
    context: NDArray[np.int64],
    gram: NDArray[np.int64],
    num_grams: int,
    num_train: int,
) -> None:
    """Replace predictions by those of an n-gram model of one character more.

    Args:
        probabilities: of the held-out characters, (M,), by the shorter model.
        context: rank of what comes before each character, (K,), the last M held out.
        gram: the rank with the character itself.
        num_grams: number of distinct `gram`.
        num_train: characters of the training part, the first of (K,).
    """
    num_contexts = int(context.max()) + 1
    in_train = np.bincount(gram[:num_train], minlength=num_grams)
    before = np.bincount(context[:num_train], minlength=num_contexts)
    context_of = np.empty(num_grams, dtype=np.int64)
    context_of[gram] = context
    types = np.bincount(context_of[in_train > 0], minlength=num_contexts)
    held, known = gram[num_train:], context[num_train:]
    weight = before[known] + types[known]
    with np.errstate(invalid="ignore"):
        better = (in_train[held] + types[known] * probabilities) / weight
    np.copyto(probabilities, better, where=weight > 0)
