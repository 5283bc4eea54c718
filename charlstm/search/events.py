"""Events of a search, which `Search` yields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charlstm.search.study import FAULT, OF, RUN, SECONDS, SEED

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Row:
    """A trial, or a final run, for display.

    Attributes:
        number: the trial's number; of a final run, that of the trial that it repeats.
        seed: the seed of a final run; None for a trial.
        run: the run's name.
        values: the values of the options that are searched, by field; empty outside the space.
        state: running, complete, or failed.
        nats: validation loss in nats per character; None without one.
        fault: why there is no loss.
        seconds: training time; None if unknown.
    """

    number: int
    seed: int | None
    run: str
    values: Mapping[str, Any]
    state: str
    nats: float | None = None
    fault: str = ""
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        return {**vars(self), "values": dict(self.values)}


def row_of(trial: FrozenTrial) -> Row:
    """The row of a trial, or of a final run."""
    attrs, states = trial.user_attrs, {"RUNNING": "running", "COMPLETE": "complete"}
    return Row(
        number=attrs.get(OF, trial.number),
        seed=attrs.get(SEED),
        run=str(attrs.get(RUN, "")),
        values=dict(trial.params),
        state=states.get(trial.state.name, "failed"),
        nats=trial.value if trial.state.name == "COMPLETE" else None,
        fault=str(attrs.get(FAULT, "")),
        seconds=attrs.get(SECONDS),
    )


@dataclass(frozen=True)
class Began:
    """A trial begins, or an interrupted trial is resumed."""

    row: Row
    resumed: bool


@dataclass(frozen=True)
class Moved:
    """Progress of a run: steps done, and steps in total."""

    run: str
    step: int
    total: int


@dataclass(frozen=True)
class Ended:
    """A trial has ended, with or without a loss."""

    row: Row


@dataclass(frozen=True)
class Noticed:
    """A notice of a worker process."""

    text: str


Event = Began | Moved | Ended | Noticed
