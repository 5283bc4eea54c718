"""How sure a network may be, fitted on text that it does not learn from (Guo et al. 2017).

A network that has read a text many times is too sure of what comes next, whatever holds it back.
Its logits times one number below 1 predict new text better; which number, text tells that was
not learned from. Written and scored with `best.npz`, whose head is scaled so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from charlstm.nn.network import CharLSTM
from charlstm.text.tokenizer import Ids
from charlstm.training.validation import predicting, predictions

_SCALES = np.linspace(0.5, 1.3, 11)
"""The nats are convex in the scale, and nearly a parabola between three of these."""


def fit_scale(network: CharLSTM, ids: Ids, asked_to_stop: Callable[[], bool]) -> float | None:
    """The scale of a network's logits that predicts a text best, from 0.5 to 1.3.

    Args:
        network: its dropout is off meanwhile, and its generator is not touched.
        ids: the text, shape (T,), T at least 2.
        asked_to_stop: asked now and then.

    Returns:
        It; None if asked to stop before the end.
    """
    nats = np.zeros(len(_SCALES))
    with predicting(network):
        for logits, targets in predictions(network, ids):
            if asked_to_stop():
                return None
            for index, scale in enumerate(_SCALES):
                losses = nn.functional.cross_entropy(logits * scale, targets, reduction="none")
                nats[index] += float(losses.sum(dtype=torch.float64))
    lowest = int(nats.argmin())
    if not 0 < lowest < len(_SCALES) - 1:
        return float(_SCALES[lowest])
    before, here, after = nats[lowest - 1 : lowest + 2]
    # The vertex of the parabola through the three; the middle one is lowest, so it is between.
    shift = 0.5 * (before - after) / (before - 2 * here + after)
    return float(_SCALES[lowest] + shift * (_SCALES[1] - _SCALES[0]))


@contextmanager
def scaled(network: CharLSTM, scale: float) -> Iterator[None]:
    """The network with its logits times `scale`; its own weights come back to the bit."""
    parameters = list(network.head.parameters())
    own = [parameter.data for parameter in parameters]
    try:
        if scale != 1:
            for parameter in parameters:
                parameter.data = parameter.data * scale
        yield
    finally:
        for parameter, values in zip(parameters, own, strict=True):
            parameter.data = values
