"""The plan of a search: its options, its budgets, and the settings common to all trials."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charlstm.config import SECTIONS, Config, SearchConfig, TextConfig, check_values
from charlstm.errors import ConfigError, Picklable, SearchError
from charlstm.planner.rules import implied
from charlstm.runs.find import runs_dir_from
from charlstm.runs.folder import Run
from charlstm.runs.names import check_name, name_from
from charlstm.search.proposal import propose
from charlstm.search.record import Record
from charlstm.search.space import Space, default_space, parse_space
from charlstm.text.corpus import Corpus, load_corpus
from charlstm.text.separate import GivenText, check_separate, no_fractions
from charlstm.text.sources import find_sources
from charlstm.text.tokenizer import CharTokenizer
from charlstm.training.events import Notice

DEFAULT_TRIALS = 20
TOP, FRESH_SEEDS = 3, 2
"""Number of trials that are trained again, and number of other seeds."""
FINAL_RUNS = (TOP + 1) * FRESH_SEEDS
"""Maximum number of final runs: those of the best trials and of the automatic choice."""


@dataclass(frozen=True)
class SearchPlan:
    """The options of a search, checked without the text and without torch.

    Attributes:
        texts: files and folders.
        given: options for all trials, by field.
        config: the options of the search.
        runs_dir: the folder of runs.
        space: the space of `--try`; without dimensions: the default space is used.
        separate: separate texts for validation and testing, by part.
    """

    texts: tuple[str, ...]
    given: Mapping[str, Any]
    config: SearchConfig
    runs_dir: Path
    space: Space
    separate: Mapping[str, GivenText] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The search's name."""
        return self.config.name or f"{name_from(self.texts[0])}-search"

    @property
    def folder(self) -> Path:
        """The search's folder."""
        return self.runs_dir / self.name

    @property
    def trial_minutes(self) -> float:
        """The time budget of a trial in minutes, given or derived; 0: its budget is in epochs."""
        config = self.config
        if config.is_in_epochs:
            return 0.0
        trials = (config.trials or DEFAULT_TRIALS) + FINAL_RUNS
        # Four digits, so that the full command is readable.
        return config.trial_minutes or float(f"{config.minutes * config.jobs / trials:.4g}")


def plan_search(
    texts: Sequence[str],
    given: Mapping[str, Any],
    config: SearchConfig,
    runs_dir: str | None,
    separate: Mapping[str, GivenText] | None = None,
) -> SearchPlan:
    """Check the options, and make a plan.

    Args:
        texts: files and folders.
        given: options for all trials, by field.
        config: the options of the search.
        runs_dir: the folder of runs; None: the default.
        separate: separate texts for validation and testing, by part.

    Raises:
        ConfigError: an option is out of range, or two contradict each other.
        SearchError: the search's name is that of a run.
    """
    if not texts:
        raise ConfigError("give a text to train on, such as: charlstm search corpus.txt")
    separate = separate or {}
    if "-" in texts or any("-" in own.paths for own in separate.values()):
        raise ConfigError(
            "a search reads its text once for each trial, so it cannot be standard input.\n"
            "Write the text to a file, and give that."
        )
    if not (config.minutes or config.trials or config.sampler == "grid"):
        raise ConfigError("give the length of the search: --minutes, or --trials.")
    given = check_values(given)
    check_separate(texts, separate, given, resumes=False)
    Config().override({**given, **implied(given)})
    space = parse_space(config.tries, given)
    if config.sampler == "grid":
        if not space.dimensions:
            raise ConfigError("--sampler grid needs --try, such as: --try hidden-size=256,512")
        space.grid()
    plan = SearchPlan(tuple(texts), given, config, runs_dir_from(runs_dir), space, separate)
    check_name(plan.name)
    if Run(plan.folder).saved_at() is not None:
        raise SearchError(f"{plan.folder} is a run, not a search.\nGive another --name.")
    if config.minutes and config.trial_minutes:
        _check_room(config)
    return plan


def _check_room(config: SearchConfig) -> None:
    if config.minutes * config.jobs < (2 + FINAL_RUNS) * config.trial_minutes * (1 - 1e-9):
        raise ConfigError(
            f"--minutes {config.minutes:g} is too short for two trials of {config.trial_minutes:g} "
            f"minutes and {FINAL_RUNS} final runs.\nGive at least --minutes "
            f"{(2 + FINAL_RUNS) * config.trial_minutes / config.jobs:g}, or less --trial-minutes."
        )


def load_text(plan: SearchPlan, tokenizer: CharTokenizer | None = None) -> Corpus:
    """A search's text, with its separate texts.

    Args:
        plan: the plan.
        tokenizer: the vocabulary of a run of the search; None: built from the text.

    Raises:
        SourceError: the text cannot be read.
        CorpusError: it cannot be trained on.
        ConfigError: it can be read only once.
    """
    names = {spec.name for spec in dataclasses.fields(TextConfig)}
    given = {name: plan.given[name] for name in names & plan.given.keys()}
    config = TextConfig(**{**given, **no_fractions(plan.separate)})
    own, *apart = (
        find_sources(paths, config.glob, config.exclude, runs_dir=plan.runs_dir)
        for paths in (plan.texts, *(one.paths for one in plan.separate.values()))
    )
    if any(source.path is None for sources in (own, *apart) for source in sources):
        raise ConfigError(
            "a search reads its text once for each trial, so it cannot be a pipe.\n"
            "Write the text to a file, and give that."
        )
    separate = dict(zip(plan.separate, apart, strict=True))
    return load_corpus(own, config, separate=separate, tokenizer=tokenizer)


