"""How much memory a training takes, estimated from the configuration.

With P weights, batch B, window T, vocabulary V and L layers of H units, a training takes, beside
the process and the text, about

    w P + a T B H L + 24 T B V  bytes.

w is 20 to 26: weights, gradients, and the optimizer's two means of each weight in float32, and
copies in the number format of the products. a is what layers keep for the backward pass. docs/
appendix-measurements.md and benchmarks/RESULTS.md have measured peaks: most are below the estimate,
by up to 54%; two layers of 4,096 units in float32 took 6.7 GB where it is 4.7. A training is an
error only if even the smallest measured fractions of the estimate do not fit.
"""

from __future__ import annotations

import math

import torch

from charlstm.config import Config
from charlstm.errors import MemoryLimitError
from charlstm.layers import network
from charlstm.memory import available_memory
from charlstm.training.events import Notice
from charlstm.training.process_group import ProcessGroup

# Bytes for each of T B H L, by precision and kernel.
_ACTIVATIONS = {
    ("float32", "torch"): 57,
    ("bfloat16", "torch"): 45,
    ("float32", "compiled"): 33,
    ("bfloat16", "compiled"): 22,
}
_WEIGHTS = 26  # bytes for each of P
_MEAN = 4  # bytes for each of P: a mean of the optimizer, an average, the best weights
_LOGITS = 24  # bytes for each of T B V: logits, their softmax and gradients
_PROCESS = {"torch": 280_000_000, "compiled": 400_000_000}
"""Bytes of a process before training, by kernel: the interpreter, torch, numba."""
_CERTAIN_WEIGHTS, _CERTAIN_ACTIVATIONS = 0.7, 0.4
"""Fractions of the estimates below which no measured peak lay (benchmarks/footprint.py)."""


def training_bytes(config: Config, vocab_size: int, processes: int = 1) -> tuple[int, int]:
    """Estimated bytes on one machine: for the weights, and for a window's activations.

    Args:
        config: with all sizes settled.
        vocab_size: V.
        processes: of this machine; each holds all weights, and its shard of the streams.
    """
    model, windows, train = config.model, config.windows, config.train
    shapes = network(model, vocab_size).weight_shapes().values()
    per_weight = _WEIGHTS - _MEAN * (train.optimizer in ("sgd", "rmsprop"))
    per_weight += _MEAN * (train.average > 0) + _MEAN * (train.on_overfit == "decay")
    weights = per_weight * sum(math.prod(shape) for shape in shapes)
    directions = 2 if model.direction == "both" else 1
    units = model.hidden_size * model.num_layers * directions
    kind = (train.precision, train.kernel)
    per_unit = _ACTIVATIONS.get(kind, _ACTIVATIONS["float32", "torch"])
    chars = windows.maxlen * windows.batch_size
    return processes * weights, chars * (per_unit * units + _LOGITS * vocab_size)


def process_bytes(config: Config, vocab_size: int) -> int:
    """Estimated peak of a process that trains; arguments as for `training_bytes`."""
    kernel = "compiled" if config.train.kernel == "compiled" else "torch"
    return _PROCESS[kernel] + sum(training_bytes(config, vocab_size))


def check_memory(
    config: Config, vocab_size: int, device: torch.device, group: ProcessGroup, notice: Notice
) -> None:
    """Check that a training on the machine's processors fits in its memory.

    Args:
        config: with all sizes settled.
        vocab_size: V.
        device: where to train; GPUs are not checked.
        group: the processes.
        notice: receives a warning where it may not fit.

    Raises:
        MemoryLimitError: it cannot fit.
    """
    available = available_memory()
    if device.type != "cpu" or available is None:
        return
    weights, activations = training_bytes(config, vocab_size, group.local_size)
    needed = weights + activations
    if needed <= available:
        return
    lower = ["--hidden-size", "--layers"] if weights > activations else ["--batch-size", "--maxlen"]
    rest = ["--batch-size", "--maxlen"] if weights > activations else ["--hidden-size", "--layers"]
    advice = f"Lower {' or '.join(lower)}, then {' or '.join(rest)}"
    if config.train.precision == "float32":
        advice += ", or use --precision bfloat16"
    sizes = f"about {_gigabytes(needed)} of memory, and {_gigabytes(available)} is available."
    if _CERTAIN_WEIGHTS * weights + _CERTAIN_ACTIVATIONS * activations > available:
        raise MemoryLimitError(f"this training needs {sizes}\n{advice}.")
    notice(f"this training may need {sizes} {advice}, if it fails.")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.0f} MB"
