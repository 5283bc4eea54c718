"""Named presets: settings of other programs (`--recipe`) and model sizes (`--size`).

Given options take precedence over a recipe. Options that a recipe does not set have the default of
their field.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from charlstm.config.fields import check_choice

_PLAIN: dict[str, Any] = {
    "split": "tail",
    "dropout": 0.0,
    "schedule": "constant",
    "warmup": 0,
    "weight_decay": 0.0,
    "beta2": 0.999,
    "clip_norm": 0.0,
}

# Windows of 40 characters, 3 apart, each predicting the character that follows.
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
    """The field values of a recipe.

    Raises:
        ConfigError: the name is unknown.
    """
    check_choice("--recipe", name, RECIPES)
    return RECIPES[name]


SIZES: Mapping[str, int] = MappingProxyType(
    {"tiny": 128, "small": 256, "medium": 512, "large": 1024}
)
"""Hidden size for each `--size`."""


def size(name: str) -> Mapping[str, Any]:
    """The field values of a size.

    Raises:
        ConfigError: the name is unknown.
    """
    check_choice("--size", name, SIZES)
    return {"hidden_size": SIZES[name]}