def digest_of(corpus: Corpus) -> str:
    """The digest of a search's text; with separate texts, of all their digests."""
    if not corpus.separate:
        return corpus.sha256
    parts = {part: own.sha256 for part, own in corpus.separate.items()}
    joined = json.dumps({"text": corpus.sha256, **parts}, sort_keys=True)
    return hashlib.sha256(joined.encode()).hexdigest()


def new_record(plan: SearchPlan, sha256: str, notice: Notice) -> Record:
    """The record of a new search, with the automatic choice for a trial's budget, and the space.

    Args:
        plan: the plan.
        sha256: digest of the text.
        notice: receives messages about what is chosen or reduced.

    Raises:
        CharlstmError: a trial of the automatic choice cannot be set up.
    """
    search, minutes = plan.config, plan.trial_minutes
    chosen = _set_up(plan, minutes, search.trial_epochs, notice)
    values: dict[str, Any] = {}
    for section in ("model", "windows", "train"):
        part = getattr(chosen, section)
        for spec in dataclasses.fields(part):
            # Includes measured choices: a busy machine must not change them between trials.
            if spec.metadata["chosen"] or spec.name in ("precision", "kernel", "num_layers"):
                values[spec.name] = getattr(part, spec.name)
    values |= implied(plan.given)
    values["schedule"] = chosen.train.schedule
    if chosen.train.schedule in ("linear", "cosine"):
        after = chosen.train.decay_after
        values["decay_after"] = 0.4 if after is None else after  # the default
    for one in plan.space.dimensions:  # options that have a plain default
        value = getattr(getattr(chosen, section_of(one.name)), one.name)
        if value is not None:
            values.setdefault(one.name, value)
    automatic = {name: value for name, value in values.items() if name not in plan.given}
    space = plan.space
    if not space.dimensions:
        space = default_space({**values, **plan.given}, plan.given)
        if not space.dimensions:
            raise ConfigError("all options that a search tries by default are given: use --try.")
    propose(space, [], search.sampler, search.seed, {**automatic, **plan.given})  # any is valid
    return Record(
        sha256=sha256,
        given=plan.given,
        automatic=automatic,
        tries=search.tries,
        space=space,
        minutes=minutes,
        epochs=0 if minutes else chosen.train.epochs,
        seed=search.seed,
        prune=search.prune,
    )


def section_of(name: str) -> str:
    """The section that has a field."""
    return next(
        section
        for section, kind in SECTIONS.items()
        if name in {spec.name for spec in dataclasses.fields(kind)}  # type: ignore[arg-type]
    )


class _SetUpError(Picklable, Exception):
    """Ends a set-up when the configuration is known; the run's folder is removed."""

    def __init__(self, config: Config, val_size: int) -> None:
        self.config, self.val_size = config, val_size
        super().__init__()


def _set_up(plan: SearchPlan, minutes: float, epochs: int, notice: Notice) -> Config:
    """The configuration of a run with these budgets.

    Raises:
        CharlstmError: it cannot be set up.
    """
    from charlstm.training.loop import Trainer  # noqa: PLC0415 - torch
    from charlstm.training.plan import plan_training  # noqa: PLC0415
    from charlstm.training.session import Callbacks, start  # noqa: PLC0415 - torch

    def ready(trainer: Trainer) -> None:
        raise _SetUpError(trainer.config, len(trainer.corpus.val))

    place = plan.folder / ".set-up"
    shutil.rmtree(place, ignore_errors=True)  # of a killed process
    options = {**plan.given, "minutes": minutes, "seed": plan.config.seed}
    if epochs:
        options["epochs"] = epochs
    training_plan = plan_training(plan.texts, options, separate=plan.separate, runs_dir=str(place))
    try:
        start(training_plan, Callbacks(notice=notice, warning=notice, ready=ready))
    except _SetUpError as found:
        if found.val_size < 2:
            raise ConfigError(
                "a search compares losses on the validation part, which is missing.\n"
                "Give --val-fraction above 0, or a longer text."
            ) from None
        return found.config
    raise AssertionError("the set-up is ended by `ready`")


def planned_trials(plan: SearchPlan, record: Record) -> float:
    """The number of trials, without the final runs; inf if time or the space ends the search."""
    config = plan.config
    if config.trials:
        return config.trials
    if config.minutes and record.minutes:
        runs = math.floor(config.minutes * config.jobs / record.minutes * (1 + 1e-3))
        return max(2, runs - FINAL_RUNS)
    return math.inf
