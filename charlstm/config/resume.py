"""Options of resuming a run."""

from __future__ import annotations

from charlstm.config.fields import COUNT, Range, Section, option, section

NEWEST_RUN = "\0newest"
"""The value of `--resume` without a run, which no folder can have as its name."""


@section
class ResumeConfig(Section):
    """The run to resume."""

    resume: str | None = option(
        None,
        "Resume a run exactly where it stopped.",
        group="Start",
        metavar="[RUN]",
        shown_default="the newest run",
        bare=NEWEST_RUN,
    )


@section
class MoreConfig(Section):
    """Additional training of a resumed run."""

    more_epochs: int | None = option(
        None,
        "With --resume: train this many more epochs, regardless of the run's --epochs and "
        "--minutes.",
        group="Training",
        within=COUNT,
    )
    more_minutes: float | None = option(
        None,
        "With --resume: train this many more minutes, regardless of the run's --epochs and "
        "--minutes.",
        group="Training",
        within=Range(0, 1e6, open_low=True),
    )

    @property
    def is_given(self) -> bool:
        """Whether additional training was requested."""
        return self.more_epochs is not None or self.more_minutes is not None
