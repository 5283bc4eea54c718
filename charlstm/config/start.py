"""Options of a run that are not part of its configuration: its start, and its texts."""

from __future__ import annotations

from charlstm.config.fields import Section, option, section


@section
class StartConfig(Section):
    """Name and preset of a new run."""

    name: str | None = option(
        None, "Name of the run.", group="Start", shown_default="from the first text's name"
    )
    recipe: str | None = option(
        None,
        "Use the settings of a known program or model: tutorial, keras, char-rnn, torch-rnn, "
        "stacked50, stacked128. Other options take precedence.",
        group="Start",
        metavar="NAME",
    )
    size: str | None = option(
        None,
        "Model size: 128, 256, 512 or 1,024 units.",
        group="Model",
        metavar="tiny|small|medium|large",
        shown_default="chosen automatically",
    )


@section
class SeparateConfig(Section):
    """Texts of their own for validation and testing."""

    val: tuple[str, ...] = option(
        (),
        "Text for validation, in place of a part of TEXTS: a file, a folder or - (repeatable).",
        group="Text",
        metavar="FILE",
    )
    test: tuple[str, ...] = option(
        (),
        "Text for testing, not used in training: a file, a folder or - (repeatable).",
        group="Text",
        metavar="FILE",
    )
    replay_text: tuple[str, ...] = option(
        (),
        "With --from: an old text, such as that of RUN. Evaluations show the loss on its "
        "validation part, and --replay mixes it in: a file, a folder or - (repeatable).",
        group="Text",
        metavar="FILE",
    )
