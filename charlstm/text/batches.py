"""A batch of windows, and the interface of all classes that make batches.

`batch(epoch, index)` does not depend on earlier calls, so that a run can resume from epoch and
index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Batch:
    """A batch of B windows of T characters, with targets.

    Attributes:
        inputs: ids, shape (T, B), int64.
        targets: `inputs` one character later, shape (T, B), int64.
        fresh: whether all states start from zero; otherwise they are carried over.
        reset: streams whose state starts from zero, shape (B,); None: `fresh` applies to all.
        starts: inputs before which the state is set to zero, shape (T, B); None: nowhere.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    fresh: bool
    reset: NDArray[np.bool_] | None = None
    starts: NDArray[np.bool_] | None = None

    def chunk(self, number: int, count: int) -> Batch:
        """Chunk `number`, from 0, of `count` of nearly equal length; shape (~T / count, B)."""
        if count == 1:
            return self
        length = len(self.inputs)
        part = slice(number * length // count, (number + 1) * length // count)
        first = number == 0
        return Batch(
            self.inputs[part],
            self.targets[part],
            fresh=self.fresh and first,
            reset=self.reset if first else None,
            starts=None if self.starts is None else self.starts[part],
        )


class Windows(Protocol):
    """The batches of a training text."""

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in each epoch."""

    def batch(self, epoch: int, index: int) -> Batch:
        """Batch `index` of epoch `epoch`, both counted from 0."""


def seeded_rng(*numbers: int) -> np.random.Generator:
    """A generator seeded by a seed, an epoch, and optionally a batch index."""
    return np.random.default_rng(numbers)
