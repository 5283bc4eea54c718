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
        seconds: duration of one pass over the validation part, and that of the old text.
        base_val_nats: loss on the validation part of the old text; None without an old text.
    """

    val_nats: float | None
    average_nats: float | None
    seconds: float
    base_val_nats: float | None = None


class Evaluator:
    """Evaluates a training state on the validation part; in a process group, on the leader.

    Args:
        val: the validation part. Without two characters in a row there is no validation loss.
        base_val: the validation part of the old text; None without an old text.
        all_threads: whether the leader may use the threads of all processes of its machine.
    """

    def __init__(self, val: Part, base_val: Part | None = None, *, all_threads: bool) -> None:
        named = {"val_nats": val, "base_val_nats": base_val}
        self._parts = {n: p for n, p in named.items() if p is not None and p.predictions >= 1}
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
        begun = time.monotonic()
        found: dict[str, float | None] = {"val_nats": None, "average_nats": None}
        for name, part in self._parts.items():
            found[name] = self._nats(state, part, asked_to_stop)
            if found[name] is None:
                return None
        seconds = time.monotonic() - begun
        if found["val_nats"] is not None and state.average:
            with state.average.in_place():
                val = self._parts["val_nats"]
                found["average_nats"] = self._nats(state, val, asked_to_stop)
            if found["average_nats"] is None:
                return None
        return Evaluation(**found, seconds=seconds)

    def _nats(
        self, state: TrainState, part: Part, asked_to_stop: Callable[[], bool]
    ) -> float | None:
        part = self._evaluated(state, part)
        return state.group.on_leader(
            lambda: validate(state.network, part, asked_to_stop), all_threads=self._all_threads
        )

    def _evaluated(self, state: TrainState, part: Part) -> Part:
        """The evaluated characters: the whole part, or a beginning that fits the time budget."""
        return part.shortened(state.progress.val_chars or len(part))

    def plan(self, state: TrainState, budget: TimeBudget) -> None:
        """Measure the speed of evaluation, and determine how many characters to evaluate on.

        Args:
            state: `progress.val_chars` is set, unless an earlier session has set it.
            budget: `evaluation_seconds` is set.
        """
        if not (parts := list(self._parts.values())):
            return
        per_char, progress = seconds_per_char(state.network), state.progress
        if not progress.val_chars:
            room = FINAL_EVALUATION * budget.seconds / budget.final_evaluations / per_char
            most = max(_MIN_VALIDATED, int(room / len(parts)))
            progress.val_chars = min(max(map(len, parts)), most)
        plans = [plan for part in parts for plan in plan_streams(self._evaluated(state, part))]
        budget.evaluation_seconds = sum(per_char * plan.count * plan.steps for plan in plans)
