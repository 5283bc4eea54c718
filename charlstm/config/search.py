"""Options of a search for better settings."""

from __future__ import annotations

from charlstm.config.fields import COUNT_OR_ZERO, Range, Section, option, section
from charlstm.errors import ConfigError

_MINUTES = Range(0, 1e6)
NOT_FOR_TRIALS = frozenset(
    (
        "minutes",
        "epochs",
        "stop_after",
        "patience",
        "seed",
        "processes",
        "sample_every",
        "freeze",
        "replay",
    )
)
"""Fields of a training run that a search sets itself, or that need another run to start from."""


@section
class SearchConfig(Section):
    """Options of a search: its length, its space, and where results are stored."""

    minutes: float = option(
        0.0,
        "Time budget of the whole search in minutes (0: --trials ends it).",
        group="Search",
        within=_MINUTES,
    )
    trials: int = option(
        0,
        "Number of trials, the automatic choice included (0: as many as --minutes allows, or all "
        "points of a grid).",
        group="Search",
        within=COUNT_OR_ZERO,
    )
    trial_minutes: float = option(
        0.0,
        "Time budget of each trial in minutes (0: --minutes divided among 20 trials, or --trials, "
        "and the final runs).",
        group="Search",
        within=_MINUTES,
    )
    trial_epochs: int = option(
        0,
        "Number of epochs of each trial, instead of a time budget: results do not depend on the "
        "machine's speed (0: with neither --minutes nor --trial-minutes, as many as `train` "
        "chooses).",
        group="Search",
        within=COUNT_OR_ZERO,
    )
    tries: tuple[str, ...] = option(
        (),
        "Values to try for an option: NAME=A,B,C or NAME=LOW..HIGH, with :log for a logarithmic "
        "scale (repeatable; default: values around the automatic choice of learning rate, batch "
        "size, window length, units, layers, cell, dropouts and decay).",
        group="Search",
        flag="--try",
    )
    sampler: str = option(
        "tpe",
        "Optuna's sampler: grid (each combination once), random, or tpe (Tree-structured Parzen "
        "Estimator, which learns from finished trials).",
        group="Search",
        choices=("grid", "random", "tpe"),
    )
    seed: int = option(
        1,
        "Random seed of the proposals and of the trials' training. The final runs use the next two "
        "seeds.",
        group="Search",
        within=Range(0, 2**31 - 3),
    )
    prune: bool = option(
        False,
        "Stop a trial whose loss after an epoch is above the median of the others after as many "
        "epochs (not with time budgets, whose schedules differ in length).",
        group="Search",
        negatable=False,
    )
    jobs: int = option(
        1,
        "Number of local processes that train trials; the processors are divided among them.",
        group="Search",
        within=Range(1, 1024),
    )
    storage: str | None = option(
        None,
        "Optuna storage that several machines share, such as postgresql://user@host/database.",
        group="Search",
        metavar="URL",
        shown_default="a journal file in the search's folder",
    )
    name: str | None = option(
        None,
        "Name of the search: of its folder, and of its study in the storage.",
        group="Search",
        shown_default="the first text's name and -search",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trial_minutes and self.trial_epochs:
            raise ConfigError("--trial-minutes and --trial-epochs contradict each other: omit one.")
        if self.prune and not self.is_in_epochs:
            raise ConfigError(
                "--prune compares trials after equal numbers of epochs: give --trial-epochs, "
                "or --trials without time budgets."
            )

    @property
    def is_in_epochs(self) -> bool:
        """Whether trials have a number of epochs, and not a time budget."""
        return self.trial_epochs > 0 or not (self.minutes or self.trial_minutes)
