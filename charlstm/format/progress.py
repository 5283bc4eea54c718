"""A run's counters and history of evaluations, and their JSON form in checkpoints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from charlstm.errors import CheckpointError

MAX_CHUNKS = 4
"""Maximum number of chunks of a window (see `--grow`)."""
_JSON_NAMES = {
    "chunk": "piece",
    "chunks": "pieces",
}  # keys in checkpoints that differ from the field
_FLOATS = (
    "best_nats", "pending_nats", "epoch_nats", "seconds", "ended",
    "decay_from", "decay_until", "decay_rate",
)  # fmt: skip


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation; losses in nats per character.

    Attributes:
        step, epoch: position of the evaluation.
        train_nats: mean training loss since the last evaluation.
        val_nats: validation loss; None without a validation part.
        average_nats: validation loss of the averaged weights; None without any.
        is_best: whether the loss is the lowest so far.
        base_val_nats: loss on the validation part of an old text (`--replay-text`); None without.
    """

    step: int
    epoch: int
    train_nats: float | None
    val_nats: float | None
    average_nats: float | None
    is_best: bool
    base_val_nats: float | None = None

    @property
    def is_averaged(self) -> bool:
        """Whether the averaged weights have a lower validation loss than the last ones."""
        if self.val_nats is None or self.average_nats is None:
            return False
        return self.average_nats < self.val_nats


def lower_nats(entry: Mapping[str, float | None]) -> float | None:
    """The lower validation loss of the last and the averaged weights; None without either.

    Args:
        entry: of a run's history.
    """
    found = [entry.get(name) for name in ("val_nats", "average_nats")]
    return min((nats for nats in found if nats is not None), default=None)


def old_nats(history: Sequence[Mapping[str, float | None]], step: int) -> float | None:
    """The loss on an old text (`--replay-text`) at an evaluation; None without one.

    Args:
        history: of a run.
        step: the step of the evaluation.
    """
    return next((entry.get("base_val_nats") for entry in history if entry["step"] == step), None)


@dataclass(frozen=True)
class SavedBest:
    """A `best.npz` with a lower loss than the checkpoint from which training resumes.

    An evaluation writes `best.npz` before `last.npz`; the process may be killed in between.

    Attributes:
        nats: its nats per character.
        step: the step whose weights it holds.
    """

    nats: float
    step: int


@dataclass
class Progress:
    """Counters and history of a run.

    Attributes:
        step: optimizer steps done.
        epoch: epochs done.
        index: windows done in the current epoch.
        chunk, chunks: chunks done of the current window, and its number of chunks.
        best_nats: the lowest nats per character at an evaluation; inf before the first.
        best_step: the step of that evaluation.
        stale: evaluations since then.
        evaluated_step: the step of the last evaluation; -1 before the first.
        logged_step: the step of the last line in the metrics log.
        pending_nats, pending_chars: training loss since that line, summed over characters, and the
            number of characters.
        epoch_nats, epoch_chars: the same since the last evaluation.
        seconds: training time over all sessions.
        ended: the time budget in seconds, once it is used up; otherwise 0.
        val_chars: characters of the validation part that are evaluated; 0: all.
        averaged: number of steps in the weight average.
        decays: number of early decays that overfitting has begun.
        decay_step: the step at which the last early decay began; 0: none has begun.
        decay_from, decay_until: progress at which that decay begins and ends, 0 to 1.
        decay_rate: the learning rate at its beginning.
        history: one entry for each evaluation: step, epoch, train_nats, val_nats, average_nats;
            with an old text also base_val_nats.
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
    decays: int = 0
    decay_step: int = 0
    decay_from: float = 0.0
    decay_until: float = 1.0
    decay_rate: float = 0.0
    history: list[dict[str, float | None]] = field(default_factory=list)

    @property
    def spent(self) -> float:
        """Seconds that count against `--minutes`; at least a time budget that was used up."""
        return self.seconds if self.decay_step else max(self.ended, self.seconds)

    def forget_early_decay(self) -> None:
        """Remove a recorded early decay; the learning rate follows the schedule again."""
        if self.decay_step:
            self.decays, self.decay_step, self.ended = 0, 0, 0.0
            self.decay_from, self.decay_until, self.decay_rate = 0.0, 1.0, 0.0

    def add_loss(self, nats: float, chars: int) -> None:
        """Add training losses, summed over `chars` characters."""
        self.pending_nats += nats
        self.pending_chars += chars
        self.epoch_nats += nats
        self.epoch_chars += chars

    def advance(self, windows_per_epoch: int) -> None:
        """Count a step, which is a chunk of a window, and advance window and epoch."""
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
        base_val_nats: float | None = None,
    ) -> Evaluated:
        """Record an evaluation and determine whether it is the best so far.

        Args:
            val_nats: validation loss in nats per character; None without a validation part: the
                training loss since the last evaluation is used.
            average_nats: validation loss of the averaged weights; None without any.
            saved: an existing `best.npz` that is better than `best_nats`. From its step on it is
                the best, unless this evaluation is as good, as in an exact repetition.
            base_val_nats: loss on the validation part of an old text; None without. It does not
                determine the best.
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
        evaluated = Evaluated(
            self.step, self.epoch, train_nats, val_nats, average_nats, is_best, base_val_nats
        )
        entry = dataclasses.asdict(evaluated)
        del entry["is_best"]
        if base_val_nats is None:  # as in checkpoints of versions without an old text
            del entry["base_val_nats"]
        self.history.append(entry)
        return evaluated

    def to_json(self) -> dict[str, Any]:
        """The progress as a JSON object; floats are exact, infinity becomes null."""
        fields = dataclasses.asdict(self)
        data = {_JSON_NAMES.get(name, name): value for name, value in fields.items()}
        data["best_nats"] = None if math.isinf(self.best_nats) else self.best_nats
        return data

    @classmethod
    def from_json(cls, data: object) -> Progress:
        """Progress from the object of `to_json`.

        Raises:
            CheckpointError: the object is not valid.
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
    """Whether it is a finite number in the range of sums of losses or seconds."""
    return type(value) in (int, float) and -1e300 < value < 1e300  # type: ignore[operator]


def _is_evaluation(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) - {"base_val_nats"} | {"average_nats"}
        == {"step", "epoch", "train_nats", "val_nats", "average_nats"}
        and all(value is None or _is_number(value) for value in entry.values())
    )
