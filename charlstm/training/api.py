"""The arguments of `charlstm.train` and `charlstm.start_training`, checked and made a plan."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from charlstm.config import SECTIONS, MoreConfig, StartConfig
from charlstm.config.arguments import check_path, check_paths
from charlstm.config.fields import check_type
from charlstm.config.keywords import options_from_keywords
from charlstm.errors import ConfigError
from charlstm.training.load import CpuUse
from charlstm.training.plan import TrainPlan, plan_training

Path = str | os.PathLike[str]


def plan_from_keywords(
    texts: Path | Iterable[Path],
    text: str | None,
    resume: Path | bool | None,
    runs_dir: Path | None,
    options: Mapping[str, Any],
) -> TrainPlan:
    """A plan from the arguments of `charlstm.train`.

    Raises:
        ArgumentTypeError: an argument has the wrong type, or there is no such option.
        ConfigError: an option is out of range, or two contradict each other.
        RunError: there is no such run, or the new run's name is taken.
    """
    begun, cpu_use = time.monotonic(), CpuUse.now()
    paths = check_paths(texts)
    given = options_from_keywords(options, *SECTIONS.values(), StartConfig, MoreConfig)
    if resume is not None and not isinstance(resume, bool):
        resume = check_path("resume", resume)
    if text is not None:
        text = check_type("text", text, str, optional=True)
        if paths:
            raise ConfigError("give either the paths of texts or text=, not both.")
        if resume:
            raise ConfigError("text= is for new runs: a resumed run keeps its text. Omit text=.")
    folder = None if runs_dir is None else check_path("runs_dir", runs_dir)
    return plan_training(
        paths, given, text=text, resume=resume, runs_dir=folder, begun=begun, cpu_use=cpu_use
    )
