"""The result of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from charlstm.format.progress import Progress, old_nats

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel


@dataclass(frozen=True)
class TrainedRun:
    """A run after training; `load` opens its best model.

    Attributes:
        folder: the run's folder.
        stopped: why training ended: `finished`, `patience`, `paused` (`stop_after`) or
            `interrupted` (a stop was requested).
        step: optimizer steps done.
        epoch: epochs done.
        best_nats_per_char: the lowest validation loss, in nats per character; the lowest training
            loss without a validation part; None before the first evaluation. For a bidirectional
            model it is that of the pseudo-likelihood.
        best_step: the step of that evaluation.
        seconds: time spent training, over all sessions.
        history: one entry for each evaluation: step, epoch, train_nats, val_nats, average_nats;
            with an old text (`--replay-text`) also base_val_nats.
    """

    folder: Path
    stopped: str
    step: int
    epoch: int
    best_nats_per_char: float | None
    best_step: int
    seconds: float
    history: Sequence[Mapping[str, float | None]]

    @classmethod
    def from_progress(
        cls, folder: Path, stopped: str, progress: Progress, seconds: float
    ) -> TrainedRun:
        """The result of a run with this progress."""
        best = None if math.isinf(progress.best_nats) else progress.best_nats
        return cls(
            folder, stopped, progress.step, progress.epoch, best, progress.best_step, seconds,
            tuple(progress.history),
        )  # fmt: skip

    @property
    def name(self) -> str:
        """The run's name."""
        return self.folder.name

    @property
    def best_bits_per_char(self) -> float | None:
        """The lowest validation loss in bits per character."""
        nats = self.best_nats_per_char
        return None if nats is None else nats / math.log(2)

    @property
    def base_val_nats(self) -> float | None:
        """Loss on the old text at the best evaluation, in nats per character; None without."""
        return old_nats(self.history, self.best_step)

    def load(self) -> LanguageModel:
        """The run's best model.

        Raises:
            RunError: the run was deleted.
            CheckpointError: no checkpoint is intact.
        """
        from charlstm.inference.language_model import LanguageModel  # noqa: PLC0415 - when used

        return LanguageModel.load(self.folder)
