"""The schedule of a run: its length, its learning rate, and which actions are due after a step.

Actions are due by the number of steps or by time (`--minutes`, and saves at intervals of time). A
schedule never changes the training state.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from charlstm.config import Config, WindowConfig
from charlstm.format.progress import MAX_CHUNKS, Progress
from charlstm.training.average import EVERY
from charlstm.training.clock import Stopwatch, TimeBudget
from charlstm.training.early_decay import begin_early_decay, decayed_rate, overfits
from charlstm.training.optim import learning_rate

_SAVE_SECONDS = 60.0
_LONG_EPOCH = 2000  # steps


@dataclass(frozen=True)
class Due:
    """Actions that are due after a step by time or by request.

    Attributes:
        stop, save, evaluate: whether each action is due.
        elapsed: the elapsed fraction of the time budget, 0 to 1; 0 without a budget.
    """

    stop: bool = False
    save: bool = False
    evaluate: bool = False
    elapsed: float = 0.0


def chars_per_step(windows: WindowConfig) -> int:
    """Number of characters predicted in a full batch."""
    return windows.batch_size * (1 if windows.targets == "last" else windows.maxlen)


class TrainSchedule:
    """Progress and learning rate of a run, and the actions that are due.

    Args:
        config: the configuration, with epochs and sizes determined.
        batches_per_epoch: number of batches of windows in an epoch.
        val_size: number of characters of the validation part.
        stopwatch: the time spent training.
        evaluates_first: whether to evaluate before the first step.

    Attributes:
        budget: the time budget of `--minutes`; None: the run ends after its epochs.
        elapsed: the elapsed fraction of the budget at the last synchronisation.
        sync_every: steps between two synchronisations of losses and processes.
    """

    def __init__(
        self,
        config: Config,
        batches_per_epoch: int,
        val_size: int,
        stopwatch: Stopwatch,
        *,
        evaluates_first: bool = False,
    ) -> None:
        self._windows = config.windows
        self._train = config.train
        self._writes = config.model.direction == "forward"
        self._per_epoch = batches_per_epoch
        self._total = config.train.epochs * batches_per_epoch
        self._eval_every = config.train.eval_every or max(
            _LONG_EPOCH, 8 * val_size // chars_per_step(config.windows)
        )
        self._stopwatch = stopwatch
        self._evaluates_first = evaluates_first
        minutes, final = config.train.minutes, 2 if config.train.average else 1
        self.budget = TimeBudget(60 * minutes, final) if minutes else None
        self.elapsed = 0.0
        self.sync_every = 1

    # ------------------------------------------------------------ length and learning rate

    def fraction(self, progress: Progress) -> float:
        """Progress of the run, 0 to 1: the fraction of windows done, or of time if larger."""
        windows = self._windows_done(progress) + progress.chunk / progress.chunks
        return max(windows / max(1, self._total), self.elapsed)

    def learning_rate(self, progress: Progress) -> float:
        """The learning rate of the next step."""
        if progress.decay_step:
            return decayed_rate(progress, self.fraction(progress))
        return learning_rate(self._train, progress.step, progress.epoch, self.fraction(progress))

    def total_steps(self, progress: Progress) -> int:
        """Number of steps of the whole run; with a time budget, an estimate from the speed."""
        # Of a run resumed with another length, the steps done differ from those of that length.
        left = self._steps(self._total) - self._steps(self._windows_done(progress))
        steps = progress.step - progress.chunk + left
        if progress.decay_step and (done := self.fraction(progress)):
            return max(progress.step, round(progress.step * progress.decay_until / done))
        if self.elapsed and progress.step:
            steps = min(steps, max(progress.step, round(progress.step / self.elapsed)))
        return steps

    @property
    def max_chunks(self) -> int:
        """Maximum number of chunks into which a window is divided."""
        windows = self._windows
        whole = not windows.grow or windows.targets == "last"
        return 1 if whole else min(MAX_CHUNKS, windows.maxlen)

    def chunks(self, progress: Progress) -> int:
        """Number of chunks into which the next window is divided; each chunk is a step."""
        fraction, grow = self.fraction(progress), self._windows.grow
        if fraction >= grow or progress.decay_step:
            return 1
        return min(self.max_chunks, MAX_CHUNKS if fraction < grow / 2 else 2)

    def _windows_done(self, progress: Progress) -> int:
        return progress.epoch * self._per_epoch + progress.index

    def _steps(self, windows: int) -> int:
        """Number of steps in the first `windows` windows of a run."""
        most, grow = self.max_chunks, self._windows.grow
        quarters = math.ceil(self._total * grow / 2)
        halves = math.ceil(self._total * grow)
        return (
            windows
            + (most - min(2, most)) * min(windows, quarters)
            + (min(2, most) - 1) * min(windows, halves)
        )

    # ------------------------------------------------------------ what is due

    def due(self, progress: Progress, saved_at: float, *, stop: bool) -> Due:
        """The actions that are due after a step, by this process's clock.

        Args:
            progress: the progress after the step.
            saved_at: when the run was last saved, as `time.monotonic()`.
            stop: whether this process was asked to stop.
        """
        every = self._train.save_every
        save = progress.step % every == 0 if every else time.monotonic() - saved_at >= _SAVE_SECONDS
        if self.budget is None:
            return Due(stop, save)
        fraction = min(1.0, self.fraction(progress) / progress.decay_until)
        evaluate = self.budget.evaluation_is_due(self._stopwatch.seconds, fraction)
        return Due(stop, save, evaluate, self.budget.elapsed(self._stopwatch.seconds))

    def sync_is_due(self, progress: Progress) -> bool:
        """Whether to synchronise after this step; the same in all processes.

        A synchronisation waits for all processes, and for a GPU.
        """
        step, every = progress.step, self._train.save_every
        return (
            step % self.sync_every == 0
            or (every > 0 and step % every == 0)
            or self._at_log_step(progress)
            or (self.budget is None and self.evaluation_is_due(progress, Due()))
        )

    def evaluation_is_due(self, progress: Progress, due: Due) -> bool:
        """Whether to evaluate before the next step.

        Args:
            progress: the run's progress.
            due: the result of method `due` after the last step.
        """
        if progress.step == progress.evaluated_step:
            return False
        if progress.step == 0:
            return self._evaluates_first
        if self.is_at_end(progress):
            return True
        if self.budget is not None and not self._train.eval_every:
            return due.evaluate
        if progress.chunk:
            return False
        return progress.index % self._eval_every == 0

    def log_is_due(self, progress: Progress, due: Due) -> bool:
        """Whether to log training metrics now; not if an evaluation, which also logs, is due."""
        return self._at_log_step(progress) and not self.evaluation_is_due(progress, due)

    def _at_log_step(self, progress: Progress) -> bool:
        return progress.step % self._train.log_every == 0

    def preview_is_due(self, progress: Progress) -> bool:
        """Whether to generate a preview now; bidirectional models cannot generate text."""
        every = self._train.sample_every
        return self._writes and every > 0 and progress.step % every == 0

    def average_is_due(self, progress: Progress, fraction: float) -> bool:
        """Whether to add the weights to their average after a step.

        Args:
            progress: the progress after the step.
            fraction: progress as a fraction before the step.
        """
        begins = (1 - self._train.average) * progress.decay_until
        return fraction > begins and progress.step % EVERY == 0

    def is_at_end(self, progress: Progress) -> bool:
        """Whether the epochs, the time budget or an early decay have ended."""
        if self._has_no_time_left(progress):
            return True
        return progress.decays > 0 and self.fraction(progress) >= progress.decay_until

    def _has_no_time_left(self, progress: Progress) -> bool:
        return progress.epoch >= self._train.epochs or self.elapsed >= 1

    # ------------------------------------------------------------ overfitting

    @property
    def may_decay_early(self) -> bool:
        """Whether overfitting may begin an early decay."""
        train = self._train
        return train.on_overfit == "decay" and train.schedule in ("linear", "cosine")

    def overfits(self, progress: Progress) -> bool:
        """Whether the last evaluation calls for an early decay."""
        if not self.may_decay_early or self._has_no_time_left(progress):
            return False
        return overfits(progress, self.learning_rate(progress) / self._train.lr)

    def begin_early_decay(self, progress: Progress) -> None:
        """Record in `progress` that an early decay begins now."""
        begin_early_decay(progress, self.fraction(progress), self.learning_rate(progress))

    def stop_reason(self, progress: Progress, first_epoch: int) -> str:
        """Why training stops now: `patience`, `finished` or `paused`; empty if it continues.

        Args:
            progress: the run's progress.
            first_epoch: number of epochs done before this session.
        """
        train = self._train
        if train.patience and progress.stale >= train.patience:
            return "patience"
        if self.is_at_end(progress):
            return "finished"
        if train.stop_after and progress.epoch - first_epoch >= train.stop_after:
            return "paused"
        return ""

    # ------------------------------------------------------------ the clock

    def elapsed_at_start(self, progress: Progress) -> float:
        """The elapsed fraction of the budget before the first step of a session."""
        if self.budget is None:
            return 0.0
        if progress.ended >= self.budget.seconds:
            return 1.0  # even if saving took less time than reserved for it
        return self.budget.elapsed(self._stopwatch.seconds)

    def begin(self, progress: Progress, elapsed: float) -> None:
        """Begin a session; `elapsed` is the elapsed fraction of the budget."""
        self.record_elapsed(progress, elapsed)
        if self.budget is not None:
            self.budget.begin(self._stopwatch.seconds, self.fraction(progress))

    def record_elapsed(self, progress: Progress, elapsed: float) -> None:
        """Record the elapsed fraction of the budget, which is the same in all processes."""
        self.elapsed = elapsed
        ended = elapsed >= 1 or (progress.decay_step > 0 and elapsed >= progress.decay_until)
        if self.budget is not None and ended:
            progress.ended = max(progress.ended, self.budget.seconds)

    def record_evaluation(self, seconds: float) -> None:
        """Record an evaluation that has just ended; one pass over the text took `seconds`."""
        if self.budget is not None:
            self.budget.evaluated(self._stopwatch.seconds, seconds)
