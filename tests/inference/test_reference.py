"""Scores against the equations of each cell's record in float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from charlstm.cells import CELLS, ZONEOUT_CELLS
from charlstm.config import Config, ModelConfig
from charlstm.format.weights import weight_shapes
from charlstm.inference.language_model import LanguageModel
from charlstm.text.tokenizer import CharTokenizer
from tests.equations import Doubles, evaluate

CHARACTERS = "\n abcdefgh"


def stack(
    config: ModelConfig, weights: Mapping[str, Doubles], ids: list[int], prefix: str
) -> list[Doubles]:
    """What the softmax reads before the first character, and after each: (W,)."""
    spec = CELLS[config.cell]
    states = [tuple(np.zeros(config.hidden_size) for _ in spec.state)] * config.num_layers
    outputs = [np.zeros(config.stack_width)]
    for char_id in ids:
        x = np.eye(len(CHARACTERS))[char_id]
        if config.embedding:
            x = weights["embedding.weight"][char_id]
        passed: list[Doubles] = []
        for layer in range(config.num_layers):
            name = f"{prefix}layers.{layer}."
            own = {key: weights[name + key] for key in spec.weight_shapes(0, 0)}
            new = evaluate(spec, own, x, states[layer])
            keep = config.zoneout
            states[layer] = tuple(
                keep * before + (1 - keep) * after
                for before, after in zip(states[layer], new, strict=True)
            )
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
CASES += [
    (name, {"num_layers": 2, "zoneout": 0.3, **extra})
    for name in ZONEOUT_CELLS
    for extra in ({}, DEEP)
]


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
