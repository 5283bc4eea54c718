"""Compilation of the training kernels before training begins.

numba compiles a function on its first call with each combination of types, and caches the result on
disk. After an installation, compilation takes half a minute or more. It is therefore reported, and
not counted as time of the run.
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
    """Reports the progress of compilation, and measures its time.

    Args:
        on_compile: called before the first function is compiled, after each function, and at the
            end. Not called if all functions are loaded from the cache.

    Attributes:
        seconds: duration of the calls of `warm_up` that compiled at least one function.
    """

    def __init__(self, on_compile: Callable[[Compiling], None] | None = None) -> None:
        self._on_compile = on_compile
        self.seconds = 0.0

    def warm_up(self, dtype: torch.dtype) -> None:
        """Compile all functions of `--kernel compiled`, or load them from the cache.

        Runs one training step and one evaluation of a small network with every kind of layer.
        numba's types do not depend on sizes, so larger networks use the same compiled functions.

        Args:
            dtype: the dtype of matrix products.

        Raises:
            Exception: any error of numba, if it does not support the machine.
        """
        from charlstm.kernels.llvm import report_compilation  # noqa: PLC0415 - imports numba

        begun, functions = time.monotonic(), 0
        is_compiling = False

        def report(started: bool) -> None:
            nonlocal functions, is_compiling
            functions += not started
            if not (started and is_compiling):  # compiling a function compiles those it calls
                self._report(functions, begun, done=False)
            is_compiling = True

        with report_compilation(report):
            _call_all_kernels(dtype)
        if is_compiling:
            self.seconds += time.monotonic() - begun
            self._report(functions, begun, done=True)

    def _report(self, functions: int, begun: float, *, done: bool) -> None:
        if self._on_compile is not None:
            self._on_compile(Compiling(functions, time.monotonic() - begun, done))


def _call_all_kernels(dtype: torch.dtype) -> None:
    config = ModelConfig(
        cell="coupled", num_layers=2, hidden_size=2, dropout=0.5, recurrent_dropout=0.5
    )
    network = CharLSTM(config, 2, dtype=dtype, compiled=True)
    network.train()
    ids = torch.zeros(2, 2, dtype=torch.int64)
    logits, _ = network(ids, network.initial_state(2))  # (2, 2, 2)
    torch.autograd.backward(logits.sum())
    validate(network, Part.whole(np.zeros(4, dtype=np.uint8)), lambda: False)  # in float32
