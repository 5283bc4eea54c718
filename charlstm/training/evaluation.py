"""Evaluation of a training state on the validation part."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from charlstm.inference.scoring import plan_streams
from charlstm.text.parts import Part
from charlstm.training.clock import FINAL_EVALUATION, TimeBudget
from charlstm.training.state import TrainState
from charlstm.training.validation import seconds_per_char, validate

_MIN_VALIDATED = 20_000  # characters


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        val_nats: validation loss, in nats per character; None without a validation part.
        average_nats: validation loss with the averaged weights; None if there are none.
        seconds: duration of one pass over the validation part.
    """

    val_nats: float | None
    average_nats: float | None
    seconds: float


class Evaluator:
    """Evaluates a training state on the validation part; in a process group, on the leader.

    Args:
        val: the validation part. Without two characters in a row there is no validation loss.
        all_threads: whether the leader may use the threads of all processes of its machine.
    """

    def __init__(self, val: Part, *, all_threads: bool) -> None:
        self._val = val
        self._all_threads = all_threads

    def evaluate(self, state: TrainState, asked_to_stop: Callable[[], bool]) -> Evaluation | None:
        """Evaluate the weights, and their average if there is one.

        Args:
            state: not changed; its random generators are not used.
            asked_to_stop: called repeatedly; if it returns True, evaluation ends.

        Returns:
            The result; None if asked to stop.

        Raises:
            DistributedError: another process has ended.
        """
        if self._val.predictions < 1:
            return Evaluation(None, None, 0.0)
        begun = time.monotonic()
        val_nats = self._nats(state, asked_to_stop)
        seconds = time.monotonic() - begun
        if val_nats is None or not state.average:
            return None if val_nats is None else Evaluation(val_nats, None, seconds)
        with state.average.in_place():
            average_nats = self._nats(state, asked_to_stop)
        return None if average_nats is None else Evaluation(val_nats, average_nats, seconds)

    def _nats(self, state: TrainState, asked_to_stop: Callable[[], bool]) -> float | None:
        part = self._evaluated(state)
        return state.group.on_leader(
            lambda: validate(state.network, part, asked_to_stop), all_threads=self._all_threads
        )

    def _evaluated(self, state: TrainState) -> Part:
        """The evaluated characters: the whole part, or a beginning that fits the time budget."""
        return self._val.shortened(state.progress.val_chars or len(self._val))

    def plan(self, state: TrainState, budget: TimeBudget) -> None:
        """Measure the speed of evaluation, and determine how many characters to evaluate on.

        Args:
            state: `progress.val_chars` is set, unless an earlier session has set it.
            budget: `evaluation_seconds` is set.
        """
        if self._val.predictions < 1:
            return
        per_char, progress = seconds_per_char(state.network), state.progress
        if not progress.val_chars:
            room = FINAL_EVALUATION * budget.seconds / budget.final_evaluations / per_char
            progress.val_chars = min(len(self._val), max(_MIN_VALIDATED, int(room)))
        plans = plan_streams(self._evaluated(state))
        budget.evaluation_seconds = sum(per_char * plan.count * plan.steps for plan in plans)
