"""Batches in which some streams read another text (`--replay`).

The first streams of a batch read the training text, the last ones the old text. Each text has
windows, an order and epochs of its own; an epoch of the run is one of the training text.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.text.batches import Batch, Windows


def replay_streams(batch_size: int, fraction: float) -> int:
    """Number of streams that read the old text: at least one, and not all.

    Args:
        batch_size: B, at least 2.
        fraction: the wanted fraction of the streams, above 0.
    """
    return min(batch_size - 1, max(1, round(fraction * batch_size)))


class MixedWindows:
    """Batches of the training text, beside batches of the old text.

    Args:
        own: batches of the training text.
        old: batches of the old text, with windows of the same length.
    """

    def __init__(self, own: Windows, old: Windows) -> None:
        self._own = own
        self._old = old

    @property
    def batches_per_epoch(self) -> int:  # noqa: D102 - see Windows
        return self._own.batches_per_epoch

    def batch(self, epoch: int, index: int) -> Batch:  # noqa: D102
        number = epoch * self._own.batches_per_epoch + index
        own = self._own.batch(epoch, index)
        old = self._old.batch(*divmod(number, self._old.batches_per_epoch))
        fresh = own.fresh and old.fresh
        reset = np.concatenate([_reset(own), _reset(old)])
        starts = None
        if own.starts is not None and old.starts is not None:
            starts = np.concatenate([own.starts, old.starts], axis=1)
        return Batch(
            np.concatenate([own.inputs, old.inputs], axis=1),
            np.concatenate([own.targets, old.targets], axis=1),
            fresh=fresh,
            reset=reset if reset.any() and not fresh else None,
            starts=starts,
        )


def _reset(batch: Batch) -> NDArray[np.bool_]:
    """The streams of a batch whose state starts from zero, shape (B,)."""
    streams = batch.inputs.shape[1]
    if batch.fresh:
        return np.ones(streams, dtype=np.bool_)
    return np.zeros(streams, dtype=np.bool_) if batch.reset is None else batch.reset
