"""What a run knows of itself, beside weights: saved with them, and checked when read back."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from charlstm.errors import CheckpointError


@dataclass
class Progress:
    """Counters of a run.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        index: batches done of the current epoch.
        best_nats: the lowest nats per character at an evaluation; inf before the first.
        best_step: when that was.
        stale: evaluations since then.
        evaluated_step: the step of the last evaluation; -1 before the first.
        logged_step: the step of the last line in the log.
        pending_nats: training nats since then, summed over windows' means...
        pending_steps: ...of this many steps.
        epoch_nats, epoch_steps: the same since the last evaluation.
        seconds: time spent training, over all sessions.
        history: one entry an evaluation: step, epoch, train_nats, val_nats.
    """

    step: int = 0
    epoch: int = 0
    index: int = 0
    best_nats: float = math.inf
    best_step: int = 0
    stale: int = 0
    evaluated_step: int = -1
    logged_step: int = 0
    pending_nats: float = 0.0
    pending_steps: int = 0
    epoch_nats: float = 0.0
    epoch_steps: int = 0
    seconds: float = 0.0
    history: list[dict[str, float | None]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; floats survive it to the bit, infinity becomes null."""
        data = dataclasses.asdict(self)
        data["best_nats"] = None if math.isinf(self.best_nats) else self.best_nats
        return data

    @classmethod
    def from_json(cls, data: object) -> Progress:
        """Rebuild from `to_json`'s object.

        Raises:
            CheckpointError: not such an object.
        """
        names = {spec.name for spec in dataclasses.fields(cls)}
        if not isinstance(data, dict) or set(data) != names:
            raise CheckpointError("the run's progress is not readable.")
        values = dict(data)
        if values["best_nats"] is None:
            values["best_nats"] = math.inf
        for name, value in values.items():
            floats = name == "best_nats" or name.endswith("_nats") or name == "seconds"
            kind = list if name == "history" else (int, float) if floats else int
            if not isinstance(value, kind) or isinstance(value, bool):
                raise CheckpointError(f"the run's progress is not readable: {name!r}.")
        losses = [value for entry in values["history"] for value in _values(entry)]
        if not all(value is None or type(value) in (int, float) for value in losses):
            raise CheckpointError("the run's progress is not readable: 'history'.")
        if min(values["step"], values["epoch"], values["index"]) < 0:
            raise CheckpointError("the run's progress is not readable: it is negative.")
        return cls(**values)


def _values(entry: object) -> list[object]:
    """A history entry's values; an entry that is no object is one value, and a wrong one."""
    return list(entry.values()) if isinstance(entry, dict) else [entry, ""]
