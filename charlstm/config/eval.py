"""Options of `eval`."""

from __future__ import annotations

from charlstm.config.fields import Range, Section, option, section
from charlstm.errors import ConfigError

_DEFAULT_WINDOW = 64


@section
class EvalConfig(Section):
    """Options of evaluation: the text, the initial state, and whether the weights adapt."""

    split: str | None = option(
        None,
        "Without TEXTS: the part of the run's own text to evaluate on.",
        group="Evaluation",
        choices=("val", "test", "train"),
        shown_default="val",
    )
    protocol: str = option(
        "carried",
        "Carry the state over the whole text, or start each window from a zero state (cold).",
        group="Evaluation",
        choices=("carried", "cold"),
    )
    window: int | None = option(
        None,
        "Window length of --protocol cold, in characters.",
        group="Evaluation",
        within=Range(1, 1_000_000),
        shown_default=str(_DEFAULT_WINDOW),
    )

    dynamic: bool = option(
        False,
        "Also report dynamic evaluation: each window is predicted, then trained on.",
        group="Dynamic",
        negatable=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dynamic and self.protocol == "cold":
            raise ConfigError("--dynamic does not support --protocol cold: omit one.")
        if self.window is not None and self.protocol == "carried":
            raise ConfigError("--window requires --protocol cold: add it, or omit --window.")

    @property
    def cold_window(self) -> int:
        """Window length of the cold protocol; 0 for the carried protocol."""
        if self.protocol == "carried":
            return 0
        return _DEFAULT_WINDOW if self.window is None else self.window
