"""Options of the network: architecture and regularisation."""

from __future__ import annotations

from charlstm.cells import CELLS, ZONEOUT_CELLS, summaries
from charlstm.config.fields import FRACTION, Range, Section, option, section
from charlstm.errors import ConfigError

ZONEOUT_CELL = ZONEOUT_CELLS[0]
"""The cell that `--zoneout` implies if none is given."""


@section
class ModelConfig(Section):
    """Options of the network: architecture and regularisation."""

    cell: str = option(
        "lstm",
        f"Recurrent cell: {summaries()}.",
        group="Model",
        choices=tuple(CELLS),
        chosen=True,
    )
    direction: str = option(
        "forward",
        "Reading direction: forward, or both (bidirectional, for `charlstm fill`; cannot be used "
        "with `charlstm sample`).",
        group="Model",
        choices=("forward", "both"),
    )
    num_layers: int = option(
        1, "Number of recurrent layers.", group="Model", within=Range(1, 64), flag="--layers"
    )
    hidden_size: int = option(
        512, "Number of units in each layer.", group="Model", within=Range(1, 65536), chosen=True
    )
    embedding: int = option(
        0,
        "Size of a learned embedding vector for each character (0: one-hot input). Saves weights "
        "for large vocabularies, and often trains faster.",
        group="Model",
        within=Range(0, 65536),
        chosen=True,
    )
    residual: bool = option(
        False,
        "Residual connections: add each layer's input to its output, from the second layer on "
        "(implies --layers 2 if it is not given).",
        group="Model",
    )
    dense_output: bool = option(
        False,
        "Feed the outputs of all layers to the softmax, not only the last (implies --layers 2 if "
        "it is not given).",
        group="Model",
    )
    layer_norm: bool = option(
        False,
        "Layer normalisation between layers, for deep stacks (implies --layers 2 if it is not "
        "given).",
        group="Model",
    )
    dropout: float = option(
        0.2,
        "Dropout probability between layers and before the softmax.",
        group="Regularisation",
        within=FRACTION,
        chosen=True,
    )
    locked_dropout: float = option(
        0.0,
        "Dropout probability with one mask for all steps of a window (variational dropout).",
        group="Regularisation",
        within=FRACTION,
    )
    input_dropout: float = option(
        0.0,
        "Dropout probability of whole input characters.",
        group="Regularisation",
        within=FRACTION,
    )
    recurrent_dropout: float = option(
        0.0,
        "Dropout probability of recurrent weights, with one mask for each window (weight drop).",
        group="Regularisation",
        within=FRACTION,
        chosen=True,
    )
    logit_scale: float = option(
        1.0,
        "Scales logits after training; values below 1 make predictions less confident (temperature "
        "scaling).",
        group="Regularisation",
        within=Range(0, 10, open_low=True),
        chosen=True,
    )
    zoneout: float = option(
        0.0,
        "Probability that a unit keeps its previous state at a step (implies --cell "
        f"{ZONEOUT_CELL} if --cell is not given).",
        group="Regularisation",
        within=FRACTION,
    )

    @property
    def stack_width(self) -> int:
        """Size of the input of the output layer."""
        return self.hidden_size * (self.num_layers if self.dense_output else 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.zoneout and self.cell not in ZONEOUT_CELLS:
            raise ConfigError(
                f"--zoneout {self.zoneout:g} is not supported by --cell {self.cell}; use --cell "
                f"{' or '.join(ZONEOUT_CELLS)}."
            )
        for name, flag in (
            ("residual", "--residual"),
            ("dense_output", "--dense-output"),
            ("layer_norm", "--layer-norm"),
        ):
            if getattr(self, name) and self.num_layers < 2:
                raise ConfigError(
                    f"{flag} has no effect with --layers 1; allowed: --layers 2 or more."
                )
