"""Events of a run, which `Trainer.train` yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlstm.format.progress import Evaluated

Notice = Callable[[str], None]
"""Receives a message, such as what was chosen automatically, reduced or skipped."""


@dataclass(frozen=True)
class Compiling:
    """Compilation is in progress: `functions` compiled so far, in `seconds`."""

    functions: int
    seconds: float
    done: bool


@dataclass(frozen=True)
class Stepped:
    """A training step.

    Attributes:
        step, epoch: number of steps and epochs done.
        nats: mean loss of the latest step whose loss is known, in nats per character.
        lr: the learning rate.
        chars: number of characters predicted.
    """

    step: int
    epoch: int
    nats: float
    lr: float
    chars: int


@dataclass(frozen=True)
class Previewed:
    """A text that the model generated."""

    step: int
    text: str


@dataclass(frozen=True)
class DecayedEarly:
    """Overfitting began an early decay (`--on-overfit decay`).

    Attributes:
        step: the step at which the decay begins.
        best_step: the step of the best evaluation, whose weights are restored.
        until: the progress at which the run ends, 0 to 1.
    """

    step: int
    best_step: int
    until: float


@dataclass(frozen=True)
class Saved:
    """A checkpoint for resuming was written."""

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
