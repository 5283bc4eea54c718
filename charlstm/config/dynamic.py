"""Options of dynamic evaluation (`--dynamic`)."""

from __future__ import annotations

from charlstm.config.fields import Range, Section, option, section


@section
class DynamicConfig(Section):
    """Options of dynamic evaluation: the model is fine-tuned on the text as it reads it."""

    dynamic_rate: float = option(
        8e-4,
        "Learning rate of the update after each window (--dynamic).",
        group="Dynamic",
        within=Range(0, 1),
    )
    dynamic_decay: float = option(
        5e-3,
        "Decay towards the trained weights after each window (--dynamic).",
        group="Dynamic",
        within=Range(0, 1),
    )
    dynamic_window: int = option(
        32,
        "Window length in characters (--dynamic).",
        group="Dynamic",
        within=Range(1, 1_000_000),
    )
