"""Options of `eval`."""

from __future__ import annotations

from charlstm.config.fields import BOUND, COUNT, Range, Section, option, section
from charlstm.errors import ConfigError

_DEFAULT_WINDOW = 64
UNITS = ("line", "document", "file")
SCORES = ("peaks", "highest", "mean", "total")


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
    by: str | None = option(
        None,
        "Score each line, document or file of TEXTS from its own beginning, one row each.",
        group="Many scores",
        choices=UNITS,
    )
    score: str | None = option(
        None,
        "What --top, --sort and --min-bits compare: the mean bits of the three most surprising "
        "characters (peaks), the bits of the most surprising one (highest), the bits per character "
        "(mean), or the bits of the whole line, document or file (total).",
        group="Many scores",
        choices=SCORES,
        shown_default=SCORES[0],
    )
    top: int | None = option(
        None,
        "Print the N most surprising rows only, the most surprising first.",
        group="Many scores",
        within=COUNT,
    )
    sort: bool = option(
        False,
        "Print the most surprising row first (default: in the order of TEXTS).",
        group="Many scores",
        negatable=False,
    )
    min_bits: float | None = option(
        None,
        "Print only rows whose --score is at least X bits.",
        group="Many scores",
        within=BOUND,
    )
    dynamic: bool = option(
        False,
        "Also report dynamic evaluation: each window is predicted, then trained on.",
        group="Dynamic",
        negatable=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_by()
        if self.dynamic and self.protocol == "cold":
            raise ConfigError("--dynamic does not support --protocol cold: omit one.")
        if self.window is not None and self.protocol == "carried":
            raise ConfigError("--window requires --protocol cold: add it, or omit --window.")

    def _check_by(self) -> None:
        for name in ("score", "top", "sort", "min_bits"):
            value = getattr(self, name)
            if self.by is None and value is not None and value is not False:
                flag = "--" + name.replace("_", "-")
                raise ConfigError(f"{flag} requires --by: add --by line, or omit {flag}.")
        if self.by is None:
            return
        if self.score is not None and not (self.top or self.sort or self.min_bits is not None):
            raise ConfigError("--score requires --top, --sort or --min-bits: add one, or omit it.")
        for flag, is_given in (
            ("--split", self.split is not None),
            ("--dynamic", self.dynamic),
            ("--protocol cold", self.protocol == "cold"),
        ):
            if is_given:
                raise ConfigError(f"--by does not support {flag}: omit one.")

    @property
    def cold_window(self) -> int:
        """Window length of the cold protocol; 0 for the carried protocol."""
        if self.protocol == "carried":
            return 0
        return _DEFAULT_WINDOW if self.window is None else self.window
