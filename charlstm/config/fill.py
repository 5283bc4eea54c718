"""How blanks are filled in."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import Range, Section, option
from charlstm.errors import ConfigError


@dataclass(frozen=True)
class FillConfig(Section):
    """How blanks are filled in."""

    blank: str = option("_", "The character that stands for a blank.", group="Filling")
    temperature: float = option(
        0.8,
        "Divides the logits: below 1 safer, above 1 wilder, 0 always the likeliest.",
        group="Filling",
        within=Range(0, 100),
        flag="--temp",
    )
    sweeps: int = option(
        10,
        "How often each blank is drawn anew, given all others.",
        group="Filling",
        within=Range(0, 100_000),
    )
    seed: int | None = option(
        None,
        "The same seed, options and model give the same text, on the same machine with the same "
        "packages and number of processors (default: a new seed each time).",
        group="Filling",
        within=Range(0, 2**63 - 1),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.blank) != 1:
            raise ConfigError(f"--blank {self.blank!r} must be one character, such as '_'.")
