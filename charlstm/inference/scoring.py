"""Evaluation of a model on a text: sums of nats and characters, divided once at the end.

The state is carried over the whole text. A long text is divided into parallel streams for speed.
Each but the first reads the `WARM_UP` characters before its part without counting them, so that its
state no longer depends on the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import CorpusError
from charlstm.inference.engine import Engine, no_underflow
from charlstm.text.tokenizer import Ids

WARM_UP = 512
_MAX_STREAMS = 64
_MAX_COLD = 256
_MIN_STREAM = 2048  # minimum length of a stream in characters, compared with its warm-up


@dataclass(frozen=True)
class Score:
    """Sums over predicted characters.

    Attributes:
        nats: negative log-likelihood of all predicted characters.
        count: number of predicted characters: all but a text's first.
    """

    nats: float
    count: int

    @property
    def nats_per_char(self) -> float:
        """The mean cross-entropy, in nats per character."""
        return self.nats / self.count

    @property
    def bits_per_char(self) -> float:
        """The mean cross-entropy, in bits per character."""
        return self.nats_per_char / math.log(2)

    @property
    def perplexity(self) -> float:
        """The perplexity, exp(nats per character); inf if it overflows."""
        try:
            return math.exp(self.nats_per_char)
        except OverflowError:
            return math.inf


@dataclass(frozen=True)
class Streams:
    """The division of a text into parallel streams.

    Position p reads character p and predicts character p + 1. Stream s counts `length` positions
    from `s * length` on; the last stream may have fewer.

    Attributes:
        count: number of streams.
        length: positions in each stream.
        predictions: total number of positions.
    """

    count: int
    length: int
    predictions: int

    @property
    def start(self) -> int:
        """The first time step, relative to a stream's first counted position: 0 or below."""
        return -WARM_UP if self.count > 1 else 0

    def positions(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The streams' positions at time steps first..last-1, and which of them count.

        Returns:
            Positions (T, N), clipped into the text, and a mask (T, N).
        """
        time = np.arange(first, last)[:, None]
        places = time + np.arange(self.count)[None, :] * self.length
        counted = (time >= 0) & (time < self.length) & (places < self.predictions)
        return np.clip(places, 0, self.predictions - 1), counted


def plan_streams(num_chars: int) -> Streams:
    """Divide a text of `num_chars` characters into streams.

    Raises:
        CorpusError: fewer than two characters.
    """
    predictions = num_chars - 1
    if predictions < 1:
        raise CorpusError(
            f"the text has {num_chars} character(s); at least 2 are needed to evaluate on it."
        )
    count = max(1, min(_MAX_STREAMS, predictions // _MIN_STREAM))
    length = -(-predictions // count)
    return Streams(-(-predictions // length), length, predictions)


@no_underflow()
def score_ids(engine: Engine, ids: Ids, progress: Callable[[int], None] | None = None) -> Score:
    """Evaluate on a text, with carried state, in float32 with sums in float64.

    Args:
        engine: the model.
        ids: shape (T,).
        progress: called with the number of characters predicted.

    Raises:
        CorpusError: fewer than two characters.
    """
    plan = plan_streams(len(ids))
    session = engine.session(plan.count)
    nats = 0.0
    for time in range(plan.start, plan.length):
        if time == 0 and plan.count > 1:
            session.reset(0)  # the first stream has no warm-up and starts here
        places, counted = plan.positions(time, time + 1)
        places, counted = places[0], counted[0]
        read = ids[places].astype(np.int64)
        logits = session.step(read if plan.count > 1 else int(read[0]))
        if time >= 0:
            loss = cross_entropy(logits.reshape(plan.count, -1), ids[places + 1].astype(np.int64))
            nats += float(loss[counted].sum())
            if progress is not None:
                progress(min(plan.predictions, (time + 1) * plan.count))
    return Score(nats, plan.predictions)


@no_underflow()
def score_cold(
    engine: Engine, ids: Ids, window: int, progress: Callable[[int], None] | None = None
) -> Score:
    """Evaluate on a text in windows, each from a zero state, counting every position.

    Window k reads characters kT to kT+T-1 and predicts the successor of each, so most predictions
    have fewer than T characters of context. Programs without carried state report this figure.

    Args:
        engine: the model.
        ids: shape (n,).
        window: T.
        progress: called with the number of characters predicted.

    Raises:
        CorpusError: fewer than two characters.
    """
    predictions = plan_streams(len(ids)).predictions
    starts = np.arange(0, predictions, window)
    nats = 0.0
    for first in range(0, len(starts), _MAX_COLD):
        own = starts[first : first + _MAX_COLD]
        session = engine.session(len(own))
        for time in range(min(window, predictions)):
            places = own + time
            counted = places < predictions  # the last window may be shorter
            places = np.minimum(places, predictions - 1)
            read = ids[places].astype(np.int64)
            logits = session.step(read if len(own) > 1 else int(read[0]))
            loss = cross_entropy(logits.reshape(len(own), -1), ids[places + 1].astype(np.int64))
            nats += float(loss[counted].sum())
        if progress is not None:
            progress(min(predictions, (first + len(own)) * window))
    return Score(nats, predictions)


def cross_entropy(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """-log softmax(logits)[target] for each row: (N, V), (N,) -> (N,), in nats."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    log_sum = np.log(np.exp(wide - top[:, None]).sum(axis=1)) + top
    return np.asarray(log_sum - wide[np.arange(len(wide)), targets])
