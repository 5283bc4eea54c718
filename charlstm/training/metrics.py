"""Writes `metrics.jsonl`: training loss and speed since the previous line, and evaluations."""

from __future__ import annotations

import time

import torch

from charlstm.runs.metrics import MetricsLog
from charlstm.training.evaluation import Evaluation
from charlstm.training.state import TrainState
from charlstm.training.waiting import LoadWatch

_NO_EVALUATION = Evaluation(None, None, 0.0)


class MetricsLogger:
    """Measures the time of steps, and writes lines; in a process group, the leader writes.

    Args:
        log: the run's log.
        load: measures what other programs use.
    """

    def __init__(self, log: MetricsLog, load: LoadWatch) -> None:
        self._log = log
        self._load = load
        self._begun = 0.0
        self._seconds = 0.0  # in steps since the last line
        self._chars = 0

    def begin_step(self) -> None:
        """Record the beginning of a step."""
        self._begun = time.perf_counter()

    def end_step(self, chars: int) -> None:
        """Record the end of a step with `chars` predicted characters."""
        self._chars += chars
        self._seconds += time.perf_counter() - self._begun

    def log(
        self, state: TrainState, seconds: float, evaluation: Evaluation = _NO_EVALUATION
    ) -> None:
        """Write a line, and reset the sums of training losses.

        Args:
            state: its progress is logged.
            seconds: time spent training.
            evaluation: the current evaluation, if there is one.

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
            **(
                {}
                if evaluation.base_val_nats is None
                else {"base_val_nats": evaluation.base_val_nats}
            ),
            "chars_per_second": round(self._chars / self._seconds, 1) if self._seconds else None,
            "seconds": round(seconds, 3),
            "threads": torch.get_num_threads(),
            "others": None if self._load.others is None else round(self._load.others, 2),
        }
        if state.group.is_leader:
            self._log.append(line)
        progress.pending_nats, progress.pending_chars = 0.0, 0
        progress.logged_step = progress.step
        self._chars, self._seconds = 0, 0.0
