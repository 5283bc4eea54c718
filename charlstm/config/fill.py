"""Options of `fill`."""

from __future__ import annotations

from charlstm.config.fields import Range, Section, option, section
from charlstm.errors import ConfigError


@section
class FillConfig(Section):
    """Options of filling in blanks."""

    blank: str = option("_", "The character that stands for a blank.", group="Filling")
    temperature: float = option(
        0.8,
        "Sampling temperature: divides the logits; 0: always the most likely character.",
        group="Filling",
        within=Range(0, 100),
        flag="--temp",
    )
    sweeps: int = option(
        10,
        "Gibbs sampling sweeps: each resamples every blank, given all others.",
        group="Filling",
        within=Range(0, 100_000),
    )
    seed: int | None = option(
        None,
        "Random seed (default: a new one each time). Output is reproducible on the same machine "
        "with the same packages and number of processors.",
        group="Filling",
        within=Range(0, 2**63 - 1),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.blank) != 1:
            raise ConfigError(f"--blank {self.blank!r} must be one character, such as '_'.")
