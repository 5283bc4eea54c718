"""The network's shape, and what regularises it."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.cells import CELLS, ZONEOUT_CELLS, summaries
from charlstm.config.fields import FRACTION, Range, Section, option
from charlstm.errors import ConfigError


@dataclass(frozen=True)
class ModelConfig(Section):
    """The network's shape."""

    cell: str = option(
        "lstm",
        f"Recurrent cell: {summaries()}.",
        group="Model",
        choices=tuple(CELLS),
        chosen=True,
    )
    direction: str = option(
        "forward",
        "Read from left to right, or from both sides of each character (both: for `charlstm "
        "fill`; such a model cannot write left to right).",
        group="Model",
        choices=("forward", "both"),
    )
    num_layers: int = option(
        1, "Layers, stacked.", group="Model", within=Range(1, 64), flag="--layers"
    )
    hidden_size: int = option(
        512, "Units in each layer.", group="Model", within=Range(1, 65536), chosen=True
    )
    embedding: int = option(
        0,
        "Learn a vector of N numbers for each character in place of its one-hot vector (0): "
        "fewer weights where there are many characters.",
        group="Model",
        within=Range(0, 65536),
        chosen=True,
    )
    residual: bool = option(
        False,
        "Add each layer's input to its output, from the second layer on: for deep stacks (two "
        "layers unless --layers is given).",
        group="Model",
    )
    dense_output: bool = option(
        False,
        "All layers feed the softmax, not the last alone (two layers unless --layers is given).",
        group="Model",
    )
    layer_norm: bool = option(
        False,
        "Layer normalisation of each layer's output: stabilises deep stacks (two layers unless "
        "--layers is given).",
        group="Model",
    )
    dropout: float = option(
        0.2,
        "Fraction of activations dropped between layers and before the softmax in training, "
        "against overfitting.",
        group="Regularisation",
        within=FRACTION,
        chosen=True,
    )
    locked_dropout: float = option(
        0.0,
        "Dropout with one mask for a whole window, so that a unit stays dropped: stronger than "
        "--dropout.",
        group="Regularisation",
        within=FRACTION,
    )
    input_dropout: float = option(
        0.0,
        "Fraction of characters hidden from the first layer in training, against overfitting to "
        "the last few.",
        group="Regularisation",
        within=FRACTION,
    )
    recurrent_dropout: float = option(
        0.0,
        "Fraction of recurrent weights dropped for a window, against overfitting.",
        group="Regularisation",
        within=FRACTION,
        chosen=True,
    )
    logit_scale: float = option(
        1.0,
        "Scales logits after training; values below 1 make predictions less confident "
        "(temperature scaling).",
        group="Regularisation",
        within=Range(0, 10, open_low=True),
        chosen=True,
    )
    zoneout: float = option(
        0.0,
        "Fraction of units that keep their previous state at a step: trains long memory (for "
        "--cell peephole, which is used unless --cell is given).",
        group="Regularisation",
        within=FRACTION,
    )

    @property
    def stack_width(self) -> int:
        """How many numbers a stack of layers gives to the softmax for each character."""
        return self.hidden_size * (self.num_layers if self.dense_output else 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.zoneout and self.cell not in ZONEOUT_CELLS:
            raise ConfigError(
                f"--zoneout {self.zoneout:g} needs --cell {' or '.join(ZONEOUT_CELLS)}: the other "
                "cells run in kernels that take no masks at each step."
            )
        for name, flag in (
            ("residual", "--residual"),
            ("dense_output", "--dense-output"),
            ("layer_norm", "--layer-norm"),
        ):
            if getattr(self, name) and self.num_layers < 2:
                raise ConfigError(
                    f"{flag} works between layers of equal size; with --layers 1 there is "
                    "nothing for it: give --layers 2 or more."
                )
