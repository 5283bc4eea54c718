"""One training step: forward and backward pass over a batch, and an update of the weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from charlstm.config import TrainConfig
from charlstm.nn.starts import Starts
from charlstm.text.batches import Batch
from charlstm.training.deferred_losses import DeferredLosses
from charlstm.training.freeze import set_rates
from charlstm.training.optim import losses as cross_entropies
from charlstm.training.optim import shrink, take_step
from charlstm.training.state import TrainState, process_shard


def train_step(
    state: TrainState, batch: Batch, rate: float, losses: DeferredLosses, *, done: float = 0.0
) -> int:
    """One step of truncated backpropagation through time; changes the state.

    Args:
        state: weights, optimizer, generator and carried state are updated, `progress` is not.
        batch: the streams of all processes.
        rate: the learning rate.
        losses: receives the loss of the step, before the weights change.
        done: progress of the run, 0 to 1; it determines which layers are frozen.

    Returns:
        Number of characters predicted by all processes.

    Raises:
        DivergenceError: the loss or the gradient is not finite, and the device is a CPU.
        DistributedError: another process has ended.
    """
    windows, train = state.config.windows, state.config.train
    network, group = state.network, state.group
    streams = batch.inputs.shape[1]
    state.streams = streams
    own = group.shard(streams)
    # Gradients are averaged over processes, although the sizes of shards may differ.
    weight = (own.stop - own.start) / streams * group.size
    shard = process_shard(group, streams)
    network.shard = (shard, streams) if group.size > 1 else None
    ids = _to_device(batch.inputs[:, shard], network.device)  # (T, B)
    targets = _to_device(batch.targets[:, shard], network.device)  # (T, B)
    if batch.fresh:
        state.carry = network.initial_state(ids.shape[1])
    elif batch.reset is not None:
        kept = torch.from_numpy(~batch.reset[shard]).to(network.device)[:, None]  # (B, 1)
        state.carry = [tuple(part * kept for part in layer) for layer in state.carry]
    starts = None
    if batch.starts is not None:
        starts = Starts(torch.from_numpy(batch.starts[:, shard]), network.device)
    set_rates(state.optimizer, rate, train.freeze, done)
    network.train()
    last_only = windows.targets == "last"
    with group.guard():
        logits, carry = state.learner(
            ids, state.carry, targets=targets, last_only=last_only, starts=starts
        )
        if last_only:
            targets = targets[-1:]  # (1, B)
        loss, objective = cross_entropies(
            logits.flatten(0, 1), targets.flatten(), train.label_smoothing
        )
        torch.autograd.backward(objective * weight)
    for parameter in state.parameters:
        # A window of one character has no input for a backward stack, but a checkpoint must have
        # the optimizer's state of all weights or of none.
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    norm = _clip(state.parameters, train, wait=not losses.late)
    chars = targets.numel()
    total_chars = int(chars // ids.shape[1] * streams)
    losses.add(state.progress.step + 1, loss.detach(), norm, chars if weight else 0, total_chars)
    take_step(state.optimizer)
    shrink(state.optimizer, train)
    state.optimizer.zero_grad(set_to_none=True)
    state.carry = [tuple(part.detach() for part in layer) for layer in carry]
    return total_chars


def _to_device(ids: NDArray[np.int64], device: torch.device) -> Tensor:
    """Ids on the device; the copy to a GPU is asynchronous."""
    tensor = torch.from_numpy(ids)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def _clip(parameters: Sequence[nn.Parameter], train: TrainConfig, *, wait: bool) -> Tensor:
    """Clip gradients as configured.

    Args:
        parameters: parameters with gradients.
        train: the bounds.
        wait: whether to wait for the norm. If it is below the bound, no gradient is scaled.

    Returns:
        The norm of all gradients before clipping.
    """
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    # Below the bound torch multiplies every gradient by 1. On a GPU, waiting takes longer.
    if train.clip_norm and (not wait or float(norm) > train.clip_norm):
        nn.utils.clip_grads_with_norm_(parameters, train.clip_norm, norm)
    if train.clip_value:
        nn.utils.clip_grad_value_(parameters, train.clip_value)
    return norm
