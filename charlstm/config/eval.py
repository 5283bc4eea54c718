"""What `charlstm eval` measures, and how."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import Range, Section, option
from charlstm.errors import ConfigError

_DEFAULT_WINDOW = 64


@dataclass(frozen=True)
class EvalConfig(Section):
    """Which text is scored, and from which state."""

    split: str | None = option(
        None,
        "Without TEXTS: which part of the run's own text.",
        group="Evaluation",
        choices=("val", "test", "train"),
        shown_default="val",
    )
    protocol: str = option(
        "carried",
        "Carry the state over the whole text, or start each window from the zero state (cold).",
        group="Evaluation",
        choices=("carried", "cold"),
    )
    window: int | None = option(
        None,
        "Characters in a cold window.",
        group="Evaluation",
        within=Range(1, 1_000_000),
        shown_default=str(_DEFAULT_WINDOW),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window is not None and self.protocol == "carried":
            raise ConfigError("--window is for --protocol cold: add that, or leave it out.")

    @property
    def cold_window(self) -> int:
        """Characters in a cold window; 0 where the state is carried."""
        if self.protocol == "carried":
            return 0
        return _DEFAULT_WINDOW if self.window is None else self.window
