"""Evaluation of a model on a text: sums of nats and characters, divided once at the end.

The state is carried over the whole text, or over each segment of a part of a text. A long text is
divided into parallel streams for speed. A stream that does not begin with its segment reads the
`WARM_UP` characters before its own without counting them, so that its state no longer depends on
the start. A text that is too long for memory is read in excerpts (`charlstm.inference.long_texts`).

Where it saves time, compiled code computes the steps, see `charlstm.inference.fast_writer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.inference.engine import Engine, Session, no_underflow
from charlstm.inference.generation import load_writer
from charlstm.inference.score import Score
from charlstm.text.parts import Part, as_part, too_short
from charlstm.text.tokenizer import Ids

WARM_UP = 512
_MAX_STREAMS = 64
_MAX_ROWS = 128  # streams in parallel, if a part has many segments
_MAX_COLD = 256
_AT_A_TIME = 4096  # characters, in all streams
WORTH_COMPILING = 10**11
"""Number of multiplications from which compiled code saves more time than loading numba takes."""
_MIN_STREAM = 2048  # minimum length of a stream in characters, compared with its warm-up


@dataclass(frozen=True, eq=False)
class Streams:
    """Parallel streams through segments of a text.

    Position p reads character p and predicts character p + 1. Stream s counts the positions from
    `starts[s]` to `stops[s] - 1`.

    Attributes:
        starts, stops: positions in the text, shape (N,).
        segments: the first position of each stream's segment, shape (N,).
    """

    starts: NDArray[np.int64]
    stops: NDArray[np.int64]
    segments: NDArray[np.int64]

    @property
    def count(self) -> int:
        """Number of streams."""
        return len(self.starts)

    @property
    def length(self) -> int:
        """Positions of the longest stream."""
        return int((self.stops - self.starts).max())

    @property
    def predictions(self) -> int:
        """Total number of positions."""
        return int((self.stops - self.starts).sum())

    @property
    def first(self) -> NDArray[np.int64]:
        """The streams that begin with their segment: they have no warm-up."""
        return np.flatnonzero(self.starts == self.segments)

    @property
    def start(self) -> int:
        """The first time step, relative to a stream's first counted position: 0 or below."""
        return -WARM_UP if len(self.first) < self.count else 0

    @property
    def begins(self) -> NDArray[np.int64]:
        """The time step at which each stream starts from the zero state, shape (N,)."""
        begins: NDArray[np.int64] = np.maximum(self.segments - self.starts, self.start)
        return begins

    @property
    def steps(self) -> int:
        """Number of time steps, warm-up included."""
        return self.length - self.start

    def positions(self, first: int, last: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The streams' positions at time steps first..last-1, and which of them count.

        Returns:
            Positions (T, N), clipped to each stream's segment, and a mask (T, N).
        """
        time = np.arange(first, last)[:, None]
        positions = time + self.starts[None, :]
        counted = (time >= 0) & (positions < self.stops)
        return np.clip(positions, self.segments, self.stops - 1), counted


def plan_streams(part: Part, before: int = 0) -> list[Streams]:
    """Divide a part of a text into streams, in groups to read one after the other.

    A segment becomes one or more streams of equal length, of which the last may be shorter. Of many
    segments, those of similar length are in one group.

    Args:
        part: the part.
        before: number of characters of the first segment that are only read, see `Excerpt`.

    Raises:
        CorpusError: the part has no two characters in a row.
    """
    if part.predictions < 1:
        raise too_short(len(part))
    predictions = part.predictions - before
    most = max(1, min(_MAX_STREAMS, predictions // _MIN_STREAM))
    target = -(-predictions // most)
    firsts = part.spans[:, 0]  # (S,)
    begins = np.maximum(firsts, firsts[0] + before)
    lengths = part.spans[:, 1] - 1 - begins
    counts = np.minimum(-(-lengths // target), np.maximum(1, lengths // _MIN_STREAM))
    counts = np.where(lengths > 0, counts, 0)
    each = -(-lengths // np.maximum(1, counts))  # positions of a stream in each segment
    own = np.repeat(np.arange(len(begins)), counts)  # each stream's segment, (N,)
    within = np.arange(len(own)) - (np.cumsum(counts) - counts)[own]
    starts = begins[own] + within * each[own]
    stops = np.minimum(starts + each[own], (begins + lengths)[own])
    real = starts < stops  # rounding up may leave nothing for the last stream
    starts, stops, segments = starts[real], stops[real], firsts[own][real]
    if len(starts) <= _MAX_ROWS:
        return [Streams(starts, stops, segments)]
    order = np.argsort(starts - stops, kind="stable")  # the longest first
    groups = (order[first : first + _MAX_ROWS] for first in range(0, len(order), _MAX_ROWS))
    return [Streams(starts[rows], stops[rows], segments[rows]) for rows in groups]


@no_underflow()
def score_ids(
    engine: Engine,
    ids: Ids | Part,
    progress: Callable[[int], None] | None = None,
    *,
    before: int = 0,
) -> Score:
    """Evaluate on a text, with carried state, in float32 with sums in float64.

    Args:
        engine: the model.
        ids: shape (T,), or a part of a text, each of whose segments starts from a zero state.
        progress: called with the number of characters predicted.
        before: number of characters of the first segment that are only read, see `Excerpt`.

    Raises:
        CorpusError: fewer than two characters.
    """
    part = as_part(ids)
    ids = part.ids
    nats, done = 0.0, 0
    by_compiled = is_worth_compiling(engine, part.predictions)
    for plan in plan_streams(part, before):
        session = engine.session(plan.count)
        losses = losses_of(session, by_compiled=by_compiled)
        most = max(1, _AT_A_TIME // plan.count)
        begins = plan.begins
        bounds = {*range(plan.start, 0, most), *range(0, plan.length, most), plan.length}
        for time, end in pairwise(sorted(bounds | set(begins.tolist()))):
            if time > plan.start and len(starting := np.flatnonzero(begins == time)):
                for stream in starting.tolist():
                    session.reset(stream)  # its segment begins here
                losses = losses_of(session, by_compiled=by_compiled)
            positions, counted = plan.positions(time, end)
            nats += float(losses(ids[positions], ids[positions + 1])[counted].sum())
            if progress is not None and end > 0:
                progress(done + min(plan.predictions, end * plan.count))
        done += plan.predictions
    return Score(nats, done)


@no_underflow()
def score_cold(
    engine: Engine, ids: Ids | Part, window: int, progress: Callable[[int], None] | None = None
) -> Score:
    """Evaluate on a text in windows, each from a zero state, counting every position.

    Window k reads characters kT to kT+T-1 and predicts the successor of each, so most predictions
    have fewer than T characters of context. Programs without carried state report this figure.

    Args:
        engine: the model.
        ids: shape (n,), or a part of a text; a window lies within a segment.
        window: T.
        progress: called with the number of characters predicted.

    Raises:
        CorpusError: fewer than two characters.
    """
    part = as_part(ids)
    ids = part.ids
    predictions = sum(plan.predictions for plan in plan_streams(part))
    windows = [np.arange(start, stop - 1, window) for start, stop in part.spans.tolist()]
    starts = np.concatenate(windows)
    stops = np.repeat(part.spans[:, 1] - 1, [len(own) for own in windows])
    steps = min(window, int(part.lengths.max()) - 1)
    nats = 0.0
    by_compiled = is_worth_compiling(engine, predictions)
    for first in range(0, len(starts), _MAX_COLD):
        own, ends = (rows[first : first + _MAX_COLD] for rows in (starts, stops))
        losses = losses_of(engine.session(len(own)), by_compiled=by_compiled)
        most = max(1, _AT_A_TIME // len(own))
        for time, end in pairwise([*range(0, steps, most), steps]):
            positions = own + np.arange(time, end)[:, None]
            counted = positions < ends  # the last window of a segment may be shorter
            positions = np.minimum(positions, ends - 1)
            nats += float(losses(ids[positions], ids[positions + 1])[counted].sum())
        if progress is not None:
            progress(min(predictions, (first + len(own)) * window))
    return Score(nats, predictions)


def is_worth_compiling(engine: Engine, predictions: int) -> bool:
    """Whether compiled code computes this model, and saves time."""
    if not engine.has_sampling_kernel or engine.compiled is False:
        return False
    return bool(engine.compiled) or engine.columns.size * predictions >= WORTH_COMPILING


def losses_of(
    session: Session, *, by_compiled: bool
) -> Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]:
    """A function that reads characters (T, N) and returns the losses of their targets, in nats."""
    writer = load_writer("float32") if by_compiled else None
    if writer is not None:
        score = writer(session).score
        return lambda read, targets: score(read.astype(np.int64), targets.astype(np.int64))

    def by_numpy(read: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.float64]:
        nats = np.empty(read.shape)
        rows = zip(nats, read.astype(np.int64), targets.astype(np.int64), strict=True)
        for row, chars, following in rows:
            logits = session.step(chars if session.streams > 1 else int(chars[0]))
            row[:] = cross_entropy(logits.reshape(session.streams, -1), following)
        return nats

    return by_numpy


def cross_entropy(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """-log softmax(logits)[target] for each row: (N, V), (N,) -> (N,), in nats."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    log_sum = np.log(np.exp(wide - top[:, None]).sum(axis=1)) + top
    return np.asarray(log_sum - wide[np.arange(len(wide)), targets])
