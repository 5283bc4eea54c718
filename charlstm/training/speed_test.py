"""How fast this machine's processors train, for `charlstm doctor`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from charlstm.config import TrainConfig
from charlstm.doctor.speeds import Speed
from charlstm.planner.fitted import REFERENCE
from charlstm.training.compiling import CompileWatch
from charlstm.training.device import divide_threads, pick_kernel, pick_precision
from charlstm.training.events import Compiling
from charlstm.training.memory import keep_freed_memory
from charlstm.training.process_group import ProcessGroup
from charlstm.training.speed import reference, speed_of

VOCAB_SIZE = 64
"""Distinct characters of the made-up text."""


def measure_speed(
    on_compile: Callable[[Compiling], None] | None = None, vocab_size: int = VOCAB_SIZE
) -> Speed:
    """Choose number format and kernel as `train` does, and train the reference model for a second.

    Args:
        on_compile: receives the progress of compilation, which runs once after an installation.
        vocab_size: V of the model.
    """
    cpu = torch.device("cpu")
    divide_threads(0, ProcessGroup())
    keep_freed_memory()
    precision = pick_precision("auto", cpu)
    watch = CompileWatch(on_compile)
    kernel = pick_kernel("auto", str(REFERENCE["cell"]), precision, cpu, watch=watch)
    config = reference(TrainConfig(precision=precision, kernel=kernel))
    chars = speed_of(config, vocab_size, cpu)
    return Speed(precision, kernel, torch.get_num_threads(), chars)
