"""Options that are given but change nothing, because of another option."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from charlstm.config import Config


@dataclass(frozen=True)
class _Rule:
    """When some options change nothing.

    Attributes:
        names: the options' fields.
        applies: whether they change nothing, for a configuration.
        why: the rest of the sentence that begins with "has no effect".
    """

    names: tuple[str, ...]
    applies: Callable[[Config], bool]
    why: str


_RULES = (
    _Rule(
        ("step",),
        lambda config: not config.windows.stateless,
        "without --stateless: the windows of a stream follow each other without a gap.",
    ),
    _Rule(
        ("reset",),
        lambda config: config.windows.stateless,
        "with --stateless: each window starts from a zero state anyway.",
    ),
    _Rule(
        ("decay_every", "decay_rate"),
        lambda config: config.train.schedule != "step",
        "without --schedule step.",
    ),
    _Rule(
        ("decay_after",),
        lambda config: config.train.schedule == "constant",
        "with --schedule constant.",
    ),
    _Rule(
        ("beta1",),
        lambda config: config.train.optimizer == "rmsprop",
        "with --optimizer rmsprop, which has no momentum.",
    ),
    _Rule(
        ("beta2",),
        lambda config: config.train.optimizer == "sgd",
        "with --optimizer sgd, which does not use the squared gradient.",
    ),
    _Rule(
        ("sample_every",),
        lambda config: config.model.direction == "both",
        "with --direction both: such a model cannot write left to right.",
    ),
)


def without_effect(config: Config, given: Mapping[str, Any]) -> list[str]:
    """A sentence for each given option of a new run that changes nothing.

    Args:
        config: of the new run.
        given: the fields that are given on the command line.
    """
    return [
        f"--{name.replace('_', '-')} has no effect {rule.why}"
        for rule in _RULES
        if rule.applies(config)
        for name in rule.names
        if given.get(name)  # 0 asks for nothing
    ]
