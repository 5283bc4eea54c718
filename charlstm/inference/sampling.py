"""Sampling from logits: filters and random draws.

The order is temperature, top-k, top-p, min-p, then the draw. Each filter is a pure function on
logits (N, V) that sets those of excluded characters to -inf; the most likely character is never
excluded.

A draw is inverse transform sampling at a uniform random number, so the text of a stream depends
only on the weights, its own seed and the options.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import SampleConfig

Floats = NDArray[np.floating[Any]]
LEAST_DRAWN = 1e-3
"""The lowest temperature at which characters are drawn at random."""
_BLOCK = 256  # uniform numbers drawn at a time


def keep_top_k(logits: Floats, k: int) -> Floats:
    """Keep each row's k largest logits (more where the k-th is tied)."""
    if k >= logits.shape[1]:
        return logits
    threshold = np.partition(logits, -k, axis=1)[:, -k, None]  # (N, 1)
    return np.where(logits >= threshold, logits, -np.inf)


def keep_top_p(logits: Floats, p: float) -> Floats:
    """Keep the most likely characters whose cumulative probability reaches p.

    Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (nucleus sampling).
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    ranked = np.take_along_axis(softmax(logits), order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # probability of all that rank higher
    keep = np.empty(logits.shape, dtype=bool)
    np.put_along_axis(keep, order, before < p, axis=1)
    return np.where(keep, logits, -np.inf)


def keep_min_p(logits: Floats, fraction: float) -> Floats:
    """Keep characters whose probability is at least `fraction` of the row's largest."""
    if fraction == 0:
        return logits
    return np.where(logits >= logits.max(axis=1, keepdims=True) + np.log(fraction), logits, -np.inf)


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Softmax of each row, in float64."""
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def draw(logits: Floats, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sample one id for each row by inverse transform sampling, in the logits' precision.

    Args:
        logits: (N, V).
        uniforms: (N,), in [0, 1); with float32 logits, at most 1 - 2**-22.

    Returns:
        Ids (N,): the first character whose cumulative probability exceeds the uniform number.
    """
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    if powers.flags.f_contiguous and len(powers) > powers.shape[1]:
        # With more streams than characters, adding the rows of the transpose is faster.
        for before, row in pairwise(powers.T):
            np.add(before, row, row)
    else:
        powers = np.add.accumulate(powers, axis=1)
    thresholds = (uniforms * powers[:, -1]).astype(powers.dtype)
    return np.asarray((powers > thresholds[:, None]).argmax(axis=1))


def stream_rng(seed: int, stream: int) -> np.random.Generator:
    """The random generator of a stream, different for each pair of seed and stream.

    Args:
        seed: from 0 to 2**63 - 1.
        stream: from 0 to 2**32 - 1.
    """
    # `default_rng` concatenates the 32-bit words of its numbers, so [seed, stream] would be
    # ambiguous: the seed 7 + 2**32 would give the words of seed 7, stream 1. Three numbers below
    # 2**32 are one word each.
    high, low = divmod(seed, 2**32)
    return np.random.default_rng([low, stream, high])


def has_no_filter(config: SampleConfig) -> bool:
    """Whether neither top-k, top-p nor min-p is set."""
    return config.top_k == 0 and config.top_p == 1.0 and config.min_p == 0.0


class Sampler:
    """Samples next characters for N streams, each with its own random numbers.

    Args:
        config: temperature and filters.
        streams: N.
        seed: stream n draws from its own generator, `stream_rng(seed, n)`, whatever N is.
        first: the first stream's number.

    Attributes:
        config: the same.
        plain: whether no filter is set.
        greedy: whether the most likely character is always chosen.
    """

    def __init__(self, config: SampleConfig, streams: int, seed: int, *, first: int = 0) -> None:
        self.config = config
        self._rngs = [stream_rng(seed, first + n) for n in range(streams)]
        self._block = np.empty((_BLOCK, streams))
        self._first: list[float] = []  # the first stream's numbers, as Python floats
        self._used = _BLOCK
        self.plain = has_no_filter(config)
        # So close to 0, the most likely character has probability 1, and quotients might overflow.
        self.greedy = config.temperature < LEAST_DRAWN
        # An array without axes halves the overhead of a numpy call.
        self._divisor = np.array(config.temperature, dtype=np.float32)

    def _uniforms(self) -> NDArray[np.float64]:
        """The next uniform number of each stream, shape (N,)."""
        row: NDArray[np.float64] = self.uniforms(1)[0]
        return row

    def uniforms(self, most: int) -> NDArray[np.float64]:
        """The next 1 to `most` uniform numbers of each stream, shape (n, N)."""
        if self._used == _BLOCK:
            self._refill()
        first = self._used
        self._used = min(first + most, _BLOCK)
        return self._block[first : self._used]

    def _refill(self) -> None:
        for column, rng in zip(self._block.T, self._rngs, strict=True):
            # Further below 1 than float32 rounds, so that the scaled number is less than the sum.
            column[:] = np.minimum(rng.random(_BLOCK), 1.0 - 2.0**-22)
        self._first = self._block[:, 0].tolist()
        self._used = 0

    def choose(self, logits: Floats) -> NDArray[np.int64]:
        """The next character of each stream: logits (N, V) -> ids (N,)."""
        uniforms = self._uniforms()
        config = self.config
        if self.greedy:
            return np.asarray(logits.argmax(axis=1))
        scaled = logits / self._divisor
        if config.top_k:
            scaled = keep_top_k(scaled, config.top_k)
        if config.top_p < 1:
            scaled = keep_top_p(scaled, config.top_p)
        return draw(keep_min_p(scaled, config.min_p), uniforms)

    def choose_one(self, logits: NDArray[np.float32]) -> int:
        """`choose` for a single stream, logits (V,) -> id; same result, faster."""
        if not self.plain or self.greedy:
            return int(self.choose(logits[None, :])[0])
        if self._used == _BLOCK:
            self._refill()
        uniform = self._first[self._used]
        self._used += 1
        top = logits.argmax()
        powers = np.subtract(logits, logits[top : top + 1])
        if self.config.temperature != 1:  # dividing by 1 changes nothing, and costs time
            np.divide(powers, self._divisor, powers)
        np.exp(powers, powers)
        cumulative = np.add.accumulate(powers)
        last = len(cumulative) - 1
        return bisect_right(cumulative, uniform * cumulative.item(last), 0, last)
