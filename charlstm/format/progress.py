"""A run's counters and the history of its evaluations, as checkpoints hold them."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

from charlstm.errors import CheckpointError

MAX_CHUNKS = 4
"""How many chunks a window is cut into at most (see `--grow`)."""
_JSON_NAMES = {"chunk": "piece", "chunks": "pieces"}  # where a checkpoint's key is another
_FLOATS = ("best_nats", "pending_nats", "epoch_nats", "seconds", "ended")


@dataclass(frozen=True)
class Evaluated:
    """The validation part was predicted; without one, `val_nats` is None and training counts.

    `average_nats` is what the averaged weights reach, once there are any.
    """

    step: int
    epoch: int
    train_nats: float | None
    val_nats: float | None
    average_nats: float | None
    is_best: bool

    @property
    def is_averaged(self) -> bool:
        """Whether the averaged weights predict better than the last ones."""
        if self.val_nats is None or self.average_nats is None:
            return False
        return self.average_nats < self.val_nats


@dataclass(frozen=True)
class SavedBest:
    """A `best.npz` that is better than the checkpoint which training goes on from knows.

    An evaluation writes `best.npz` first and `last.npz` next; a process may be killed in between.

    Attributes:
        nats: its nats per character.
        step: the step whose weights it holds.
    """

    nats: float
    step: int


@dataclass
class Progress:
    """Counters of a run.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        index: windows done of the current epoch.
        chunk, chunks: chunks of the current window done, and how many it is cut into.
        best_nats: the lowest nats per character at an evaluation; inf before the first.
        best_step: when that was.
        stale: evaluations since then.
        evaluated_step: the step of the last evaluation; -1 before the first.
        logged_step: the step of the last line in the log.
        pending_nats: training nats since then, summed over characters...
        pending_chars: ...of which there were so many.
        epoch_nats, epoch_chars: the same since the last evaluation.
        seconds: time spent training, over all sessions.
        ended: the time, in seconds, that the run was given and came to the end of; 0: none.
        val_chars: how much of the validation part is evaluated; 0: all of it.
        averaged: steps whose weights are in the average.
        history: one entry an evaluation: step, epoch, train_nats, val_nats, average_nats.
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
    pending_chars: int = 0
    epoch_nats: float = 0.0
    epoch_chars: int = 0
    seconds: float = 0.0
    ended: float = 0.0
    chunk: int = 0
    chunks: int = 1
    val_chars: int = 0
    averaged: int = 0
    history: list[dict[str, float | None]] = field(default_factory=list)

    @property
    def spent(self) -> float:
        """Seconds that count against `--minutes`: all of a time that the run came to the end of."""
        return max(self.ended, self.seconds)

    def add_loss(self, nats: float, chars: int) -> None:
        """Add training losses, summed over so many characters."""
        self.pending_nats += nats
        self.pending_chars += chars
        self.epoch_nats += nats
        self.epoch_chars += chars

    def advance(self, windows_per_epoch: int) -> None:
        """Count a step: a chunk of a window, and perhaps the window's and the epoch's last."""
        self.step += 1
        self.chunk += 1
        if self.chunk == self.chunks:
            self.chunk = 0
            self.index += 1
        if self.index == windows_per_epoch:
            self.epoch += 1
            self.index = 0

    def evaluate(
        self,
        val_nats: float | None,
        average_nats: float | None,
        saved: SavedBest | None = None,
    ) -> Evaluated:
        """Record an evaluation, and whether it is the best so far.

        Args:
            val_nats: nats per character of the validation part; None if there is none, and what
                was reached in training since the last evaluation counts.
            average_nats: what the averaged weights reach; None if there are none.
            saved: what `best.npz` holds, if that is better than `best_nats`. From its step on it
                counts as the best, unless this evaluation reaches as much, as an exact
                repetition does.
        """
        train_nats = self.epoch_nats / self.epoch_chars if self.epoch_chars else None
        reached = [nats for nats in (val_nats, average_nats) if nats is not None]
        nats = min(reached, default=math.inf if train_nats is None else train_nats)
        if saved is not None and self.step >= saved.step and nats > saved.nats < self.best_nats:
            self.best_nats, self.best_step = saved.nats, saved.step
        is_best = nats < self.best_nats
        if is_best:
            self.best_nats, self.best_step, self.stale = nats, self.step, 0
        else:
            self.stale += 1
        self.evaluated_step = self.step
        self.epoch_nats, self.epoch_chars = 0.0, 0
        evaluated = Evaluated(self.step, self.epoch, train_nats, val_nats, average_nats, is_best)
        entry = dataclasses.asdict(evaluated)
        del entry["is_best"]
        self.history.append(entry)
        return evaluated

    def to_json(self) -> dict[str, Any]:
        """A JSON object; floats survive it to the bit, infinity becomes null."""
        fields = dataclasses.asdict(self)
        data = {_JSON_NAMES.get(name, name): value for name, value in fields.items()}
        data["best_nats"] = None if math.isinf(self.best_nats) else self.best_nats
        return data

    @classmethod
    def from_json(cls, data: object) -> Progress:
        """Rebuild from `to_json`'s object.

        Raises:
            CheckpointError: not such an object.
        """
        names = {
            _JSON_NAMES.get(spec.name, spec.name): spec.name for spec in dataclasses.fields(cls)
        }
        if not isinstance(data, dict) or set(data) != set(names):
            raise CheckpointError("the run's progress is not readable.")
        values = dict(data)
        if values["best_nats"] is None:
            values["best_nats"] = math.inf
        for name, value in values.items():
            if name in _FLOATS:
                good = _is_number(value) or (name == "best_nats" and value == math.inf)
            elif name == "history":
                good = isinstance(value, list) and all(_is_evaluation(entry) for entry in value)
            else:
                lowest = -1 if name == "evaluated_step" else 0
                good = type(value) is int and lowest <= value < 2**53
            if not good:
                raise CheckpointError(f"the run's progress is not readable: {name!r}.")
        progress = cls(**{names[name]: value for name, value in values.items()})
        if not 0 <= progress.chunk < progress.chunks <= MAX_CHUNKS:
            raise CheckpointError("the run's progress is not readable: 'pieces'.")
        return progress


def _is_number(value: object) -> bool:
    """Whether it is a number that a sum of losses, or of seconds, can be."""
    return type(value) in (int, float) and -1e300 < value < 1e300  # type: ignore[operator]


def _is_evaluation(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) | {"average_nats"}
        == {"step", "epoch", "train_nats", "val_nats", "average_nats"}
        and all(value is None or _is_number(value) for value in entry.values())
    )
