"""Logits -> characters: filters, draws, and the loop that feeds a draw back.

The order is temperature, top-k, top-p, min-p, then the draw. Each filter is a pure function on
logits (N, V) that sets what it drops to -inf; the likeliest character always stays.

A draw inverts the cumulative distribution at a uniform number, so a stream's text depends on
nothing but the weights, its own seeded uniforms and the options.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import SampleConfig
from charlstm.inference.engine import Session

Floats = NDArray[np.floating[Any]]
_BLOCK = 256  # uniforms drawn at a time


def keep_top_k(logits: Floats, k: int) -> Floats:
    """Keep each row's k largest logits (more where the k-th is tied)."""
    if k >= logits.shape[1]:
        return logits
    threshold = np.partition(logits, -k, axis=1)[:, -k, None]  # (N, 1)
    return np.where(logits >= threshold, logits, -np.inf)


def keep_top_p(logits: Floats, p: float) -> Floats:
    """Keep the fewest likeliest characters whose probabilities add up to p or more.

    Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration" (nucleus sampling).
    """
    order = np.argsort(-logits, axis=1, kind="stable")
    ranked = np.take_along_axis(softmax(logits), order, axis=1)
    before = np.cumsum(ranked, axis=1) - ranked  # probability of all that rank higher
    keep = np.empty(logits.shape, dtype=bool)
    np.put_along_axis(keep, order, before < p, axis=1)
    return np.where(keep, logits, -np.inf)


def keep_min_p(logits: Floats, share: float) -> Floats:
    """Keep characters whose probability is at least `share` of the row's largest."""
    if share == 0:
        return logits
    return np.where(logits >= logits.max(axis=1, keepdims=True) + np.log(share), logits, -np.inf)


def softmax(logits: Floats) -> NDArray[np.float64]:
    """Probabilities of each row, in float64."""
    wide = logits.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def draw(logits: Floats, uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """One character for each row, by inverse cumulative distribution.

    Args:
        logits: (N, V).
        uniforms: (N,), in [0, 1).

    Returns:
        Ids (N,): the first character whose cumulative probability exceeds the uniform number.
    """
    cumulative = np.cumsum(softmax(logits), axis=1)
    return np.asarray((cumulative > (uniforms * cumulative[:, -1])[:, None]).argmax(axis=1))


class Sampler:
    """Chooses next characters for N streams, each with uniforms of its own.

    Args:
        config: temperature and filters.
        streams: N.
        seed: stream n draws from the generator seeded by (seed, n), whatever N is.
        first: the first stream's number.
    """

    def __init__(self, config: SampleConfig, streams: int, seed: int, *, first: int = 0) -> None:
        self._config = config
        self._rngs = [np.random.default_rng([seed, first + n]) for n in range(streams)]
        self._block = np.empty((streams, _BLOCK))
        self._used = _BLOCK
        self._plain = config.top_k == 0 and config.top_p == 1.0 and config.min_p == 0.0
        self._divisor = np.float32(config.temperature)
        # So close to 0, the likeliest is drawn for certain, and the quotients might overflow.
        self._greedy = config.temperature < 1e-3

    def _uniforms(self) -> NDArray[np.float64]:
        """The next number of each stream, (N,)."""
        if self._used == _BLOCK:
            for row, rng in zip(self._block, self._rngs, strict=True):
                # Below 1 by more than rounding, so that a scaled one stays below the sum.
                row[:] = np.minimum(rng.random(_BLOCK), 1.0 - 2.0**-40)
            self._used = 0
        self._used += 1
        return self._block[:, self._used - 1]

    def choose(self, logits: Floats) -> NDArray[np.int64]:
        """The next character of each stream: logits (N, V) -> ids (N,)."""
        uniforms = self._uniforms()
        config = self._config
        if self._greedy:
            return np.asarray(logits.argmax(axis=1))
        scaled = logits / self._divisor
        if config.top_k:
            scaled = keep_top_k(scaled, config.top_k)
        if config.top_p < 1:
            scaled = keep_top_p(scaled, config.top_p)
        return draw(keep_min_p(scaled, config.min_p), uniforms)

    def choose_one(self, logits: NDArray[np.float32]) -> int:
        """`choose` for a single stream, logits (V,) -> id: the same id, in fewer steps."""
        if not self._plain or self._greedy:
            return int(self.choose(logits[None, :])[0])
        uniform = self._uniforms()[0]
        scaled = (logits / self._divisor).astype(np.float64)
        scaled -= np.maximum.reduce(scaled)
        np.exp(scaled, out=scaled)
        cumulative = np.add.accumulate(scaled)
        return int(cumulative.searchsorted(uniform * cumulative[-1], side="right"))


def generate_ids(session: Session, logits: Floats, sampler: Sampler) -> Iterator[Any]:
    """Draw, feed back, and draw again, without end.

    Args:
        session: streams that have read a prompt.
        logits: what the session's last step returned.
        sampler: chooses the characters.

    Yields:
        An int for a session of one stream, otherwise ids (N,).
    """
    if session.streams == 1:
        while True:
            choice = sampler.choose_one(logits)
            yield choice
            logits = session.step(choice)
    while True:
        ids = sampler.choose(logits)
        yield ids
        logits = session.step(ids)


class StopText:
    """Holds back what may be the beginning of a stop text, and ends before a whole one.

    Args:
        stops: the texts that end a sample, none of them empty.
    """

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.found = False

    def feed(self, character: str) -> str:
        """Take the next character; returns what is now sure to come before any stop text."""
        if not self._stops:
            return character
        self._held += character
        for stop in self._stops:
            if self._held.endswith(stop):
                self.found = True
                return self._held[: -len(stop)]
        longest = max(_overlap(self._held, stop) for stop in self._stops)
        sure = self._held[: len(self._held) - longest]
        self._held = self._held[len(sure) :]
        return sure

    def rest(self) -> str:
        """What is still held back when the text ends without a stop."""
        return "" if self.found else self._held


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of `text` that begins `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if stop.startswith(text[-n:])), 0)
