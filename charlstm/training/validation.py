"""How well a network predicts held-out text, as `charlstm eval` counts it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from charlstm.inference.both import plan_blocks
from charlstm.inference.scoring import plan_streams
from charlstm.nn.network import CharLSTM
from charlstm.text.tokenizer import Ids

_WINDOW = 128


def validate(network: CharLSTM, ids: Ids, asked_to_stop: Callable[[], bool]) -> float | None:
    """Nats per character of a text, in float32, as `charlstm eval` counts them.

    The state is carried over all of it; for a network that reads both ways, it is the
    pseudo-likelihood.

    Args:
        network: its dropout is off meanwhile, and its generator is not touched.
        ids: the text, shape (T,), T at least 2.
        asked_to_stop: asked now and then.

    Returns:
        The mean over all characters but the first; None if asked to stop before the end.
    """
    nats = 0.0
    with predicting(network):
        for logits, targets in predictions(network, ids):
            if asked_to_stop():
                return None
            losses = nn.functional.cross_entropy(logits, targets, reduction="none")
            nats += float(losses.sum(dtype=torch.float64))
    return nats / (len(ids) - 1)


def predictions(network: CharLSTM, ids: Ids) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """A text's characters but the first, some at a time, and what a network expects of them.

    Args:
        network: while `predicting`.
        ids: the text, shape (T,), T at least 2.

    Returns:
        An iterator of logits, float32, shape (N, V), and targets, shape (N,).
    """
    predict = _both_ways if network.config.direction == "both" else _carried
    return predict(network, ids)


def seconds_per_char(network: CharLSTM) -> float:
    """About how long `validate` takes for each character of a long text."""
    ids = np.zeros(_WINDOW * 64, dtype=np.uint8)
    best = math.inf
    with predicting(network):
        window = _tensor(ids.reshape(_WINDOW, 64), network)
        for _ in range(2):  # the first makes the kernels
            begun = time.perf_counter()
            logits, _ = network(window, network.initial_state(64), targets=window)
            nn.functional.cross_entropy(logits.flatten(0, 1), window.flatten()).item()
            best = min(best, time.perf_counter() - begun)
    return best / window.numel()


@contextmanager
def predicting(network: CharLSTM) -> Iterator[None]:
    """The network in float32 and without dropout, for prediction alone."""
    was_training, dtype = network.training, network.dtype
    network.eval()
    network.dtype = torch.float32
    try:
        with torch.inference_mode():
            yield
    finally:
        network.dtype = dtype
        network.train(was_training)


def _carried(network: CharLSTM, ids: Ids) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    plan = plan_streams(len(ids))
    state = network.initial_state(plan.count)
    for first in range(plan.start, plan.length, _WINDOW):
        last = min(first + _WINDOW, plan.length if first >= 0 else 0)
        if first == 0 and plan.count > 1:
            for part in (part for layer in state for part in layer):
                part[0] = 0.0  # the first stream has no text before its part
        places, counted = plan.positions(first, last)
        inputs, targets = _tensor(ids[places], network), _tensor(ids[places + 1], network)
        logits, state = network(inputs, state)
        mask = torch.from_numpy(counted).to(network.device).flatten()
        yield logits.flatten(0, 1)[mask], targets.flatten()[mask]


def _both_ways(network: CharLSTM, ids: Ids) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for blocks in plan_blocks(len(ids)):
        text = _tensor(ids[blocks.places], network)
        state = network.initial_state(text.shape[1])
        logits, _ = network(text[:-1], state, targets=text[1:])
        counted = slice(blocks.left - 1, blocks.left - 1 + blocks.count)
        yield logits[counted].flatten(0, 1), text[1:][counted].flatten()


def _tensor(ids: Ids, network: CharLSTM) -> torch.Tensor:
    return torch.from_numpy(ids.astype(np.int64)).to(network.device)
