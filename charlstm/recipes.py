"""What to train with: other programs' settings by name, and a choice made for text and time.

`--recipe NAME` starts from the settings that a program made known; any option given beside it
wins, and what a recipe leaves unsaid keeps this program's default.

Without a recipe, what is not given is chosen: a size by how much the machine can read in the
time, how to hold it back from learning by heart by how often the text is read in it. Where the
tables below come from is told in docs/recipes.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from charlstm.errors import ConfigError

_PLAIN: dict[str, Any] = {
    "dropout": 0.0,
    "schedule": "constant",
    "warmup": 0,
    "weight_decay": 0.0,
    "beta2": 0.999,
    "clip_norm": 0.0,
}

# The classic program: windows of 40 characters, 3 apart, each predicting the one that follows.
_TUTORIAL: dict[str, Any] = {
    **_PLAIN,
    "num_layers": 1,
    "hidden_size": 128,
    "maxlen": 40,
    "step": 3,
    "stateless": True,
    "targets": "last",
    "batch_size": 128,
    "optimizer": "adam",
    "lr": 1e-3,
    "epochs": 10,
}

_STREAMS: dict[str, Any] = {
    **_PLAIN,
    "num_layers": 2,
    "hidden_size": 128,
    "maxlen": 50,
    "batch_size": 50,
    "clip_value": 5.0,
    "epochs": 50,
    "schedule": "step",
}

RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "tutorial": _TUTORIAL,
        "keras": {**_TUTORIAL, "optimizer": "rmsprop", "lr": 1e-2, "beta2": 0.9, "epochs": 40},
        "char-rnn": {
            **_STREAMS,
            "optimizer": "rmsprop",
            "lr": 2e-3,
            "beta2": 0.95,
            "decay_rate": 0.97,
            "decay_after": 10,
            "decay_every": 1,
        },
        "torch-rnn": {
            **_STREAMS,
            "embedding": 64,
            "optimizer": "adam",
            "lr": 2e-3,
            "decay_rate": 0.5,
            "decay_after": 5,
            "decay_every": 5,
        },
        "stacked50": {"num_layers": 2, "hidden_size": 50},
        "stacked128": {"num_layers": 2, "hidden_size": 128},
    }
)


def recipe(name: str) -> Mapping[str, Any]:
    """The overrides of one recipe.

    Raises:
        ConfigError: no recipe of that name.
    """
    if name not in RECIPES:
        raise ConfigError(f"--recipe {name!r} is unknown; choose from: {', '.join(RECIPES)}.")
    return RECIPES[name]


def implied(
    given: Mapping[str, Any], recipe: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Values that given options need, for fields that are not given themselves.

    They take precedence over the recipe and over what is chosen automatically, so that an option
    whose requirement is not stated on the command line is still legal.

    Args:
        given: the fields that are given.
        recipe: the overrides of the recipe that the given options are added to.
    """
    values = {**recipe, **given}
    needed: dict[str, Any] = {}
    if values.get("zoneout"):
        needed["cell"] = "peephole"
    stacked = ("residual", "dense_output", "layer_norm")
    if any(values.get(name) for name in stacked) and values.get("num_layers", 1) < 2:
        needed["num_layers"] = 2
    if values.get("direction") == "both" and values.get("targets") == "last":
        needed["targets"] = "all"
    if values.get("schedule") in ("linear", "cosine") and (values.get("decay_after") or 0) > 1:
        needed["decay_after"] = None  # a recipe's, in epochs of its step schedule
    return {name: value for name, value in needed.items() if name not in given}


DEFAULT_MINUTES = 5.0
"""The time that a model is chosen for where none is given."""

ALWAYS: Mapping[str, Any] = MappingProxyType(
    {
        "cell": "coupled",
        "embedding": 64,
        "maxlen": 64,
        "batch_size": 32,
        "lr": 8e-3,
        "reset": 0.04,
        "weight_decay": 0.1,
    }
)
"""What is chosen for every text and time."""

REFERENCE: Mapping[str, Any] = MappingProxyType({**ALWAYS, "num_layers": 1, "hidden_size": 512})
"""The model whose speed is measured; what others cost is told in it."""

SIZES: Mapping[str, int] = MappingProxyType(
    {"tiny": 128, "small": 256, "medium": 512, "large": 1024}
)
"""Units of `--size`."""


@dataclass(frozen=True)
class _Rung:
    """A size, and when it is worth its time.

    Attributes:
        hidden_size: units of its one layer.
        cost: what a character takes, against the reference.
        least_work: characters that the reference could read in the time, from which on this size
            does better than those below it.
        least_compiled: `least_work` where windows are compiled, which spares large models more.
    """

    hidden_size: int
    cost: float
    least_work: float
    least_compiled: float | None = None

    def least(self, compiled: bool) -> float:
        """From how much work on it is worth its time."""
        return self.least_compiled if compiled and self.least_compiled else self.least_work


_LADDER = (
    _Rung(128, 0.25, 0.0),
    _Rung(256, 0.4, 0.0),
    _Rung(384, 0.62, 6e5),
    _Rung(512, 1.0, 2e6),
    _Rung(768, 2.2, 2.5e7, 7e6),
    _Rung(1024, 4.2, 1e8),
)


