"""Lines of `metrics.jsonl`: training losses and speed since the line before, and evaluations."""

from __future__ import annotations

import time

from charlstm.runs.metrics import MetricsLog
from charlstm.training.evaluation import Evaluation
from charlstm.training.state import TrainState

_NO_EVALUATION = Evaluation(None, None, 0.0)


class MetricsLogger:
    """Times steps, and writes a line when asked; of a process group, the leader writes.

    Args:
        log: where lines go.
    """

    def __init__(self, log: MetricsLog) -> None:
        self._log = log
        self._begun = 0.0
        self._seconds = 0.0  # in steps since the last line
        self._chars = 0

    def begin_step(self) -> None:
        """Start to time a step."""
        self._begun = time.perf_counter()

    def end_step(self, chars: int) -> None:
        """Count a step that has ended, and its characters."""
        self._chars += chars
        self._seconds += time.perf_counter() - self._begun

    def log(
        self, state: TrainState, seconds: float, evaluation: Evaluation = _NO_EVALUATION
    ) -> None:
        """Write a line; training losses are counted from here on anew.

        Args:
            state: of which the progress is logged.
            seconds: time spent training.
            evaluation: what was measured now.

        Raises:
            RunError: the line cannot be written.
        """
        progress = state.progress
        chars = progress.pending_chars
        line = {
            "step": progress.step,
            "epoch": progress.epoch,
            "train_nats": progress.pending_nats / chars if chars else None,
            "val_nats": evaluation.val_nats,
            "average_nats": evaluation.average_nats,
            "chars_per_second": round(self._chars / self._seconds, 1) if self._seconds else None,
            "seconds": round(seconds, 3),
        }
        if state.group.is_leader:
            self._log.append(line)
        progress.pending_nats, progress.pending_chars = 0.0, 0
        progress.logged_step = progress.step
        self._chars, self._seconds = 0, 0.0
