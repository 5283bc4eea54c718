"""The data that the automatic choice interpolates; measured as docs/appendix-measurements.md says.

"The reference" is the model `REFERENCE`. A model's cost is the time it takes for a character,
relative to the reference. A work of N characters is the time in which the reference reads N.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

DEFAULT_MINUTES = 5.0
"""The time budget where none is given."""

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
"""What is chosen for every text and every time budget."""

REFERENCE: Mapping[str, Any] = MappingProxyType({**ALWAYS, "num_layers": 1, "hidden_size": 512})
"""The model whose speed is measured on the user's machine."""


@dataclass(frozen=True)
class SizeLevel:
    """A hidden size, and from which work on it reaches a lower loss than the smaller ones.

    Attributes:
        hidden_size: units of the model's one layer.
        cost: time for a character, relative to the reference.
        min_work: the least work, in characters of the reference.
        min_work_compiled: the same where training windows run in compiled code, which speeds up
            large models more; None: as `min_work`.
    """

    hidden_size: int
    cost: float
    min_work: float
    min_work_compiled: float | None = None

    def least_work(self, compiled: bool) -> float:
        """The least work, in characters of the reference."""
        if compiled and self.min_work_compiled is not None:
            return self.min_work_compiled
        return self.min_work


SIZE_LEVELS = (
    SizeLevel(128, 0.25, 0.0),
    SizeLevel(256, 0.4, 0.0),
    SizeLevel(384, 0.62, 6e5),
    SizeLevel(512, 1.0, 2e6),
    SizeLevel(768, 2.2, 2.5e7, 7e6),
    SizeLevel(1024, 4.2, 1e8),
)
"""From the smallest to the largest."""


@dataclass(frozen=True)
class Regularisation:
    """How strongly to regularise a model that reads its text that often.

    Attributes:
        max_epochs: the level is for at most this many epochs of a model of
            `REGULARISED_HIDDEN_SIZE` units or fewer; a larger model overfits in proportionally
            fewer.
        dropout, recurrent_dropout: the options' values.
        logit_scale: confidence calibration for the overfitting that remains.
    """

    max_epochs: float
    dropout: float
    recurrent_dropout: float
    logit_scale: float


REGULARISATION_LEVELS = (
    Regularisation(1.5, 0.0, 0.0, 0.97),
    Regularisation(5.0, 0.1, 0.0, 0.95),
    Regularisation(12.0, 0.2, 0.1, 0.88),
    Regularisation(25.0, 0.4, 0.2, 0.88),
    Regularisation(float("inf"), 0.5, 0.4, 0.87),
)
REGULARISED_HIDDEN_SIZE = 512
MAX_COUNTED_EPOCHS = 25.0
"""Epochs that count at most for a text that is not short, or much of which is repeated: the last
level over-regularises it."""

SHORT_TEXT = 250_000
"""Characters below which a smaller batch reaches a lower loss: more steps in as many epochs."""
SHORT_TEXT_BATCH_SIZE, SHORT_TEXT_COST = 16, 1.35

GROW_CHARS, MAX_GROW = 3e6, 0.55
"""Characters over which the window length grows, and the largest fraction of a run for that."""
GROW_COST = 1.28
"""Time for a character while windows are short, relative to whole windows."""

MAX_USEFUL_EPOCHS = 60
"""Epochs of the reference beyond which more time is no reason for a larger model."""

MAX_EPOCHS = 30
"""Beyond this, a model overfits or gains too little for the time it takes."""
MAX_EPOCHS_TIMED = 100
"""The same for a text that gets the last level of regularisation, where a time budget is given:
regularised so strongly, it still gains a little."""

MUCH_REPEATED, MAX_REPEATED = 0.5, 0.8
"""From the first fraction on, the last level of regularisation is too strong. More than the second
counts as the second, so that no text is read more than five times as often."""
