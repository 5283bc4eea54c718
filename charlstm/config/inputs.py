"""Options of reading prompts, texts with blanks, and texts to evaluate on."""

from __future__ import annotations

from charlstm.config.fields import Section, check_choice, option, section
from charlstm.errors import ConfigError

UNKNOWN_POLICIES = ("error", "skip", "replace", "map")


def check_unknown_policy(unknown: str) -> None:
    """Check the name of a handling of unknown characters.

    Raises:
        ConfigError: it is none of `UNKNOWN_POLICIES`.
    """
    check_choice("--unknown", unknown, UNKNOWN_POLICIES)


@section
class InputConfig(Section):
    """Options of interpreting the characters of a text."""

    unknown: str = option(
        "error",
        "Handling of characters outside the vocabulary: error; skip; replace (by U+FFFD or a "
        "space); or map (to an equivalent, such as a straight quotation mark for a curly one).",
        group="Text",
        choices=UNKNOWN_POLICIES,
    )
    escapes: bool | None = option(
        None,
        "Read \\n as a newline and \\t as a tab (also \\r, \\0, \\\\, \\xHH, \\uHHHH and "
        "\\UHHHHHHHH) in options and arguments, not in files.",
        group="Text",
    )


@section
class PromptConfig(Section):
    """Options of the prompt, and of training on it."""

    prompt: str | None = option(None, "Text to continue.", group="Prompt")
    prompt_file: str | None = option(
        None,
        "Read the text to continue from a file (- for stdin). The final newline of a single line "
        "is removed.",
        group="Prompt",
        metavar="FILE",
    )
    dynamic: bool = option(
        False,
        "Fine-tune the model on the prompt before continuing it.",
        group="Dynamic",
        negatable=False,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prompt is not None and self.prompt_file is not None:
            raise ConfigError("--prompt and --prompt-file contradict each other: omit one.")
