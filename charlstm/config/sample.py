"""Options of `sample`."""

from __future__ import annotations

from charlstm.config.fields import COUNT_OR_ZERO, Range, Section, option, section
from charlstm.errors import ConfigError


@section
class SampleConfig(Section):
    """Options of text generation."""

    temperature: float = option(
        0.8,
        "Sampling temperature: divides the logits; 0: always the most likely character.",
        group="Sampling",
        within=Range(0, 100),
        flag="--temp",
    )
    top_k: int = option(
        0, "Keep the k most likely characters (0: all).", group="Sampling", within=COUNT_OR_ZERO
    )
    top_p: float = option(
        1.0,
        "Keep the most likely characters whose cumulative probability reaches this value.",
        group="Sampling",
        within=Range(0, 1, open_low=True),
    )
    min_p: float = option(
        0.0,
        "Drop characters whose probability is below this fraction of the highest.",
        group="Sampling",
        within=Range(0, 1),
    )
    precision: str = option(
        "float32",
        "Number format of the weights in matrix products: bfloat16 uses half the memory bandwidth, "
        "int8 a quarter. Both round probabilities, and need the extra charlstm[fast].",
        group="Sampling",
        choices=("float32", "bfloat16", "int8"),
    )
    length: int = option(
        1000, "Number of characters to generate.", group="Sampling", within=COUNT_OR_ZERO
    )
    seed: int | None = option(
        None,
        "Random seed (default: a new one each time). Output is reproducible on the same machine "
        "with the same packages and number of processors.",
        group="Sampling",
        within=Range(0, 2**63 - 1),
    )
    stop: tuple[str, ...] = option(
        (),
        "Stop before this text (repeatable: before the first that occurs). For a newline see "
        "--escapes.",
        group="Sampling",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "" in self.stop:
            raise ConfigError("--stop '' is empty; give the text to stop before.")
