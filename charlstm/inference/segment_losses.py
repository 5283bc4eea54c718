"""The loss of each character of many segments of a text, read in parallel.

Segments of similar length are read in one group of parallel streams, so that few streams wait for
a longer one. What many segments begin with is read once. A segment longer than `_WHOLE` characters
is divided into streams that first read `WARM_UP` characters, as in `charlstm.inference.scoring`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.inference.bidirectional import BidirectionalModel, plan_blocks
from charlstm.inference.engine import Engine, Session, no_underflow
from charlstm.inference.scoring import WARM_UP, cross_entropy, is_worth_compiling, losses_of
from charlstm.text.parts import Part
from charlstm.text.tokenizer import Ids

_WHOLE, _STREAM = 4096, 2048  # characters of a segment read in one stream, and of a part of others
_ROWS = 256  # streams in a group
_CLUSTER, _FEW = 4 * _ROWS, 16  # streams that begin alike; the number that makes it worth it
_SIMILAR = 0.75  # the shortest stream of a group, compared with the longest
_AT_A_TIME = 8192  # characters, in all streams

Positions = NDArray[np.int64]
Compute = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.float64]]


@dataclass(frozen=True)
class Segments:
    """Segments of a text.

    Attributes:
        ids: the text, (T,).
        begins: the first character that is read, (S,), in ascending order.
        firsts: the first character that is predicted, at least one later, (S,).
        stops: one past the last character, (S,).
    """

    ids: Ids
    begins: Positions
    firsts: Positions
    stops: Positions

    @property
    def predictions(self) -> int:
        """Number of characters predicted."""
        return int((self.stops - self.firsts).sum())

    def taken(self, rows: Positions) -> Segments:
        """Some of the segments, in another order."""
        return Segments(self.ids, self.begins[rows], self.firsts[rows], self.stops[rows])


class SegmentReader:
    """Computes the losses of segments by a model.

    Compiled code is used from the block on in which it saves time over all that was read.

    Args:
        model: the network.
    """

    def __init__(self, model: Engine | BidirectionalModel) -> None:
        self._model = model
        self._predictions = 0

    @no_underflow()
    def losses(self, segments: Segments) -> NDArray[np.float64]:
        """The loss of each predicted character, in nats; 0 at all other positions. Shape (T,)."""
        losses = np.zeros(len(segments.ids))
        if not segments.predictions:
            return losses
        self._predictions += segments.predictions
        if isinstance(self._model, BidirectionalModel):
            self._read_both_ways(self._model, segments, losses)
        else:
            self._read_forward(self._model, segments, losses)
        return losses

    def _read_both_ways(
        self, model: BidirectionalModel, segments: Segments, losses: NDArray[np.float64]
    ) -> None:
        lengths = segments.stops - segments.begins
        order = np.argsort(lengths, kind="stable")  # segments of equal length are read in parallel
        spans = np.stack([segments.begins, segments.stops], axis=1)[order]
        for blocks in plan_blocks(Part(segments.ids, spans)):
            positions = blocks.positions[blocks.left : blocks.left + blocks.count]
            targets = segments.ids[positions].astype(np.int64).reshape(-1)
            logits = model.logits(segments.ids, blocks).reshape(len(targets), -1)
            losses[positions] = cross_entropy(logits, targets).reshape(positions.shape)
        for begin, first in zip(segments.begins.tolist(), segments.firsts.tolist(), strict=True):
            if first - begin > 1:
                losses[begin:first] = 0

    def _read_forward(
        self, engine: Engine, segments: Segments, losses: NDArray[np.float64]
    ) -> None:
        by_compiled = is_worth_compiling(engine, self._predictions)
        for cluster, shared in _clusters(_streams(segments)):
            prefix = self._read_prefix(engine, cluster, shared, losses) if shared else None
            for group in _groups(cluster):
                streams = len(group.begins)
                session = engine.session(streams) if prefix is None else prefix.spread(streams)
                compute = losses_of(session, by_compiled=by_compiled)
                _read_group(group, shared, compute, losses)

    def _read_prefix(
        self, engine: Engine, cluster: Segments, shared: int, losses: NDArray[np.float64]
    ) -> Session:
        """The state after the characters that all segments begin with, which are read once."""
        session = engine.session()
        ids = cluster.ids[cluster.begins[0] : cluster.begins[0] + shared + 1].astype(np.int64)
        compute = losses_of(session, by_compiled=False)
        found = compute(ids[:-1, None], ids[1:, None])[:, 0]
        targets = cluster.begins[:, None] + np.arange(1, shared + 1)  # (N, shared)
        counted = targets >= cluster.firsts[:, None]
        losses[targets[counted]] = np.broadcast_to(found, targets.shape)[counted]
        return session


def _read_group(
    group: Segments, shared: int, compute: Compute, losses: NDArray[np.float64]
) -> None:
    """Read segments in parallel, after the characters that they share.

    Args:
        group: the segments.
        shared: number of characters that were read.
        compute: reads ids (T, N), and returns the losses of their targets.
        losses: filled.
    """
    ids, begins, firsts, stops = group.ids, group.begins, group.firsts, group.stops
    steps = int((stops - begins).max()) - 1
    most = max(1, _AT_A_TIME // len(begins))
    for time, end in pairwise([*range(shared, steps, most), steps]):
        targets = begins + np.arange(time + 1, end + 1)[:, None]  # (T, N)
        counted = (targets >= firsts) & (targets < stops)
        clipped = np.minimum(targets, stops - 1)  # a shorter stream waits at its end
        found = compute(ids[clipped - 1], ids[clipped])
        losses[targets[counted]] = found[counted]


def _streams(segments: Segments) -> Segments:
    """Segments with the long ones divided into streams with a warm-up."""
    long = np.flatnonzero(segments.stops - segments.begins > _WHOLE)
    if len(long):
        parts = [segments.taken(np.setdiff1d(np.arange(len(segments.begins)), long))]
        for begin, first, stop in zip(
            *(
                values[long].tolist()
                for values in (segments.begins, segments.firsts, segments.stops)
            ),
            strict=True,
        ):
            firsts = np.arange(first, stop, _STREAM)
            begins = np.maximum(begin, firsts - 1 - WARM_UP)
            stops = np.minimum(firsts + _STREAM, stop)
            parts.append(Segments(segments.ids, begins, firsts, stops))
        segments = Segments(
            segments.ids,
            np.concatenate([part.begins for part in parts]),
            np.concatenate([part.firsts for part in parts]),
            np.concatenate([part.stops for part in parts]),
        )
    return segments.taken(np.flatnonzero(segments.firsts < segments.stops))


def _clusters(streams: Segments) -> Iterator[tuple[Segments, int]]:
    """Streams that begin alike, the longest first, and how many characters to read once for all.

    The lines of a log begin with the same date, or the same words.
    """
    spans = zip(streams.begins.tolist(), streams.stops.tolist(), strict=True)
    texts = [streams.ids[begin:stop].tobytes() for begin, stop in spans]
    lengths = streams.stops - streams.begins
    order = np.array(sorted(range(len(texts)), key=texts.__getitem__), dtype=np.int64)
    for first in range(0, len(order), _CLUSTER):
        rows = order[first : first + _CLUSTER]
        lowest, highest = texts[rows[0]], texts[rows[-1]]  # they have the least in common
        pairs = enumerate(zip(lowest, highest, strict=False))
        common = next((n for n, (a, b) in pairs if a != b), min(len(lowest), len(highest)))
        # The next character is predicted from the last common one, which each stream reads.
        shared = common // streams.ids.itemsize - 1
        by_length = rows[np.argsort(-lengths[rows], kind="stable")]
        yield streams.taken(by_length), shared if len(rows) >= _FEW and shared > 0 else 0


def _groups(streams: Segments) -> Iterator[Segments]:
    """Groups of streams, which are sorted by falling length."""
    lengths = streams.stops - streams.begins
    first = 0
    while first < len(lengths):
        # One past the last stream that is not much shorter than the longest.
        similar = int(np.searchsorted(-lengths, -_SIMILAR * lengths[first], side="right"))
        last = min(first + _ROWS, similar)
        yield streams.taken(np.arange(first, last))
        first = last
