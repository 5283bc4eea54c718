"""Scores against a computation of their own: the equations of docs/equations.md in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from charlstm.config import Config, ModelConfig
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.weights import weight_shapes
from charlstm.nn.cells import CELLS
from charlstm.text.tokenizer import CharTokenizer

CHARACTERS = "\n abcdefgh"
Doubles = NDArray[np.float64]


def sigma(x: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-x)))


def cell(
    config: ModelConfig, weights: Mapping[str, Doubles], name: str, x: Doubles, h: Doubles,
    c: Doubles,
) -> tuple[Doubles, Doubles]:  # fmt: skip
    """One step of one layer: its input, its h and c before -> h and c."""
    bias = weights[name + "bias"]
    wx, uh = weights[name + "weight_ih"] @ x, weights[name + "weight_hh"] @ h
    size = len(h)
    if config.cell == "rnn":
        return np.tanh(wx + uh + bias), c
    if config.cell == "gru":
        (wr, wz, wn), (ur, uz, un) = np.split(wx, 3), np.split(uh, 3)
        br, bz, bn, cn = np.split(bias, 4)
        r, z = sigma(wr + ur + br), sigma(wz + uz + bz)
        return (1 - z) * np.tanh(wn + bn + r * (un + cn)) + z * h, c
    a = wx + uh + bias
    if config.cell == "coupled":
        f, g, o = sigma(a[:size]), np.tanh(a[size : 2 * size]), sigma(a[2 * size :])
        new = f * c + (1 - f) * g
        return o * np.tanh(new), new
    ai, af, ag, ao = np.split(a, 4)
    pi, pf, po = (
        np.split(weights[name + "peephole"], 3) if config.cell == "peephole" else np.zeros((3, 1))
    )
    new = sigma(af + pf * c) * c + sigma(ai + pi * c) * np.tanh(ag)
    h_new, keep = sigma(ao + po * new) * np.tanh(new), config.zoneout
    return keep * h + (1 - keep) * h_new, keep * c + (1 - keep) * new


def stack(
    config: ModelConfig, weights: Mapping[str, Doubles], ids: list[int], prefix: str
) -> list[Doubles]:
    """What the softmax reads before the first character, and after each: (W,)."""
    zero = np.zeros(config.hidden_size)
    states = [(zero, zero)] * config.num_layers
    outputs = [np.zeros(config.stack_width)]
    for char_id in ids:
        x = np.eye(len(CHARACTERS))[char_id]
        if config.embedding:
            x = weights["embedding.weight"][char_id]
        passed: list[Doubles] = []
        for layer in range(config.num_layers):
            states[layer] = cell(config, weights, f"{prefix}layers.{layer}.", x, *states[layer])
            h = states[layer][0]
            passed.append(h + passed[-1] if config.residual and layer else h)
            x = passed[-1]
            if config.layer_norm and layer + 1 < config.num_layers:
                norm = f"{prefix}norms.{layer}."
                x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
                x = x * weights[norm + "weight"] + weights[norm + "bias"]
        outputs.append(np.concatenate(passed) if config.dense_output else passed[-1])
    return outputs


def nats_per_char(config: ModelConfig, weights: Mapping[str, Any], ids: list[int]) -> float:
    """The mean of -log p of each character but the first."""
    wide = {name: array.astype(np.float64) for name, array in weights.items()}
    before = stack(config, wide, ids, "")
    after = stack(config, wide, ids[::-1], "backward_")[::-1] if config.direction == "both" else []
    total = 0.0
    for place in range(1, len(ids)):
        sides = [before[place], after[place + 1]] if after else [before[place]]
        y = np.concatenate(sides)
        logits = config.logit_scale * (wide["head.weight"] @ y + wide["head.bias"])
        total += np.log(np.exp(logits - logits[ids[place]]).sum())
    return float(total / (len(ids) - 1))


DEEP = {"residual": True, "layer_norm": True, "dense_output": True, "embedding": 4}
SHAPES: list[dict[str, Any]] = [
    {"num_layers": 1},
    {"num_layers": 3},
    {"num_layers": 1, "embedding": 4, "logit_scale": 0.7},
    {"num_layers": 2, "residual": True},
    {"num_layers": 2, "dense_output": True},
    {"num_layers": 2, "layer_norm": True},
    {"num_layers": 3, "logit_scale": 1.3, **DEEP},
    {"num_layers": 1, "direction": "both"},
    {"num_layers": 2, "direction": "both", **DEEP},
]
CASES = [(name, shape) for name in CELLS for shape in SHAPES]
CASES += [("peephole", {"num_layers": 2, "zoneout": 0.3, **extra}) for extra in ({}, DEEP)]


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_score_equals_float64(name: str, shape: dict[str, Any]) -> None:
    config = ModelConfig(cell=name, hidden_size=6, **shape)
    rng = np.random.default_rng(1)
    weights = {
        key: (0.7 * rng.normal(size=size)).astype(np.float32)
        for key, size in weight_shapes(config, len(CHARACTERS)).items()
    }
    model = LanguageModel(weights, Config(model=config), CharTokenizer(CHARACTERS))
    ids = rng.integers(len(CHARACTERS), size=100).tolist()
    score = model.score(model.tokenizer.decode(ids))
    assert score.count == 99
    assert score.nats_per_char == pytest.approx(nats_per_char(config, weights, ids), abs=1e-6)
