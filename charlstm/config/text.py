"""How sources become one text, and how it is divided."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import COUNT, FRACTION, Section, option
from charlstm.errors import ConfigError


@dataclass(frozen=True)
class TextConfig(Section):
    """How sources become one text, and how that text is divided."""

    glob: str = option(
        "**/*.txt",
        "Files taken from a folder, whatever their case; hidden ones only where a part of the "
        "pattern begins with a dot.",
        group="Text",
    )
    exclude: tuple[str, ...] = option(
        (),
        "Files and folders left out of a folder: a pattern for a name, or for a path in it "
        "(repeatable).",
        group="Text",
    )
    encoding: str = option(
        "utf-8",
        "Encoding of the text. A UTF-16 or UTF-32 byte order mark is recognised.",
        group="Text",
    )
    encoding_errors: str = option(
        "strict",
        "What to do with invalid bytes.",
        group="Text",
        choices=("strict", "replace", "ignore"),
    )
    keep_newlines: bool = option(
        False, "Keep CRLF and CR line ends (otherwise each becomes LF).", group="Text"
    )
    lowercase: bool = option(False, "Fold the text to lower case.", group="Text")
    min_count: int = option(
        1,
        "Characters seen less often become one replacement character.",
        group="Text",
        within=COUNT,
    )
    val_fraction: float = option(
        0.1,
        "Fraction of the text held out for validation: its last part, before the test part.",
        group="Text",
        within=FRACTION,
    )
    test_fraction: float = option(
        0.0,
        "Fraction of the text held out as a test set: the very last part, which training never "
        "reads.",
        group="Text",
        within=FRACTION,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.val_fraction + self.test_fraction >= 1:
            raise ConfigError(
                f"--val-fraction {self.val_fraction:g} and --test-fraction "
                f"{self.test_fraction:g} leave no text to train on; allowed: a sum below 1."
            )
