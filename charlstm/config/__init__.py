"""Every option, once: its default, help, range and choices are on a field of these dataclasses.

The command line builds its options from the fields, a checkpoint stores them as JSON, and the
library takes the dataclasses. Nothing here imports anything heavy.
"""

from charlstm.config.dynamic import DynamicConfig
from charlstm.config.eval import EvalConfig
from charlstm.config.fill import FillConfig
from charlstm.config.inputs import InputConfig, PromptConfig
from charlstm.config.model import ModelConfig
from charlstm.config.output import OutputConfig
from charlstm.config.resume import MoreConfig
from charlstm.config.run import SECTIONS, Config, check_values
from charlstm.config.sample import SampleConfig
from charlstm.config.start import StartConfig
from charlstm.config.text import TextConfig
from charlstm.config.train import TrainConfig
from charlstm.config.windows import WindowConfig

__all__ = [
    "SECTIONS",
    "Config",
    "DynamicConfig",
    "EvalConfig",
    "FillConfig",
    "InputConfig",
    "ModelConfig",
    "MoreConfig",
    "OutputConfig",
    "PromptConfig",
    "SampleConfig",
    "StartConfig",
    "TextConfig",
    "TrainConfig",
    "WindowConfig",
    "check_values",
]
