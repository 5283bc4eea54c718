"""The arguments of `charlstm.train` and `charlstm.start_training`, checked and made a plan."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from charlstm.config import SECTIONS, FineTuneConfig, MoreConfig, StartConfig
from charlstm.config.arguments import check_path, check_paths
from charlstm.config.fields import check_type
from charlstm.config.keywords import options_from_keywords
from charlstm.errors import ConfigError
from charlstm.text.separate import GivenText
from charlstm.training.load import CpuUse
from charlstm.training.plan import TrainPlan, plan_training

Path = str | os.PathLike[str]
Paths = Path | Iterable[Path]


def plan_from_keywords(
    texts: Paths,
    text: str | None,
    resume: Path | bool | None,
    runs_dir: Path | None,
    options: Mapping[str, Any],
    separate: Mapping[str, tuple[Paths | None, str | None]],
) -> TrainPlan:
    """A plan from the arguments of `charlstm.train`.

    `separate` has the paths and the text of each separate part.

    Raises:
        ArgumentTypeError: an argument has the wrong type, or there is no such option.
        ConfigError: an option is out of range, or two contradict each other.
        RunError: there is no such run, or the new run's name is taken.
    """
    begun, cpu_use = time.monotonic(), CpuUse.now()
    paths = check_paths(texts)
    options = dict(options)
    if options.get("base") is not None:
        options["base"] = check_path("base", options["base"])
    given = options_from_keywords(
        options, *SECTIONS.values(), StartConfig, FineTuneConfig, MoreConfig
    )
    if resume is not None and not isinstance(resume, bool):
        resume = check_path("resume", resume)
    if text is not None:
        text = check_type("text", text, str, optional=True)
        if paths:
            raise ConfigError("give either the paths of texts or text=, not both.")
        if resume:
            raise ConfigError("text= is for new runs: a resumed run keeps its text. Omit text=.")
    apart = {
        part: _separate(part, *own, resumes=bool(resume))
        for part, own in separate.items()
        if own != (None, None)
    }
    folder = None if runs_dir is None else check_path("runs_dir", runs_dir)
    return plan_training(
        paths, given, text=text, separate=apart, resume=resume, runs_dir=folder, begun=begun,
        cpu_use=cpu_use,
    )  # fmt: skip


def _separate(part: str, paths: Paths | None, text: str | None, *, resumes: bool) -> GivenText:
    """A separate text from its two arguments, of which one is given."""
    if text is None:
        name = "replay_text" if part == "replay" else part
        found = check_paths(() if paths is None else paths, name)
        if not any(found):
            raise ConfigError(f"{name}= has no path; give a path, or omit it.")
        return GivenText(tuple(found))
    name = f"{part}_text"
    text = check_type(name, text, str, optional=True)
    if paths is not None:
        raise ConfigError(f"give either {part}= or {part}_text=, not both.")
    if resumes:
        raise ConfigError(
            f"{part}_text= is for new runs: a resumed run keeps its texts. Omit {part}_text=."
        )
    return GivenText(text=text, name=name)
