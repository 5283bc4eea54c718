"""What happens in a run, for whoever shows it: the trainer yields these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from charlstm.format.progress import Evaluated

Notice = Callable[[str], None]
"""Told, in a sentence, what was chosen, reduced or passed over."""


@dataclass(frozen=True)
class Compiling:
    """Set-up compiles code for this machine: `functions` so far, in `seconds`."""

    functions: int
    seconds: float
    done: bool


@dataclass(frozen=True)
class Stepped:
    """One optimizer step was done; `nats` is its window's mean loss, `chars` what it learned."""

    step: int
    epoch: int
    nats: float
    lr: float
    chars: int


@dataclass(frozen=True)
class Previewed:
    """The model wrote a little."""

    step: int
    text: str


@dataclass(frozen=True)
class Saved:
    """Everything that continuing needs is on disk."""

    step: int
    path: Path


@dataclass(frozen=True)
class Stopped:
    """The run ended: `finished`, `patience`, `paused` (--stop-after), or `interrupted`."""

    reason: str


Event = Stepped | Evaluated | Previewed | Saved | Stopped
