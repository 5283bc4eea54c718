"""Compiles what training runs, before its time begins.

numba compiles a function at its first call for each combination of types, and keeps the result on
disk. After an installation that takes half a minute or more, so it is reported, and does not count
as time of the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from charlstm.config import ModelConfig
from charlstm.nn.network import CharLSTM
from charlstm.text.parts import Part
from charlstm.training.events import Compiling
from charlstm.training.validation import validate


class CompileWatch:
    """Reports compilation, and sums up the time that it takes.

    Args:
        on_compile: called when a first function is about to be compiled, after each one, and at
            the end; never where all of them are loaded from disk.

    Attributes:
        seconds: spent on warm-ups in which something was compiled.
    """

    def __init__(self, on_compile: Callable[[Compiling], None] | None = None) -> None:
        self._on_compile = on_compile
        self.seconds = 0.0

    def warm_up(self, dtype: torch.dtype) -> None:
        """Compile, or load, all that training with compiled windows calls.

        A small network with every kind of layer reads, learns and is evaluated once. Types do not
        depend on sizes, so larger networks compile nothing more.

        Args:
            dtype: of the products.

        Raises:
            Exception: whatever numba raises on a machine that it does not support.
        """
        from charlstm.kernels.llvm import report_compilation  # noqa: PLC0415 - imports numba

        begun, functions = time.monotonic(), 0
        is_compiling = False

        def report(started: bool) -> None:
            nonlocal functions, is_compiling
            functions += not started
            if not (started and is_compiling):  # one function compiles others that it calls
                self._report(functions, begun, done=False)
            is_compiling = True

        with report_compilation(report):
            _use_all(dtype)
        if is_compiling:
            self.seconds += time.monotonic() - begun
            self._report(functions, begun, done=True)

    def _report(self, functions: int, begun: float, *, done: bool) -> None:
        if self._on_compile is not None:
            self._on_compile(Compiling(functions, time.monotonic() - begun, done))


def _use_all(dtype: torch.dtype) -> None:
    config = ModelConfig(
        cell="coupled", num_layers=2, hidden_size=2, dropout=0.5, recurrent_dropout=0.5
    )
    network = CharLSTM(config, 2, dtype=dtype, compiled=True)
    network.train()
    ids = torch.zeros(2, 2, dtype=torch.int64)
    logits, _ = network(ids, network.initial_state(2))  # (2, 2, 2)
    torch.autograd.backward(logits.sum())
    validate(network, Part.whole(np.zeros(4, dtype=np.uint8)), lambda: False)  # in float32
