"""From options to a plan: everything that is checked before a text is read or torch is imported."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from charlstm.config import SECTIONS, Config, MoreConfig, StartConfig, check_values
from charlstm.config.fields import Section
from charlstm.errors import ConfigError
from charlstm.planner import presets
from charlstm.planner.rules import implied
from charlstm.runs.find import find_run, runs_dir_from
from charlstm.runs.folder import Run

_Kind = TypeVar("_Kind", bound=Section)


@dataclass(frozen=True)
class TrainPlan:
    """What is to be trained: a new run, or one to resume.

    Attributes:
        texts: files and folders; empty where a run is resumed with the text where it was.
        text: the text itself, in place of `texts`; None: `texts` count.
        given: the fields of the configuration that are given.
        config: a new run's, with the recipe and what is given.
        chooses: whether options that are absent are chosen from corpus size and time budget.
        run: the run to resume; None for a new one.
        more: how much longer to train a resumed run.
        runs_dir: where runs live.
        name: the new run's; None: from the first text's.
        begun: when the time budget began, by `time.monotonic`.
    """

    texts: tuple[str, ...]
    text: str | None
    given: Mapping[str, Any]
    config: Config
    chooses: bool
    run: Run | None
    more: MoreConfig
    runs_dir: Path
    name: str | None
    begun: float = field(default_factory=time.monotonic)


def plan_training(
    texts: Sequence[str],
    options: Mapping[str, Any],
    *,
    text: str | None = None,
    resume: str | bool | None = None,
    runs_dir: str | None = None,
    begun: float | None = None,
) -> TrainPlan:
    """Check what is asked for, as far as that needs neither the text nor torch.

    Args:
        texts: files, folders, or `-` for standard input.
        options: fields of the configuration's sections, of `StartConfig` and `MoreConfig`.
        text: the text itself, in place of `texts`.
        resume: the run to resume, a folder or a name; True: the newest; None or False: none.
        runs_dir: where runs live; None: `$CHARLSTM_RUNS_DIR`, or `checkpoints`.
        begun: when the time budget began, by `time.monotonic`; None: now.

    Raises:
        ConfigError: an option is out of range, or two contradict each other.
        RunError: there is no such run, or the new run's name is taken.
    """
    resumes = resume is not None and resume is not False
    given = check_values({name: options[name] for name in options if _is_field(name)})
    more, start = _section(MoreConfig, options), _section(StartConfig, options)
    if not resumes and not texts and text is None:
        raise ConfigError("give a text to train on, such as: charlstm train corpus.txt")
    _check_contradictions(given, more, start, resumes=resumes)
    if start.size is not None:
        given = {**presets.size(start.size), **given}
    folder = runs_dir_from(runs_dir)
    config, run, chooses = Config(), None, False
    if resumes:
        run = find_run(None if resume is True else str(resume), folder)
    else:
        chooses = start.recipe is None
        recipe = {} if start.recipe is None else dict(presets.recipe(start.recipe))
        recipe |= implied(given, recipe)
        if chooses and given.get("epochs") == 0:  # 0 asks for the automatic choice
            del given["epochs"]
        config = Config().override({**recipe, **given})
        if start.name is not None:
            Run.check_free(folder, start.name)
    return TrainPlan(
        tuple(texts), text, given, config, chooses, run, more, folder, start.name,
        time.monotonic() if begun is None else begun,
    )  # fmt: skip


def _names(kind: type[Section]) -> list[str]:
    return [spec.name for spec in dataclasses.fields(kind)]  # type: ignore[arg-type]


def _is_field(name: str) -> bool:
    return any(name in _names(kind) for kind in SECTIONS.values())


def _section(kind: type[_Kind], options: Mapping[str, Any]) -> _Kind:
    return kind(**{name: options[name] for name in _names(kind) if name in options})


def _check_contradictions(
    given: Mapping[str, Any], more: MoreConfig, start: StartConfig, *, resumes: bool
) -> None:
    if resumes and start != StartConfig():
        raise ConfigError(
            "--name, --recipe and --size are for new runs: leave them out with --resume."
        )
    if more.is_given and not resumes:
        raise ConfigError(
            "--more-epochs and --more-minutes are for --resume: a new run takes --epochs or "
            "--minutes."
        )
    if more.is_given and given.keys() & {"epochs", "minutes"}:
        raise ConfigError(
            "--more-epochs and --more-minutes count from now on, --epochs and --minutes from the "
            "run's start: give one kind."
        )
    if start.size is not None and "hidden_size" in given:
        raise ConfigError("--size and --hidden-size both set the units of a layer: give one.")
