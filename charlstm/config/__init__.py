"""Configuration dataclasses: each option's default, help, range and choices are on one field.

The command line builds its options from the fields, a checkpoint stores them as JSON, and the
library takes the dataclasses. Nothing here imports anything heavy, and a section is imported when
it is used: each makes a command start a millisecond later.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from charlstm.config.check import CheckConfig
    from charlstm.config.dynamic import DynamicConfig
    from charlstm.config.eval import EvalConfig
    from charlstm.config.fetch import FetchConfig
    from charlstm.config.fill import FillConfig
    from charlstm.config.fine_tune import FineTuneConfig
    from charlstm.config.inputs import InputConfig, PromptConfig
    from charlstm.config.model import ModelConfig
    from charlstm.config.output import OutputConfig
    from charlstm.config.resume import MoreConfig, ResumeConfig
    from charlstm.config.run import SECTIONS, Config, check_values
    from charlstm.config.runs import RunsConfig
    from charlstm.config.sample import SampleConfig
    from charlstm.config.search import SearchConfig
    from charlstm.config.start import SeparateConfig, StartConfig
    from charlstm.config.text import TextConfig
    from charlstm.config.train import TrainConfig
    from charlstm.config.windows import WindowConfig

__all__ = [
    "SECTIONS",
    "CheckConfig",
    "Config",
    "DynamicConfig",
    "EvalConfig",
    "FetchConfig",
    "FillConfig",
    "FineTuneConfig",
    "InputConfig",
    "ModelConfig",
    "MoreConfig",
    "OutputConfig",
    "PromptConfig",
    "ResumeConfig",
    "RunsConfig",
    "SampleConfig",
    "SearchConfig",
    "SeparateConfig",
    "StartConfig",
    "TextConfig",
    "TrainConfig",
    "WindowConfig",
    "check_values",
]

_MODULES = {
    "CheckConfig": "check",
    "DynamicConfig": "dynamic",
    "EvalConfig": "eval",
    "FetchConfig": "fetch",
    "FillConfig": "fill",
    "FineTuneConfig": "fine_tune",
    "InputConfig": "inputs",
    "PromptConfig": "inputs",
    "ModelConfig": "model",
    "OutputConfig": "output",
    "MoreConfig": "resume",
    "ResumeConfig": "resume",
    "RunsConfig": "runs",
    "SECTIONS": "run",
    "Config": "run",
    "check_values": "run",
    "SampleConfig": "sample",
    "SearchConfig": "search",
    "SeparateConfig": "start",
    "StartConfig": "start",
    "TextConfig": "text",
    "TrainConfig": "train",
    "WindowConfig": "windows",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"charlstm.config.{_MODULES[name]}"), name)
