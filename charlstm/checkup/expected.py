"""What to expect of a training: the loss, roughly, and what is chosen for a time budget.

The loss of an n-gram model (`charlstm.checkup.ngrams`) shows how predictable a text is. Models that
were trained by the automatic choice reached a fraction of it that differs less from text to text
than the loss itself: `MEASURED` has the benchmarks' figures (benchmarks/RESULTS.md,
docs/appendix-measurements.md). The prediction is the geometric mean of these fractions, and its
range is that of the measured ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from charlstm.config import Config
from charlstm.doctor.speeds import KNOWN_MACHINES
from charlstm.planner.rules import choose


class MeasuredText(NamedTuple):
    """A text of the benchmarks.

    Attributes:
        name: its name there.
        minutes: the time budget.
        ngram: loss of the n-gram model, in bits per character.
        nats: loss of the trained model, carried, in nats per character.
    """

    name: str
    minutes: float
    ngram: float
    nats: float

    @property
    def ratio(self) -> float:
        """The trained model's loss as a fraction of the n-gram model's."""
        return self.nats / math.log(2) / self.ngram


MEASURED = (
    MeasuredText("tiny Shakespeare", 1.3333, 2.408, 1.4161),
    MeasuredText("tiny Shakespeare", 4.5, 2.408, 1.3705),
    MeasuredText("tiny Shakespeare", 20, 2.408, 1.3288),
    MeasuredText("lighthouse", 5, 1.961, 1.1235),
    MeasuredText("licences", 1.3333, 1.067, 0.6141),
    MeasuredText("reference", 1.3333, 1.905, 1.0272),
    MeasuredText("russian", 1.3333, 1.263, 0.6892),
    MeasuredText("source", 1.3333, 2.407, 1.2640),
    MeasuredText("manual", 1.3333, 1.502, 0.5670),
    MeasuredText("first-names", 0.5, 3.084, 1.9963),
    MeasuredText("songs", 0.5, 2.727, 1.7008),
    MeasuredText("json-module", 0.5, 2.754, 1.5554),
    MeasuredText("employment", 0.5, 3.286, 1.5701),
    MeasuredText("tunes", 0.5, 2.320, 1.0768),
    MeasuredText("russian-love", 0.5, 2.620, 1.6036),
)
"""Held-out part and budget as in the benchmarks; lighthouse is the run of docs/tutorial.md."""


@dataclass(frozen=True)
class Loss:
    """An expected loss in bits per character.

    Attributes:
        expected: the prediction.
        low, high: its range.
        trainings: number of those that it rests on.
    """

    expected: float
    low: float
    high: float
    trainings: int = len(MEASURED)


def expected_loss(ngram: float) -> Loss:
    """The loss that a trained model may reach on the held-out part.

    Args:
        ngram: loss of the n-gram model on it, in bits per character.
    """
    ratios = [text.ratio for text in MEASURED]
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return Loss(ngram * mean, ngram * min(ratios), ngram * max(ratios))


USUAL_MINUTES = (1.0, 5.0, 20.0)
"""Budgets to show where none is given."""


@dataclass(frozen=True)
class MachineSpeed:
    """How fast a machine trains the reference model.

    Attributes:
        chars_per_second: of the reference model.
        compiled: whether its windows run in compiled code.
        machine: a name; empty: this machine.
    """

    chars_per_second: float
    compiled: bool
    machine: str = ""


def assumed_speed() -> MachineSpeed:
    """The speed of the slowest machine that was measured."""
    slowest = min(KNOWN_MACHINES, key=lambda machine: machine.speed)
    return MachineSpeed(slowest.speed, slowest.kernel == "compiled", slowest.name)


@dataclass(frozen=True)
class Plan:
    """What `train --minutes` chooses.

    Attributes:
        minutes: the time budget.
        cell, num_layers, hidden_size, dropout, recurrent_dropout: of the model.
        epochs: expected epochs.
        seconds: expected duration; less than the budget if more epochs gain too little.
    """

    minutes: float
    cell: str
    num_layers: int
    hidden_size: int
    dropout: float
    recurrent_dropout: float
    epochs: float
    seconds: float


def plans(
    budgets: Sequence[float],
    num_chars: int,
    speed: MachineSpeed,
    *,
    repeated: float,
    vocab_size: int,
) -> list[Plan]:
    """What is chosen for each of some budgets.

    Args:
        budgets: minutes.
        num_chars: characters of the training part.
        speed: of the machine.
        repeated: the fraction of the validation part that the training part has, too.
        vocab_size: V.
    """
    found = []
    for minutes in budgets:
        choice = choose(
            {"minutes": minutes}, num_chars, 60 * minutes, speed.chars_per_second,
            compiled=speed.compiled, repeated=repeated, vocab_size=vocab_size,
        )  # fmt: skip
        model = Config().override(choice.overrides).model
        found.append(
            Plan(
                minutes,
                model.cell,
                model.num_layers,
                model.hidden_size,
                model.dropout,
                model.recurrent_dropout,
                choice.epochs,
                min(60 * minutes, choice.seconds),
            )
        )
    return found
