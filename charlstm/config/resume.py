"""What a resumed run is given beside the options of its first start."""

from __future__ import annotations

from dataclasses import dataclass

from charlstm.config.fields import COUNT, Range, Section, option


@dataclass(frozen=True)
class MoreConfig(Section):
    """How much longer a run trains that is resumed."""

    more_epochs: int | None = option(
        None,
        "With --resume: train this many epochs more, whatever the run's --epochs and --minutes.",
        group="Training",
        within=COUNT,
    )
    more_minutes: float | None = option(
        None,
        "With --resume: train this long, from now on, whatever the run's --epochs and --minutes.",
        group="Training",
        within=Range(0, 1e6, open_low=True),
    )

    @property
    def is_given(self) -> bool:
        """Whether the run is to train longer than it was started for."""
        return self.more_epochs is not None or self.more_minutes is not None
