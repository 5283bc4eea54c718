"""Options of `check`."""

from __future__ import annotations

from charlstm.config.fields import Range, Section, option, section

WITHOUT_EFFECT = ("unknown",)
"""Fields of `TextConfig` that have no effect on a check-up: it has no separate parts."""


@section
class CheckConfig(Section):
    """Options of a check-up, beside those of reading and splitting the text."""

    minutes: float | None = option(
        None,
        "Time budget to plan a training for, in minutes.",
        group="Plan",
        within=Range(0, 1e6, open_low=True),
        shown_default="1, 5 and 20",
    )
