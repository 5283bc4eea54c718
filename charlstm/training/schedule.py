"""The course of a run: how much of it is done, and in what pieces its windows are read."""

from __future__ import annotations

import math

from charlstm.config import Config
from charlstm.format.progress import MOST_PIECES, Progress


class Course:
    """A run's length, which the learning rate and the growth of windows follow.

    Args:
        config: with epochs and sizes settled.
        batches_per_epoch: how many batches of windows the text is.
    """

    def __init__(self, config: Config, batches_per_epoch: int) -> None:
        self._windows = config.windows
        self._per_epoch = batches_per_epoch
        self._total = config.train.epochs * batches_per_epoch

    def share(self, progress: Progress, time_gone: float) -> float:
        """How much of the run is done: of its windows, or of its time if more of that is gone."""
        windows = self._windows_done(progress) + progress.piece / progress.pieces
        return max(windows / max(1, self._total), time_gone)

    def _windows_done(self, progress: Progress) -> int:
        return progress.epoch * self._per_epoch + progress.index

    @property
    def most_pieces(self) -> int:
        """Into how many pieces a window is cut at most."""
        windows = self._windows
        whole = not windows.grow or windows.targets == "last"
        return 1 if whole else min(MOST_PIECES, windows.maxlen)

    def pieces(self, share: float) -> int:
        """Into how many pieces a window is cut that begins there; each is a step."""
        if share >= self._windows.grow:
            return 1
        return min(self.most_pieces, MOST_PIECES if share < self._windows.grow / 2 else 2)

    def _steps(self, windows: int) -> int:
        """Steps that so many windows take, from the first one on."""
        most, grow = self.most_pieces, self._windows.grow
        quarters = math.ceil(self._total * grow / 2)
        halves = math.ceil(self._total * grow)
        return (
            windows
            + (most - min(2, most)) * min(windows, quarters)
            + (min(2, most) - 1) * min(windows, halves)
        )

    def total_steps(self, progress: Progress, time_gone: float) -> int:
        """Steps of the whole run; where time ends it, what the speed so far lets expect."""
        # Resumed with another length, a run has done other steps than this length would have had.
        left = self._steps(self._total) - self._steps(self._windows_done(progress))
        steps = progress.step - progress.piece + left
        if time_gone and progress.step:
            steps = min(steps, max(progress.step, round(progress.step / time_gone)))
        return steps
