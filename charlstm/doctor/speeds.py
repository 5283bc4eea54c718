"""Speeds of training on machines where nothing else ran, to compare a machine with.

`charlstm.training.speed_test` measures them: characters per second of the reference model
(`charlstm.planner.fitted.REFERENCE`: coupled cells, one layer of 512 units), forward and backward
pass and optimizer.
"""

from __future__ import annotations

from typing import NamedTuple


class Speed(NamedTuple):
    """The result of the speed test.

    Attributes:
        precision, kernel: what is faster here.
        threads: of torch.
        chars_per_second: of the reference model in training.
    """

    precision: str
    kernel: str
    threads: int
    chars_per_second: float


class KnownMachine(NamedTuple):
    """A machine whose speed was measured when nothing else ran.

    Attributes:
        name: processor and cores.
        threads: of training.
        precision, kernel: what was chosen there.
        speed: characters per second of the reference model in training.
    """

    name: str
    threads: int
    precision: str
    kernel: str
    speed: float


KNOWN_MACHINES = (
    KnownMachine("AMD EPYC (Zen 5), 2 cores", 2, "bfloat16", "compiled", 130_000),
    KnownMachine("AMD EPYC (Zen 4), 2 cores", 2, "bfloat16", "compiled", 65_000),
)
"""In the order of their speed."""


def nearest(speed: Speed) -> KnownMachine | None:
    """The slowest known machine with the same precision, kernel and number of threads."""
    same = [
        machine
        for machine in KNOWN_MACHINES
        if (machine.precision, machine.kernel) == (speed.precision, speed.kernel)
        and machine.threads <= speed.threads
    ]
    return min(same, key=lambda machine: machine.speed, default=None)
