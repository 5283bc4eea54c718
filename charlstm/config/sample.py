"""How text is drawn from a model."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import COUNT_OR_ZERO, Range, Section, option
from charlstm.errors import ConfigError


@dataclass(frozen=True)
class SampleConfig(Section):
    """How text is drawn from a model."""

    temperature: float = option(
        0.8,
        "Divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest.",
        group="Sampling",
        within=Range(0, 100),
        flag="--temp",
    )
    top_k: int = option(
        0, "Keep the k likeliest characters (0: all).", group="Sampling", within=COUNT_OR_ZERO
    )
    top_p: float = option(
        1.0,
        "Keep the likeliest characters that together reach this probability.",
        group="Sampling",
        within=Range(0, 1, open_low=True),
    )
    min_p: float = option(
        0.0,
        "Drop characters below this fraction of the likeliest one's probability.",
        group="Sampling",
        within=Range(0, 1),
    )
    precision: str = option(
        "float32",
        "Number format of the products; bfloat16 reads half as much for each character, int8 a "
        "quarter; both round probabilities, and need the extra charlstm[fast].",
        group="Sampling",
        choices=("float32", "bfloat16", "int8"),
    )
    length: int = option(1000, "Characters to write.", group="Sampling", within=COUNT_OR_ZERO)
    seed: int | None = option(
        None,
        "The same seed, options and model give the same text, on the same machine with the same "
        "packages and number of processors (default: a new seed each time).",
        group="Sampling",
        within=Range(0, 2**63 - 1),
    )
    stop: tuple[str, ...] = option(
        (),
        "End before this text (repeatable: before the one that begins first). For a newline see "
        "--escapes.",
        group="Sampling",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "" in self.stop:
            raise ConfigError("--stop '' is empty; give the text before which to end.")
