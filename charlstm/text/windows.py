"""Batches of B windows of T characters, addressed by epoch and index."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from charlstm.config import WindowConfig
from charlstm.errors import CorpusError
from charlstm.text.batches import Batch, Windows, seeded_rng
from charlstm.text.document_part import DocumentPart
from charlstm.text.document_windows import (
    PackedDocuments,
    ShuffledDocumentWindows,
    fit_documents,
)
from charlstm.text.parts import Part
from charlstm.text.permutation import shuffle
from charlstm.text.tokenizer import Ids


def fit(part: Part, config: WindowConfig) -> WindowConfig:
    """Reduce window length and batch size to fit a training part.

    Each stream has at least one window; independent windows may overlap. Segments that are long
    enough for a window hold at least half of the part.

    Raises:
        CorpusError: the part has no two characters in a row.
    """
    if part.predictions < 1:
        raise CorpusError(
            f"the training part of the text has {len(part)} character(s); at least 2 are "
            "needed, one to read and one to predict.\n"
            "Give more text, or a smaller --val-fraction and --test-fraction."
        )
    if isinstance(part, DocumentPart):
        return fit_documents(part, config)
    pairs = np.sort(part.lengths - 1)[::-1]
    half = int(np.searchsorted(np.cumsum(pairs), part.predictions / 2))
    maxlen = min(config.maxlen, max(1, int(pairs[half])))
    counts = _windows(pairs, maxlen, config.step) if config.stateless else pairs // maxlen
    return replace(config, maxlen=maxlen, batch_size=min(config.batch_size, int(counts.sum())))


def make_windows(part: Part, config: WindowConfig, seed: int) -> Windows:
    """The batches for a configuration, whose sizes must fit the part (see `fit`)."""
    sizes = config.maxlen, config.batch_size
    if isinstance(part, DocumentPart):
        if config.stateless:
            return ShuffledDocumentWindows(part, *sizes, config.step, seed)
        return PackedDocuments(part, *sizes, seed, reset=config.reset)
    if config.stateless:
        return IndependentWindows(part, *sizes, config.step, seed)
    if len(part.spans) == 1:
        ids = next(part.segments)
        return CarriedWindows(ids, *sizes, seed, reset=config.reset)
    return SegmentedWindows(part, *sizes, seed, reset=config.reset)


def _windows(pairs: NDArray[np.int64], maxlen: int, step: int) -> NDArray[np.int64]:
    """Number of windows with a stride in segments of `pairs` characters to predict."""
    return np.maximum(0, (pairs - maxlen) // step + 1)


class CarriedWindows:
    """B parallel streams of contiguous windows with carried state.

    Each epoch starts at a random offset below T, so that window boundaries vary. Up to B*T
    characters at the streams' ends are not used in an epoch. With `reset`, a random fraction of
    windows starts from a zero state.
    """

    def __init__(
        self, ids: Ids, maxlen: int, batch_size: int, seed: int, *, reset: float = 0.0
    ) -> None:
        self._ids = ids
        self._reset = reset
        self._maxlen = maxlen
        self._seed = seed
        pairs = len(ids) - 1
        # The largest offset that does not reduce the number of windows.
        per_stream = pairs // (batch_size * maxlen)
        spare = pairs - per_stream * batch_size * maxlen
        self._max_offset = min(maxlen - 1, spare)
        self._stream = (pairs - self._max_offset) // batch_size
        self._batches = self._stream // maxlen
        starts = np.arange(batch_size) * self._stream
        self._index = starts[None, :] + np.arange(maxlen + 1)[:, None]  # (T + 1, B)

    @property
    def batches_per_epoch(self) -> int:  # noqa: D102 - see Windows
        return self._batches

    def batch(self, epoch: int, index: int) -> Batch:  # noqa: D102
        offset = int(seeded_rng(self._seed, epoch).integers(self._max_offset + 1))
        first = offset + index * self._maxlen
        window = self._ids[self._index + first].astype(np.int64)
        reset = None
        if self._reset:
            reset = seeded_rng(self._seed, epoch, index).random(window.shape[1]) < self._reset
        return Batch(window[:-1], window[1:], fresh=index == 0, reset=reset)


class SegmentedWindows:
    """B parallel streams of windows with carried state, in a part of several segments.

    A window lies within a segment. A stream that goes on to the next segment starts there from a
    zero state. In each epoch, the windows of a segment start at a random offset that does not
    reduce their number. If B does not divide the number of windows, some windows are not used, not
    the same ones in each epoch. Segments shorter than a window are not used.

    Args:
        part: the training part.
        maxlen: T.
        batch_size: B, at most the number of windows.
        seed: seed of the offsets and random resets.
        reset: fraction of windows that also start from the zero state.
    """

    def __init__(
        self, part: Part, maxlen: int, batch_size: int, seed: int, *, reset: float = 0.0
    ) -> None:
        self._ids = part.ids
        self._maxlen = maxlen
        self._batch_size = batch_size
        self._seed = seed
        self._reset = reset
        pairs = part.lengths - 1
        used = pairs >= maxlen
        counts = pairs[used] // maxlen  # windows of each segment, (S,)
        self._starts = part.spans[used, 0]
        self._spare = pairs[used] % maxlen
        self._first = np.cumsum(counts) - counts  # number of each segment's first window
        self._windows = int(counts.sum())
        self._within = np.arange(maxlen + 1)[:, None]

    @property
    def batches_per_epoch(self) -> int:  # noqa: D102 - see Windows
        return self._windows // self._batch_size

    def batch(self, epoch: int, index: int) -> Batch:  # noqa: D102
        rng = seeded_rng(self._seed, epoch)
        offsets = rng.integers(self._spare + 1)  # (S,)
        shift = int(rng.integers(self._batch_size))
        streams = np.arange(self._batch_size)
        numbers = (streams * self._windows + shift) // self._batch_size + index  # (B,)
        segment = np.searchsorted(self._first, numbers, side="right") - 1
        within = numbers - self._first[segment]  # of the segment's windows
        starts = self._starts[segment] + offsets[segment] + within * self._maxlen
        window = self._ids[starts[None, :] + self._within].astype(np.int64)  # (T + 1, B)
        reset = within == 0
        if self._reset:
            reset |= seeded_rng(self._seed, epoch, index).random(len(reset)) < self._reset
        return Batch(
            window[:-1], window[1:], fresh=index == 0, reset=reset if reset.any() else None
        )


class IndependentWindows:
    """Shuffled windows with stride `step` from each segment's start, each from a zero state."""

    def __init__(self, part: Part, maxlen: int, batch_size: int, step: int, seed: int) -> None:
        self._ids = part.ids
        self._batch_size = batch_size
        self._step = step
        self._seed = seed
        counts = _windows(part.lengths - 1, maxlen, step)
        used = counts > 0
        self._starts, counts = part.spans[used, 0], counts[used]
        self._first = np.cumsum(counts) - counts  # number of each segment's first window
        self._windows = int(counts.sum())
        self._offsets = np.arange(maxlen + 1)[:, None]

    @property
    def batches_per_epoch(self) -> int:  # noqa: D102 - see Windows
        return -(-self._windows // self._batch_size)

    def batch(self, epoch: int, index: int) -> Batch:  # noqa: D102
        first = index * self._batch_size
        places = np.arange(first, min(first + self._batch_size, self._windows), dtype=np.uint64)
        key = int(seeded_rng(self._seed, epoch).integers(2**63))
        numbers = shuffle(places, self._windows, key).astype(np.int64)
        segment = np.searchsorted(self._first, numbers, side="right") - 1
        starts = self._starts[segment] + (numbers - self._first[segment]) * self._step
        window = self._ids[starts[None, :] + self._offsets].astype(np.int64)
        return Batch(window[:-1], window[1:], fresh=True)
