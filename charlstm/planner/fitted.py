"""Measured data of the automatic choice; docs/appendix-measurements.md describes the method.

The reference model is `REFERENCE`. A model's cost is its time per character, relative to the
reference. Work is time, in characters that the reference processes in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

DEFAULT_MINUTES = 5.0
"""The default time budget."""

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
"""The options chosen for every text and time budget."""

FINE_TUNING_RATES = ((0.75, 2e-3), (1.0, 4e-3))
"""Learning rates of fine-tuning, each up to a loss of the base on the new text, relative to the
text's unigram entropy. Above the last, the base knows nothing of the text, and the rate is that of
other runs."""

REFERENCE: Mapping[str, Any] = MappingProxyType({**ALWAYS, "num_layers": 1, "hidden_size": 512})
"""The model whose speed is measured on the user's machine."""


@dataclass(frozen=True)
class SizeLevel:
    """A hidden size, and the work from which it reaches a lower loss than smaller ones.

    Attributes:
        hidden_size: units of the single layer.
        cost: time per character, relative to the reference.
        min_work: the minimum work.
        min_work_compiled: the minimum work with compiled training windows, which speed up large
            models more; None: as `min_work`.
    """

    hidden_size: int
    cost: float
    min_work: float
    min_work_compiled: float | None = None

    def least_work(self, compiled: bool) -> float:
        """The minimum work, in characters of the reference."""
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
    """The regularisation for a number of epochs.

    Attributes:
        max_epochs: maximum number of epochs for models of up to `REGULARISED_HIDDEN_SIZE` units;
            larger models overfit in proportionally fewer.
        dropout, recurrent_dropout: values of these options.
        logit_scale: calibration for the remaining overfitting.
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
"""Maximum of counted epochs for long or repetitive texts, which the last level over-regularises."""

SMALL_VOCABULARY = 256
"""Number of distinct characters up to which `SizeLevel.cost` is valid without correction."""
SOFTMAX_CHARACTERS = 1500
"""Number of further distinct characters that make the softmax as expensive as the reference layer.

A layer of H units takes 18 H^2 operations per character, the softmax 6 H V: at H = 512 they are
equal for V = 1,536. The softmax grows with H, the layer with its square."""

SHORT_TEXT = 250_000
"""Texts with fewer characters use a smaller batch size: more steps per epoch lower the loss."""
SHORT_TEXT_BATCH_SIZE, SHORT_TEXT_COST = 16, 1.35

GROW_CHARS, MAX_GROW = 3e6, 0.55
"""Length of the window-length curriculum in characters, and its maximum fraction of a run."""
GROW_COST = 1.28
"""Time per character in the curriculum, relative to whole windows."""

MAX_USEFUL_EPOCHS = 60
"""Epochs of the reference beyond which more time does not favour a larger model."""

MAX_EPOCHS = 30
"""Maximum number of epochs; more overfit, or gain too little."""
MAX_EPOCHS_TIMED = 100
"""The maximum with a time budget and the last level of regularisation, which still gains."""

MUCH_REPEATED, MAX_REPEATED = 0.5, 0.8
"""Repeated fractions: from the first on, the last level of regularisation is too strong. The second
is the maximum counted, which limits the number of epochs to five times the usual."""
