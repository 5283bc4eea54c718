"""Measurement of training speed on this machine, and of the fastest number of processes."""

from __future__ import annotations

import time

import torch

from charlstm.config import Config, TrainConfig
from charlstm.nn.network import CharLSTM
from charlstm.planner.fitted import REFERENCE
from charlstm.training.device import divide_threads, product_type
from charlstm.training.measured import Measured
from charlstm.training.optim import losses, make_optimizer, take_step
from charlstm.training.process_group import ProcessGroup
from charlstm.training.waiting import LoadWatch

_CPU = torch.device("cpu")
_MEASURE_SECONDS = 0.7  # for each number of processes


def fastest_count(
    group: ProcessGroup, config: Config, vocab_size: int
) -> tuple[int, dict[int, float]]:
    """The number of processes that trains the most characters in a second.

    1, 2, 4, ... and all processes alternate in training the network for a few steps on artificial
    text. They divide the machine's cores among them.

    Args:
        group: all processes of one machine; all of them must call this function.
        config: the configuration, with sizes and precision determined.
        vocab_size: V.

    Returns:
        The number, and characters per second by number; the same in each process.
    """
    counts = sorted({2**k for k in range(group.size.bit_length())} | {group.size})
    counts = [count for count in counts if count <= min(group.size, config.windows.batch_size)]
    speeds = {}
    for count in counts:
        part = group.first(count)
        taken = 0.0 if part is None else _seconds_of_steps(part, config, vocab_size)
        # The leader measures. The other processes wait in this sum for their turn.
        seconds = group.all_reduce([taken if group.is_leader else 0.0])[0]
        speeds[count] = config.windows.batch_size * config.windows.maxlen / seconds
    return max(speeds, key=speeds.__getitem__), speeds


def reference(train: TrainConfig) -> Config:
    """The configuration whose speed is measured: a reference model with the machine options given.

    Only the machine options and the optimizer of `train` are used, so that the reference is the
    same for every model, and no option can contradict it.
    """
    names = ("precision", "kernel", "threads", "optimizer")
    return Config().override({**REFERENCE, **{name: getattr(train, name) for name in names}})


def reference_speed(
    train: TrainConfig, vocab_size: int, device: torch.device, measured: Measured
) -> float:
    """Characters per second of the reference model: an earlier result, or measured now.

    Args:
        train: the machine options.
        vocab_size: V.
        device: where to train.
        measured: earlier results on this machine's processors.
    """
    config = reference(train)
    if device.type != "cpu":
        return speed_of(config, vocab_size, device)
    details = {"config": config.to_json(), "vocab_size": vocab_size}
    speed = measured.speed("speed", **details)
    if speed is None:
        speed = speed_of(config, vocab_size, device)
        measured.keep(speed, "speed", **details)
    return speed


def speed_of(config: Config, vocab_size: int, device: torch.device) -> float:
    """Training speed of a configuration on this machine, in characters per second.

    Args:
        config: the configuration, with sizes and precision determined.
        vocab_size: V.
        device: the device to train on.
    """
    seconds = _seconds_of_steps(ProcessGroup(), config, vocab_size, device)
    return config.windows.batch_size * config.windows.maxlen / seconds


def _seconds_of_steps(
    group: ProcessGroup, config: Config, vocab_size: int, device: torch.device = _CPU
) -> float:
    """Seconds of the fastest of several steps of a process group."""
    divide_threads(config.train.threads, group)
    dtype = product_type(config.train.precision)
    compiled = config.train.kernel == "compiled"
    network = CharLSTM(config.model, vocab_size, dtype=dtype, compiled=compiled).to(device)
    if device.type != "cpu":
        network.generator = torch.Generator(device)
    learner = group.wrap(network, config.windows.maxlen)
    optimizer = make_optimizer(network, config.train)
    streams = config.windows.batch_size
    own = group.shard(streams)
    network.shard = (own, streams) if group.size > 1 else None
    generator = torch.Generator().manual_seed(1)
    shape = (config.windows.maxlen + 1, own.stop - own.start)
    text = torch.randint(vocab_size, shape, generator=generator).to(device)
    state = network.initial_state(shape[1])
    times: list[float] = []
    load = LoadWatch()
    while len(times) < 2 or (sum(times[1:]) < _MEASURE_SECONDS and len(times) < 50):
        load.check()
        start = time.perf_counter()
        logits, _ = learner(text[:-1], state, targets=text[1:])
        loss, _ = losses(logits.flatten(0, 1), text[1:].flatten(), 0.0)
        torch.autograd.backward(loss)
        take_step(optimizer)
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # waits for a GPU
        # The mean of all clocks, so that all processes stop at the same step.
        times.append(group.all_reduce([time.perf_counter() - start])[0] / group.size)
    return min(times[1:])  # the first step includes set-up
