"""Optimizers of torch.optim, weight decay, losses, and learning-rate schedules."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from charlstm.config import TrainConfig
from charlstm.errors import CheckpointError
from charlstm.training.freeze import frozen_layers

_DYNAMO = "__dynamo_disable"


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The configured optimizer.

    A first parameter group has the matrices. A second one (biases, peepholes, norms) has no weight
    decay. AdamW implements the decay; for other optimizers `shrink` does. With `--freeze`, each of
    the lowest layers has such groups of its own.
    """
    _skip_dynamo()
    decay = config.weight_decay if config.optimizer == "adamw" else 0.0
    layers = frozen_layers(network, config.freeze) if config.freeze else {}
    groups: list[dict[str, Any]] = []
    for layer in range(config.freeze + 1):
        own = [p for name, p in network.named_parameters() if layers.get(name, 0) == layer]
        matrices, others = ([p for p in own if (p.ndim > 1) == is_matrix] for is_matrix in (1, 0))
        groups += [
            {"params": matrices, "weight_decay": decay, "layer": layer},
            {"params": others, "weight_decay": 0.0, "layer": layer},
        ]
    betas = (config.beta1, config.beta2)
    # One kernel for all parameters where torch has it; mps has none.
    fused = next(network.parameters()).device.type in ("cpu", "cuda")
    match config.optimizer:
        case "adamw":
            return torch.optim.AdamW(groups, lr=config.lr, betas=betas, fused=fused)
        case "adam":
            return torch.optim.Adam(groups, lr=config.lr, betas=betas, fused=fused)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=config.lr, alpha=config.beta2, foreach=True)
        case "sgd":
            return torch.optim.SGD(groups, lr=config.lr, momentum=config.beta1, fused=fused)
    raise AssertionError(config.optimizer)


def take_step(optimizer: torch.optim.Optimizer) -> None:
    """`optimizer.step()`, without its wrappers, the first of which imports torch._dynamo.

    That import takes more than a second, and only torch.compile needs it. What the wrappers do for
    other programs is to turn gradients off, to call hooks and to name the step in a profile.
    """
    step = inspect.unwrap(type(optimizer).step)
    with torch.no_grad():
        step(optimizer)


def _skip_dynamo() -> None:
    """Keep the other methods of optimizers from importing torch._dynamo.

    Their wrapper (`torch._compile`) imports it at the first call, to hide the method from
    torch.compile, and keeps the hidden method as an attribute of the method. Nothing here is
    compiled by torch, so the method itself can stand there. Where torch does this in another way,
    the attribute has no effect. A process that has already imported torch._dynamo is left as it is.
    """
    if "torch._dynamo" in sys.modules:
        return
    for method in vars(torch.optim.Optimizer).values():
        hidden = getattr(method, "__wrapped__", None)
        if hidden is not None and not hasattr(hidden, _DYNAMO):
            setattr(hidden, _DYNAMO, hidden)


def shrink(optimizer: torch.optim.Optimizer, config: TrainConfig) -> None:
    """Apply decoupled weight decay and `--l1` to the matrices after a step.

    Decoupled decay multiplies by 1 - lr * decay (Loshchilov & Hutter 2019). `--l1` is the proximal
    step of the L1 penalty (Daubechies et al. 2004): each weight moves towards zero by at most
    lr * l1, so that weights become exactly zero.
    """
    for group in optimizer.param_groups[::2]:  # those of the matrices
        matrices, rate = group["params"], group["lr"]
        with torch.no_grad():
            if config.weight_decay and config.optimizer != "adamw" and matrices:
                torch._foreach_mul_(matrices, 1.0 - rate * config.weight_decay)
            if config.l1:
                for matrix in matrices:
                    matrix.copy_(nn.functional.softshrink(matrix, rate * config.l1))


def losses(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The cross-entropy, and the training loss with label smoothing.

    Label smoothing (Szegedy et al. 2016) mixes each target with the uniform distribution.

    Args:
        logits: (N, V).
        targets: (N,).
        smoothing: weight of the uniform distribution, 0 to 1; at 0 both losses are equal.

    Returns:
        The cross-entropy, which is reported, and the loss, which is minimised. Both are means over
        N, in nats.
    """
    if not smoothing:
        loss = nn.functional.cross_entropy(logits, targets)
        return loss, loss
    log_probabilities = nn.functional.log_softmax(logits, dim=1)
    loss = nn.functional.nll_loss(log_probabilities, targets)
    return loss, (1 - smoothing) * loss - smoothing * log_probabilities.mean()


def learning_rate(config: TrainConfig, step: int, epoch: int, done: float) -> float:
    """The learning rate of a step.

    Args:
        config: schedule, peak rate, warm-up.
        step: number of steps done, over all epochs.
        epoch: number of epochs done.
        done: progress of the run, 0 to 1; at 1, linear and cosine schedules reach 0.
    """
    rate = config.lr * min(1.0, (step + 1) / max(1, config.warmup))
    if config.schedule == "step":
        after = config.decay_every if config.decay_after is None else config.decay_after
        decays = math.floor((epoch - after) / config.decay_every) + 1 if epoch >= after else 0
        return rate * config.decay_rate**decays
    if config.schedule in ("linear", "cosine"):
        after = 0.4 if config.decay_after is None else config.decay_after
        if done > after:
            left = max(0.0, (1.0 - done) / (1.0 - after))
            rate *= left if config.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left)
    return rate


def optimizer_arrays(
    network: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, NDArray[Any]]:
    """The optimizer's state as arrays named `PARAMETER.KEY`."""
    arrays = {}
    for name, parameter in network.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if value is None:
                continue  # sgd before its first step
            tensor = value if isinstance(value, Tensor) else torch.tensor(float(value))
            arrays[f"{name}.{key}"] = tensor.detach().to("cpu", torch.float32).numpy()
    return arrays


_STATE_KEYS = {
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "rmsprop": {"step", "square_avg"},
    "sgd": {"momentum_buffer"},
}


def restore_optimizer(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    arrays: Mapping[str, NDArray[Any]],
    config: TrainConfig,
) -> None:
    """Restore the optimizer's state from `optimizer_arrays`.

    Raises:
        CheckpointError: the arrays do not fit the optimizer or the network.
    """
    if not arrays:
        return  # saved before the first step
    keys = set(_STATE_KEYS[config.optimizer])
    if config.optimizer == "sgd" and config.beta1 == 0:
        keys = set()
    parameters = dict(network.named_parameters())
    if set(arrays) != {f"{name}.{key}" for name in parameters for key in keys}:
        raise CheckpointError("the optimizer's state does not fit the model.")
    for name, parameter in parameters.items():
        state: dict[str, Tensor] = {}
        for key in sorted(keys):
            array = arrays[f"{name}.{key}"]
            shape = () if key == "step" else tuple(parameter.shape)
            if array.shape != shape or array.dtype != np.float32:
                raise CheckpointError(f"the optimizer's '{name}.{key}' does not fit the model.")
            # A step counter is on the CPU, except with the fused kernel of a device.
            fused = bool(optimizer.defaults.get("fused"))
            device = parameter.device if shape or fused else torch.device("cpu")
            state[key] = torch.from_numpy(array.copy()).to(device)
        optimizer.state[parameter] = state
