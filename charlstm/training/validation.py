"""The validation loss of a network in torch, defined as in `charlstm eval`."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from charlstm.inference.bidirectional import plan_blocks
from charlstm.inference.scoring import plan_streams
from charlstm.nn.network import CharLSTM
from charlstm.text.parts import Part
from charlstm.text.tokenizer import Ids

_WINDOW = 128


def validate(network: CharLSTM, part: Part, asked_to_stop: Callable[[], bool]) -> float | None:
    """The loss on a part of a text, in nats per character, computed in float32.

    The state is carried over each segment. For a bidirectional network, the loss is that of the
    pseudo-likelihood.

    Args:
        network: evaluated without dropout; its random generator is not used.
        part: the part, with at least two characters in a row.
        asked_to_stop: called repeatedly; if it returns True, evaluation ends.

    Returns:
        The mean over all characters but each segment's first; None if asked to stop.
    """
    measure = _pseudo_nats if network.config.direction == "both" else _carried_nats
    with _predicting(network):
        nats = measure(network, part, asked_to_stop)
    return None if nats is None else nats / part.predictions


def seconds_per_char(network: CharLSTM) -> float:
    """An estimate of the seconds that `validate` takes for each character of a long text."""
    ids = np.zeros(_WINDOW * 64, dtype=np.uint8)
    best = math.inf
    with _predicting(network):
        window = _tensor(ids.reshape(_WINDOW, 64), network)
        for _ in range(2):  # the first pass includes set-up
            begun = time.perf_counter()
            logits, _ = network(window, network.initial_state(64), targets=window)
            nn.functional.cross_entropy(logits.flatten(0, 1), window.flatten()).item()
            best = min(best, time.perf_counter() - begun)
    return best / window.numel()


@contextmanager
def _predicting(network: CharLSTM) -> Iterator[None]:
    """A context in which the network computes in float32, without dropout and gradients."""
    was_training, dtype = network.training, network.dtype
    network.eval()
    network.dtype = torch.float32
    try:
        with torch.inference_mode():
            yield
    finally:
        network.dtype = dtype
        network.train(was_training)


def _carried_nats(network: CharLSTM, part: Part, asked_to_stop: Callable[[], bool]) -> float | None:
    nats, ids = 0.0, part.ids
    for plan in plan_streams(part):
        state = network.initial_state(plan.count)
        for first in range(plan.start, plan.length, _WINDOW):
            if asked_to_stop():
                return None
            last = min(first + _WINDOW, plan.length if first >= 0 else 0)
            if first == 0 and plan.start:
                rows = torch.from_numpy(plan.first).to(network.device)
                for array in (array for layer in state for array in layer):
                    array[rows] = 0.0  # these streams have no warm-up
            positions, counted = plan.positions(first, last)
            inputs, targets = _tensor(ids[positions], network), _tensor(ids[positions + 1], network)
            logits, state = network(inputs, state)
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), reduction="none"
            )
            mask = torch.from_numpy(counted).to(network.device).flatten()
            nats += _sum(loss[mask])
    return nats


def _pseudo_nats(network: CharLSTM, part: Part, asked_to_stop: Callable[[], bool]) -> float | None:
    nats = 0.0
    for blocks in plan_blocks(part):
        if asked_to_stop():
            return None
        text = _tensor(part.ids[blocks.positions], network)
        state = network.initial_state(text.shape[1])
        logits, _ = network(text[:-1], state, targets=text[1:])
        counted = slice(blocks.left - 1, blocks.left - 1 + blocks.count)
        loss = nn.functional.cross_entropy(
            logits[counted].flatten(0, 1), text[1:][counted].flatten(), reduction="none"
        )
        nats += _sum(loss)
    return nats


def _sum(losses: torch.Tensor) -> float:
    """A sum in float64, computed on the CPU, as not every device supports float64."""
    return float(losses.cpu().numpy().sum(dtype=np.float64))


def _tensor(ids: Ids, network: CharLSTM) -> torch.Tensor:
    return torch.from_numpy(ids.astype(np.int64)).to(network.device)
