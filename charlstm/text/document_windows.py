"""Batches of packed documents (see `charlstm.text.document_part`).

In each epoch the documents are concatenated in another order, B d1 B d2 ... B dn B. Windows are
parts of this sequence, and a stream starts from the zero state at each boundary. The order is a
pseudo-random permutation, so that any batch can be made without the previous ones.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from charlstm.config import WindowConfig
from charlstm.text.batches import Batch, seeded_rng
from charlstm.text.document_part import DocumentPart
from charlstm.text.permutation import shuffle
from charlstm.text.tokenizer import BOUNDARY_ID

_BLOCK = 1 << 18  # documents whose order is computed at once


class _Sequence:
    """The documents of a part in the order of each epoch.

    Args:
        part: the documents.
        seed: seed of the orders.

    Attributes:
        size: number of characters, including the end of each document.
        longest: length of the longest document, including its end.
    """

    def __init__(self, part: DocumentPart, seed: int) -> None:
        self._ids = part.ids
        self._starts = part.spans[:, 0]
        self._lengths = part.lengths - 1
        self._seed = seed
        self.size = len(part)
        self.longest = int(self._lengths.max())
        self._epoch = -1
        self._key = 0
        self._first = np.zeros(len(self._starts) + 1, dtype=np.int64)

    def begins(self, epoch: int) -> NDArray[np.int64]:
        """Positions where the documents of an epoch begin, in order, and `size`: (D + 1,)."""
        if epoch != self._epoch:
            self._key = int(seeded_rng(self._seed, epoch).integers(2**63))
            count, done = len(self._starts), 0
            for block in range(0, count, _BLOCK):
                numbers = np.arange(block, min(block + _BLOCK, count))
                sums = done + np.cumsum(self._lengths[self._document(numbers)])
                self._first[numbers + 1] = sums
                done = int(sums[-1])
            self._epoch = epoch
        return self._first

    def _document(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        count = len(self._starts)
        return shuffle(numbers.astype(np.uint64), count, self._key).astype(np.int64)

    def read(self, epoch: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids at positions 0 to `size` of the sequence; `size` is the end of the last document."""
        begins = self.begins(epoch)
        flat = positions.ravel()
        numbers = np.minimum(np.searchsorted(begins, flat, side="right"), len(begins) - 1) - 1
        present, which = np.unique(numbers, return_inverse=True)
        shift = self._starts[self._document(present)] - begins[present]
        ids: NDArray[np.int64] = self._ids[flat + shift[which]].astype(np.int64)
        return ids.reshape(positions.shape)


def fit_documents(part: DocumentPart, config: WindowConfig) -> WindowConfig:
    """Reduce window length and batch size so that each stream has at least one window."""
    maxlen = min(config.maxlen, part.predictions)
    room = part.predictions // maxlen
    if config.stateless:
        room = (part.predictions - maxlen) // config.step + 1
    return replace(config, maxlen=maxlen, batch_size=min(config.batch_size, room))


def _batch(
    sequence: _Sequence,
    epoch: int,
    positions: NDArray[np.int64],
    *,
    fresh: bool,
    reset: NDArray[np.bool_] | None = None,
) -> Batch:
    """The batch at positions (T + 1, B) of the sequence of an epoch."""
    window = sequence.read(epoch, positions)
    inputs = window[:-1]
    return Batch(inputs, window[1:], fresh=fresh, reset=reset, starts=inputs == BOUNDARY_ID)


class PackedDocuments:
    """B parallel streams of whole documents in windows with carried state.

    The sequence is divided into B sections of equal length. Each stream begins with the first
    document that begins near the start of its section, or within a long document. Up to B times the
    length of a window and a document are not used in an epoch.

    Args:
        part: the documents.
        maxlen: T.
        batch_size: B.
        seed: seed of the orders and random resets.
        reset: fraction of windows that also start from the zero state.
    """

    def __init__(
        self, part: DocumentPart, maxlen: int, batch_size: int, seed: int, *, reset: float = 0.0
    ) -> None:
        self._sequence = _Sequence(part, seed)
        self._maxlen = maxlen
        self._seed = seed
        self._reset = reset
        stream = self._sequence.size // batch_size
        # Maximum distance of a stream's start from its section's start. The stream's windows end
        # before the next section.
        self._slack = max(0, min(self._sequence.longest, maxlen, stream - maxlen))
        self._batches = (stream - self._slack) // maxlen
        self._sections = np.arange(batch_size) * stream
        self._within = np.arange(maxlen + 1)[:, None]

    @property
    def batches_per_epoch(self) -> int:  # noqa: D102 - see Windows
        return self._batches

    def batch(self, epoch: int, index: int) -> Batch:  # noqa: D102
        begins = self._sequence.begins(epoch)
        nearest = begins[np.searchsorted(begins, self._sections)]
        first = np.where(nearest - self._sections <= self._slack, nearest, self._sections)
        reset = None
        if self._reset:
            draws = seeded_rng(self._seed, epoch, index).random(len(first))
            reset = draws < self._reset
        positions = first[None, :] + index * self._maxlen + self._within  # (T + 1, B)
        return _batch(self._sequence, epoch, positions, fresh=index == 0, reset=reset)


class ShuffledDocumentWindows:
    """Shuffled windows of packed documents with stride `step`, each from a zero state."""

    def __init__(
        self, part: DocumentPart, maxlen: int, batch_size: int, step: int, seed: int
    ) -> None:
        self._sequence = _Sequence(part, seed)
        self._batch_size = batch_size
        self._step = step
        self._seed = seed
        self._windows = (self._sequence.size - maxlen) // step + 1
        self._within = np.arange(maxlen + 1)[:, None]

    @property
    def batches_per_epoch(self) -> int:  # noqa: D102 - see Windows
        return -(-self._windows // self._batch_size)

    def batch(self, epoch: int, index: int) -> Batch:  # noqa: D102
        first = index * self._batch_size
        numbers = np.arange(first, min(first + self._batch_size, self._windows), dtype=np.uint64)
        # A key other than that of the order of documents.
        key = int(seeded_rng(self._seed, epoch, 1).integers(2**63))
        starts = shuffle(numbers, self._windows, key).astype(np.int64) * self._step
        return _batch(self._sequence, epoch, starts[None, :] + self._within, fresh=True)
