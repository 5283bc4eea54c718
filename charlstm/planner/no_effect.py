"""Notices about options that have no effect in combination with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from charlstm.config import Config


@dataclass(frozen=True)
class _Rule:
    """A condition under which options have no effect.

    Attributes:
        names: the options' fields.
        applies: whether the condition holds for a configuration.
        why: the end of the notice, after "has no effect".
    """

    names: tuple[str, ...]
    applies: Callable[[Config], bool]
    why: str


_RULES = (
    _Rule(
        ("split",),
        lambda config: config.text.has_documents and config.text.split != "auto",
        "with --documents: whole documents are held out.",
    ),
    _Rule(
        ("split",),
        lambda config: not config.text.val_fraction and not config.text.test_fraction,
        "with --val-fraction 0 and without --test-fraction: nothing is held out.",
    ),
    _Rule(
        ("step",),
        lambda config: not config.windows.stateless,
        "without --stateless: the windows of a stream are contiguous.",
    ),
    _Rule(
        ("reset",),
        lambda config: config.windows.stateless,
        "with --stateless: each window starts from a zero state.",
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
        ("on_overfit",),
        lambda config: (
            config.train.on_overfit == "decay" and config.train.schedule in ("constant", "step")
        ),
        "with --schedule constant or step, whose rate does not fall to 0.",
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
        "with --direction both: a bidirectional model cannot generate text.",
    ),
)


def without_effect(config: Config, given: Mapping[str, Any]) -> list[str]:
    """A notice for each given option that has no effect on a new run.

    Args:
        config: the new run's configuration.
        given: the fields given.
    """
    return [
        f"--{name.replace('_', '-')} has no effect {rule.why}"
        for rule in _RULES
        if rule.applies(config)
        for name in rule.names
        if given.get(name)  # 0 requests nothing
    ]
