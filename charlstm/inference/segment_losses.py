"""The loss of each character of many segments of a text, read in parallel.

Segments of similar length are read in one group of parallel streams, so that few streams wait for
a longer one. A segment longer than `_WHOLE` characters is divided into streams that first read
`WARM_UP` characters, as in `charlstm.inference.scoring`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from charlstm.inference.bidirectional import BidirectionalModel, plan_blocks
from charlstm.inference.engine import Engine, no_underflow
from charlstm.inference.scoring import WARM_UP, cross_entropy, is_worth_compiling, losses_of
from charlstm.text.parts import Part
from charlstm.text.tokenizer import Ids

_WHOLE, _STREAM = 4096, 2048  # characters of a segment read in one stream, and of a part of others
_ROWS = 256  # streams in a group
_SIMILAR = 0.75  # the shortest stream of a group, compared with the longest
_AT_A_TIME = 8192  # characters, in all streams

Positions = NDArray[np.int64]


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
        ids = segments.ids
        for group in _groups(_streams(segments)):
            begins, firsts, stops = group.begins, group.firsts, group.stops
            compute = losses_of(engine.session(len(begins)), by_compiled=by_compiled)
            steps = int((stops - begins).max()) - 1
            most = max(1, _AT_A_TIME // len(begins))
            for time, end in pairwise([*range(0, steps, most), steps]):
                targets = begins + np.arange(time + 1, end + 1)[:, None]  # (T, N)
                counted = (targets >= firsts) & (targets < stops)
                clipped = np.minimum(targets, stops - 1)  # a shorter stream waits at its end
                found = compute(ids[clipped - 1], ids[clipped])
                losses[targets[counted]] = found[counted]


def _streams(segments: Segments) -> Segments:
    """Segments with the long ones divided into streams with a warm-up, the longest first."""
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
    real = np.flatnonzero(segments.firsts < segments.stops)
    lengths = (segments.stops - segments.begins)[real]
    return segments.taken(real[np.argsort(-lengths, kind="stable")])


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
