"""The time of a run: a stopwatch over all sessions, and the division of a time budget."""

from __future__ import annotations

import time

from charlstm.config import TrainConfig
from charlstm.format.progress import Progress

_EVALUATIONS = 10  # number in a run, evenly spaced, if they take less than `_MAX_COST`
_MAX_COST = 0.05  # maximum fraction of the time for evaluations during training
FINAL_EVALUATION = 0.04  # maximum fraction of the time for the final evaluations


class Stopwatch:
    """Measures the time spent training, over all sessions of a run.

    Args:
        before: seconds of earlier sessions.
        started: when this session began, as `time.monotonic()`; None: when `start` is called.
    """

    def __init__(self, before: float = 0.0, started: float | None = None) -> None:
        self._before = before
        self._started = started

    def start(self) -> None:
        """Start the stopwatch, unless it is running."""
        if self._started is None:
            self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of all sessions up to now."""
        if self._started is None:
            return self._before
        return self._before + time.monotonic() - self._started


def session_stopwatch(train: TrainConfig, progress: Progress, begun: float | None) -> Stopwatch:
    """The stopwatch of a new session.

    Args:
        train: the configuration, with the time budget if there is one.
        progress: the progress of the run.
        begun: when the command was started, as `time.monotonic()`. With a time budget, the
            stopwatch starts then, so that it includes the set-up. Without a budget, or if None, it
            starts when training begins.
    """
    has_time = train.minutes > 0 and progress.ended < 60 * train.minutes
    return Stopwatch(progress.seconds, begun if has_time else None)


class TimeBudget:
    """Divides a time budget among training, evaluation, and the final save.

    Args:
        seconds: the whole budget.
        final_evaluations: number of evaluations on the validation part at the end.

    Attributes:
        evaluation_seconds: duration of one evaluation.
        save_seconds: duration of one save.
    """

    def __init__(self, seconds: float, final_evaluations: int = 1) -> None:
        self.seconds = seconds
        self.final_evaluations = final_evaluations
        self.evaluation_seconds = FINAL_EVALUATION * seconds / final_evaluations
        self.save_seconds = 0.0
        self._evaluated_at = 0.0
        self._began = (0.0, 0.0)

    @property
    def end(self) -> float:
        """When training has to end for the final evaluation, in seconds from the start."""
        evaluations = self.final_evaluations * self.evaluation_seconds
        return max(0.0, self.seconds - evaluations - 2 * self.save_seconds)

    def elapsed(self, spent: float) -> float:
        """The elapsed fraction of the time for training, 0 to 1, after `spent` seconds."""
        return min(1.0, spent / self.end) if self.end else 1.0

    def begin(self, spent: float, fraction: float) -> None:
        """Record when training begins.

        Args:
            spent: seconds since the start.
            fraction: progress, 0 to 1. At 1, neither a step nor an evaluation follows.
        """
        self._began = (spent, fraction)
        self._evaluated_at = spent

    def evaluated(self, spent: float, seconds: float) -> None:
        """Record an evaluation that has just ended.

        Args:
            spent: seconds since the start.
            seconds: duration of one pass over the validation part.
        """
        self._evaluated_at, self.evaluation_seconds = spent, seconds

    def evaluation_is_due(self, spent: float, fraction: float) -> bool:
        """Whether to evaluate now. If the final evaluation follows soon, none is due.

        Args:
            spent: seconds since the start.
            fraction: progress, 0 to 1. The last epoch may end before the time budget does.
        """
        seconds, before = self._began
        end = self.end
        if fraction > before:
            end = min(end, spent + (1 - fraction) * (spent - seconds) / (fraction - before))
        whole = (end - seconds) / (1 - before)  # of a resumed run, with its earlier sessions
        pause = max(self.evaluation_seconds / _MAX_COST, whole / _EVALUATIONS)
        return spent - self._evaluated_at >= pause and end - spent >= pause / 2
