"""How well a network predicts held-out text, as `charlstm eval` counts it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from charlstm.inference.scoring import plan_streams
from charlstm.nn.network import CharLSTM
from charlstm.text.tokenizer import Ids

_WINDOW = 128


def validate(network: CharLSTM, ids: Ids, asked_to_stop: Callable[[], bool]) -> float | None:
    """Nats per character of a text, the state carried over all of it, in float32.

    Args:
        network: its dropout is off meanwhile, and its generator is not touched.
        ids: the text, shape (T,), T at least 2.
        asked_to_stop: asked now and then.

    Returns:
        The mean over all characters but the first; None if asked to stop before the end.
    """
    plan = plan_streams(len(ids))
    was_training, dtype = network.training, network.dtype
    network.eval()
    network.dtype = torch.float32
    nats = 0.0
    try:
        with torch.inference_mode():
            state = network.initial_state(plan.count)
            for first in range(plan.start, plan.length, _WINDOW):
                if asked_to_stop():
                    return None
                last = min(first + _WINDOW, plan.length if first >= 0 else 0)
                if first == 0 and plan.count > 1:
                    for part in (part for layer in state for part in layer):
                        part[0] = 0.0  # the first stream has no text before its part
                places, counted = plan.positions(first, last)
                inputs = torch.from_numpy(ids[places].astype(np.int64)).to(network.device)
                targets = torch.from_numpy(ids[places + 1].astype(np.int64)).to(network.device)
                logits, state = network(inputs, state)
                loss = nn.functional.cross_entropy(
                    logits.flatten(0, 1), targets.flatten(), reduction="none"
                )
                mask = torch.from_numpy(counted).to(network.device).flatten()
                nats += float(loss[mask].sum(dtype=torch.float64))
    finally:
        network.dtype = dtype
        network.train(was_training)
    return nats / plan.predictions
