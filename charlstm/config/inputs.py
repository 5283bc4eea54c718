"""How commands read the texts that they are given: prompts, texts with blanks, texts to score."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import Section, option
from charlstm.errors import ConfigError

UNKNOWN_POLICIES = ("error", "skip", "replace", "map")


@dataclass(frozen=True)
class InputConfig(Section):
    """What a text's characters stand for."""

    unknown: str = option(
        "error",
        "What to do with characters the model does not know: error; skip; replace (by U+FFFD or a "
        "space); or map: write them as the model's text has them, such as a straight quotation "
        "mark for a curly one.",
        group="Text",
        choices=UNKNOWN_POLICIES,
    )
    escapes: bool | None = option(
        None,
        "Read \\n as a newline and \\t as a tab (also \\r, \\0, \\\\, \\xHH, \\uHHHH and "
        "\\UHHHHHHHH) in texts given as options or arguments; not in files.",
        group="Text",
    )


@dataclass(frozen=True)
class PromptConfig(Section):
    """Where the text to continue comes from."""

    prompt: str | None = option(None, "Text to continue.", group="Prompt")
    prompt_file: str | None = option(
        None,
        "The same from a file (- for stdin). A single line's final newline is not part of it.",
        group="Prompt",
        metavar="FILE",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompt_file is not None:
            raise ConfigError("give --prompt or --prompt-file, not both.")