@dataclass(frozen=True)
class _Restraint:
    """What holds a model back from learning a text by heart.

    Attributes:
        epochs: up to so many passes over the training text, for a model of 512 units or fewer.
        dropout, recurrent_dropout: shares.
        logit_scale: how sure what is learned by then may be.
    """

    epochs: float
    dropout: float
    recurrent_dropout: float
    logit_scale: float


_RESTRAINTS = (
    _Restraint(1.5, 0.0, 0.0, 0.97),
    _Restraint(5.0, 0.1, 0.0, 0.95),
    _Restraint(12.0, 0.2, 0.1, 0.88),
    _Restraint(25.0, 0.4, 0.2, 0.88),
    _Restraint(float("inf"), 0.5, 0.4, 0.87),
)
_RESTRAINED, _MANY_EPOCHS = 512, 25.0
"""The size that the table is for; and how many passes over a text that is not short, or much of
which is repeated, count at most: the last line is too much for it."""

_SHORT_TEXT = 250_000
"""Characters below which a batch of 16 does better: more steps in as many passes."""
_SHORT_BATCH, _SHORT_COST = 16, 1.35
_GROWING, _MOST_GROW = 3e6, 0.55
"""Characters over which windows grow, and the share of a short run that this may be at most."""
_GROWTH_COST = 1.28
"""What a character takes while windows grow, against whole windows."""

_USEFUL_EPOCHS = 60
"""Passes of the reference over the text, beyond which time is no reason for a larger model."""

MOST_EPOCHS = 30
"""More passes teach a text by heart, or gain so little that nobody waits for it unasked."""
PATIENT_EPOCHS = 100
"""The same for a text that gets the last line of `_RESTRAINTS`, where a time is given: held back
that much, it does gain a little."""

_MUCH_REPEATED, _MOST_REPEATED = 0.5, 0.8
"""From the first on, the last line of `_RESTRAINTS` is too much; more than the second counts as the
second, so that no text is read more than five times as often."""


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        overrides: fields of the configuration that were not given.
        chars: how many characters are likely to be read.
        epochs: how often that is the training text.
        most_epochs: how often it may be read at most.
        repeated: the share of the validation text that stands in the training text, too.
    """

    overrides: Mapping[str, Any]
    chars: float
    epochs: float
    most_epochs: int
    repeated: float


def choose(
    given: Mapping[str, Any],
    num_chars: int,
    seconds: float,
    speed: float,
    *,
    compiled: bool = False,
    repeated: float = 0.0,
    processes: int = 1,
) -> Choice:
    """Choose for a text and a time what was not given.

    The choice is legal with what is given: where a given option needs another one (see
    `implied`), that one is chosen, too.

    Args:
        given: the fields that are settled; legal together.
        num_chars: of the training text.
        seconds: for training.
        speed: characters per second that the reference model learns from on this machine.
        compiled: whether its windows are compiled code.
        repeated: the share of the validation text that stands in the training text, too. What is
            to come is then worth knowing by heart, which takes more passes and a larger model.
        processes: that share each batch, which therefore has at least as many windows.
    """
    needed = implied(given)
    settled = {**needed, **given}
    work = speed * seconds
    new = 1 - min(repeated, _MOST_REPEATED)
    held_back = num_chars < _SHORT_TEXT and repeated < _MUCH_REPEATED
    patient = held_back and given.get("minutes")
    most_epochs = round((PATIENT_EPOCHS if patient else MOST_EPOCHS) / new)
    layers, hidden = settled.get("num_layers", 1), given.get("hidden_size")
    if hidden is None:
        useful = min(work, _USEFUL_EPOCHS / new * num_chars)
        rung = [rung for rung in _LADDER if useful >= rung.least(compiled) * layers][-1]
        hidden = rung.hidden_size
    else:
        rung = min(_LADDER, key=lambda rung: abs(rung.hidden_size - hidden))
    cost = rung.cost * layers * (hidden / rung.hidden_size) ** 2
    if given.get("direction") == "both":
        cost *= 2
    batch_size = ALWAYS["batch_size"]
    if num_chars < _SHORT_TEXT:
        batch_size, cost = _SHORT_BATCH, cost * _SHORT_COST
    growing = min(_GROWING, _MOST_GROW * work / cost)
    chars = work / cost - (_GROWTH_COST - 1) * growing
    epochs = given.get("epochs") or most_epochs
    if given.get("minutes") or not given.get("epochs"):  # those given take what they take
        epochs = min(epochs, chars / max(1, num_chars))
    # The larger the model, the sooner it knows a text by heart.
    passes = epochs * max(1, hidden / _RESTRAINED)
    if not held_back:
        passes = min(passes, _MANY_EPOCHS)
    restraint = next(one for one in _RESTRAINTS if passes <= one.epochs)
    chosen = {
        **ALWAYS,
        **needed,
        "batch_size": max(batch_size, processes),
        "grow": round(min(_MOST_GROW, _GROWING / max(1.0, epochs * num_chars)), 2),
        "hidden_size": hidden,
        "dropout": restraint.dropout,
        "recurrent_dropout": restraint.recurrent_dropout,
        "logit_scale": restraint.logit_scale,
        "epochs": most_epochs if given.get("minutes") else max(1, round(epochs)),
    }
    if given.get("stateless"):
        del chosen["reset"]  # each window starts from a zero state anyway
    overrides = {name: value for name, value in chosen.items() if name not in given}
    return Choice(overrides, epochs * num_chars, epochs, most_epochs, repeated)
