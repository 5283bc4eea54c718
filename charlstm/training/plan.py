"""The plan of a training: options, checked before a text is read or torch is imported."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from charlstm.config import (
    SECTIONS,
    Config,
    FineTuneConfig,
    MoreConfig,
    StartConfig,
    check_values,
)
from charlstm.config.fields import Section
from charlstm.errors import ConfigError
from charlstm.planner import presets
from charlstm.planner.rules import implied
from charlstm.runs.find import find_run, runs_dir_from
from charlstm.runs.folder import Run
from charlstm.text.separate import GivenText, check_separate, no_fractions
from charlstm.training.base import Base, load_base
from charlstm.training.load import CpuUse

_Kind = TypeVar("_Kind", bound=Section)


@dataclass(frozen=True)
class TrainPlan:
    """The run to train: a new one, or one to resume.

    Attributes:
        texts: files and folders; empty to resume a run with its recorded files.
        text: the text itself, instead of `texts`; None: use `texts`.
        given: fields of the configuration that were given.
        settled: these and the fields that follow from the base.
        config: the configuration of a new run: defaults, recipe, and given fields.
        chooses: whether fields that were not given are chosen from corpus size and time budget.
        run: the run to resume; None for a new run.
        more: how much longer to train a resumed run.
        runs_dir: the folder of runs.
        name: name of the new run; None: derived from the name of the first text.
        begun: when the time budget began, as `time.monotonic()`.
        cpu_use: processor time when the command began; None: unknown.
        separate: separate texts for validation and testing, by part.
        base: the model that a new run starts from; None: random weights.
    """

    texts: tuple[str, ...]
    text: str | None
    given: Mapping[str, Any]
    settled: Mapping[str, Any]
    config: Config
    chooses: bool
    run: Run | None
    more: MoreConfig
    runs_dir: Path
    name: str | None
    begun: float = field(default_factory=time.monotonic)
    cpu_use: CpuUse | None = None
    separate: Mapping[str, GivenText] = field(default_factory=dict)
    base: Base | None = None


def plan_training(
    texts: Sequence[str],
    options: Mapping[str, Any],
    *,
    text: str | None = None,
    separate: Mapping[str, GivenText] | None = None,
    resume: str | bool | None = None,
    runs_dir: str | None = None,
    begun: float | None = None,
    cpu_use: CpuUse | None = None,
) -> TrainPlan:
    """Check the options, and make a plan. Needs neither the text nor torch.

    Args:
        texts: files, folders, or `-` for standard input.
        options: fields of the configuration's sections, of `StartConfig`, `FineTuneConfig` and
            `MoreConfig`.
        text: the text itself, instead of `texts`.
        separate: separate texts, by part.
        resume: folder or name of the run to resume; True: the newest run; None or False: a new run.
        runs_dir: the folder of runs; None: `$CHARLSTM_RUNS_DIR`, or `checkpoints`.
        begun: when the time budget began, as `time.monotonic()`; None: now.
        cpu_use: processor time when the command began; None: unknown.

    Raises:
        ConfigError: an option is out of range, or two contradict each other.
        RunError: there is no such run, or the new run's name is taken.
        CheckpointError: the model to start from is damaged.
    """
    resumes = resume is not None and resume is not False
    given = check_values({name: options[name] for name in options if _is_field(name)})
    more, start = _section(MoreConfig, options), _section(StartConfig, options)
    tuning = _section(FineTuneConfig, options)
    if not resumes and not texts and text is None:
        raise ConfigError("give a text to train on, such as: charlstm train corpus.txt")
    _check_contradictions(given, more, start, tuning, resumes=resumes)
    separate = separate or {}
    if not resumes:
        _check_replay(given, separate, tuning)
    check_separate(texts, separate, given, resumes=resumes)
    if start.size is not None:
        given = {**presets.size(start.size), **given}
    folder = runs_dir_from(runs_dir)
    config, run, base, chooses = Config(), None, None, False
    settled = given
    if resumes:
        run = find_run(None if resume is True else str(resume), folder)
    else:
        chooses = start.recipe is None
        recipe = {} if start.recipe is None else dict(presets.recipe(start.recipe))
        if chooses and given.get("epochs") == 0:  # 0 means the automatic choice
            del given["epochs"]
        if tuning.base is not None:
            base = load_base(
                tuning.base, folder,
                keep_alphabet=tuning.keep_alphabet, any_case="lowercase" in given,
            )  # fmt: skip
            if start.size is not None:
                base.check_shape(presets.size(start.size), f"--size {start.size}")
            base.check_shape(given)
            base.check_shape({**recipe, **given}, f"--recipe {start.recipe}")
            settled = {**base.fixed(), **given}
        recipe |= implied(settled, recipe)
        config = Config().override({**recipe, **settled, **no_fractions(separate)})
        if base is not None:
            base.check_freeze(config.train.freeze)
        if start.name is not None:
            Run.check_free(folder, start.name)
    return TrainPlan(
        tuple(texts), text, given, settled, config, chooses, run, more, folder, start.name,
        time.monotonic() if begun is None else begun, cpu_use, separate, base,
    )  # fmt: skip


def _check_replay(
    given: Mapping[str, Any], separate: Mapping[str, GivenText], tuning: FineTuneConfig
) -> None:
    """Check the options of replaying an old text in a new run.

    Raises:
        ConfigError: one is missing.
    """
    fraction = given.get("replay", 0.0)
    if fraction and "replay" not in separate:
        raise ConfigError(
            f"--replay {fraction:g} requires --replay-text, the old text to mix in: add it, or "
            "omit --replay."
        )
    if "replay" in separate and tuning.base is None:
        raise ConfigError(
            "--replay-text requires --from, the run whose text it is.\nTo train a new model on "
            "both texts, give both as TEXTS."
        )


def _names(kind: type[Section]) -> list[str]:
    return [spec.name for spec in dataclasses.fields(kind)]  # type: ignore[arg-type]


def _is_field(name: str) -> bool:
    return any(name in _names(kind) for kind in SECTIONS.values())


def _section(kind: type[_Kind], options: Mapping[str, Any]) -> _Kind:
    return kind(**{name: options[name] for name in _names(kind) if name in options})


def _check_contradictions(
    given: Mapping[str, Any],
    more: MoreConfig,
    start: StartConfig,
    tuning: FineTuneConfig,
    *,
    resumes: bool,
) -> None:
    if resumes and tuning != FineTuneConfig():
        raise ConfigError(
            "--from and --keep-alphabet are for new runs: a resumed run keeps its weights. Omit "
            "them with --resume."
        )
    if not resumes and tuning.base is None:
        for value, flag in (
            (tuning.keep_alphabet, "--keep-alphabet"),
            (given.get("freeze"), "--freeze"),
        ):
            if value:
                raise ConfigError(f"{flag} requires --from RUN: add it, or omit {flag}.")
    if resumes and start != StartConfig():
        raise ConfigError("--name, --recipe and --size are for new runs: omit them with --resume.")
    if more.is_given and not resumes:
        raise ConfigError(
            "--more-epochs and --more-minutes require --resume. For a new run use --epochs or "
            "--minutes."
        )
    if more.is_given and given.keys() & {"epochs", "minutes"}:
        raise ConfigError(
            "--more-epochs and --more-minutes count from now, --epochs and --minutes from the "
            "start of the run. Omit one kind."
        )
    if start.size is not None and "hidden_size" in given:
        raise ConfigError("--size and --hidden-size contradict each other: omit one.")
