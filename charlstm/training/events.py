"""Events of a run, which `Trainer.train` yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlstm.format.progress import Evaluated

Notice = Callable[[str], None]
"""Receives a sentence about what was chosen, reduced or skipped."""


@dataclass(frozen=True)
class Compiling:
    """Code is being compiled for this machine: `functions` so far, in `seconds`."""

    functions: int
    seconds: float
    done: bool


@dataclass(frozen=True)
class Stepped:
    """A training step.

    Attributes:
        step, epoch: steps and epochs done.
        nats: mean loss of the last step that was read, nats per character.
        lr: the learning rate.
        chars: characters that were predicted.
    """

    step: int
    epoch: int
    nats: float
    lr: float
    chars: int


@dataclass(frozen=True)
class Previewed:
    """Text that the model wrote."""

    step: int
    text: str


@dataclass(frozen=True)
class DecayedEarly:
    """Overfitting began an early decay (`--on-overfit decay`).

    Attributes:
        step: where the decay begins.
        best_step: the step of the evaluation whose weights are restored.
        until: the fraction of the run at which it ends.
    """

    step: int
    best_step: int
    until: float


@dataclass(frozen=True)
class Saved:
    """Everything that a resume needs is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Stopped:
    """The run ended: `finished`, `patience`, `paused` (--stop-after), or `interrupted`."""

    reason: str


__all__ = [
    "Compiling",
    "DecayedEarly",
    "Evaluated",
    "Event",
    "Notice",
    "Previewed",
    "Saved",
    "Stepped",
    "Stopped",
]

Event = Stepped | Evaluated | DecayedEarly | Previewed | Saved | Stopped
