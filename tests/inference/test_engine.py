from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.cells import CELLS
from charlstm.config import ModelConfig
from charlstm.errors import CheckpointError
from charlstm.format.weights import weight_shapes
from charlstm.inference.engine import Engine
from charlstm.nn.network import CharLSTM


def pair(layers: int, **options: Any) -> tuple[CharLSTM, dict[str, Any], ModelConfig]:
    """A network with lively weights, those weights, and their configuration."""
    values = {"num_layers": layers, "hidden_size": 24, "dropout": 0.5} | options
    config = ModelConfig(**values)
    network = CharLSTM(config, VOCAB, seed=layers).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            generator = torch.Generator().manual_seed(1)
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
            if name.endswith("weight_hh"):
                # A contraction for every cell: with large recurrent weights a network is chaotic,
                # and differences of rounding grow within a thousand steps.
                blocks = parameter.view(-1, parameter.shape[1], parameter.shape[1])  # (G, H, H)
                norms = torch.linalg.matrix_norm(blocks, ord=2, keepdim=True)
                parameter.copy_((RECURRENT_NORM * blocks / norms).view_as(parameter))
    return network, {name: p.detach().numpy() for name, p in network.named_parameters()}, config


VOCAB = 11
RECURRENT_NORM = 0.5  # spectral norm of each block of the recurrent weights
OPTIONS: list[dict[str, Any]] = [
    {},
    {"embedding": 7},
    {"dense_output": True},
    {"residual": True},
    {"layer_norm": True},
    {"residual": True, "layer_norm": True, "dense_output": True, "embedding": 5},
    {"zoneout": 0.3},
    {"logit_scale": 0.7},
    {"logit_scale": 1.5, "layer_norm": True, "dense_output": True},
]
CASES = [
    (cell, layers, options)
    for cell in CELLS
    for layers in (1, 2, 3)
    for options in OPTIONS
    if (layers > 1 or not options or set(options) <= {"embedding", "zoneout", "logit_scale"})
    and (CELLS[cell].has_zoneout or "zoneout" not in options)
]
QUICK = [
    (cell, layers, options)
    for cell, layers, options in CASES
    if layers == 2 or not options or (layers == 3 and len(options) == 4)
]


@pytest.mark.parametrize(("cell", "layers", "options"), QUICK, ids=str)
def test_logits_equal_torch_s_over_1000_steps(
    cell: str, layers: int, options: dict[str, Any]
) -> None:
    """Each option with two layers; tests/system has every number of layers."""
    check_logits(cell, layers, options)


def check_logits(cell: str, layers: int, options: dict[str, Any]) -> None:
    """The engine's logits are those of torch, step by step, for one stream and for three."""
    network, weights, config = pair(layers, cell=cell, **options)
    engine = Engine(weights, config, VOCAB)
    ids = np.random.default_rng(0).integers(VOCAB, size=(1000, 3))
    with torch.inference_mode():
        expected, _ = network(torch.from_numpy(ids), network.initial_state(3))
    many, one = engine.session(3), engine.session()
    # The comparison is made once: it takes longer than the steps.
    found = np.stack([many.step(row).copy() for row in ids])
    np.testing.assert_allclose(found, expected, atol=1e-4)
    alone = np.stack([one.step(char_id).copy() for char_id in ids[:, 0].tolist()])
    np.testing.assert_allclose(alone, expected[:, 0], atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_spread_and_reset(cell: str) -> None:
    _, weights, config = pair(2, cell=cell)
    engine = Engine(weights, config, VOCAB)
    one = engine.session()
    for char_id in (3, 1, 4):
        one.step(char_id)
    many = one.spread(3)
    np.testing.assert_allclose(many.step(np.array([5, 5, 5]))[1], one.step(5), atol=1e-5)
    many.reset(1)
    fresh = engine.session()
    np.testing.assert_allclose(many.step(np.array([2, 2, 2]))[1], fresh.step(2), atol=1e-5)
    np.testing.assert_allclose(many.step(np.array([2, 2, 2]))[1], fresh.step(2), atol=1e-5)


def test_weights_that_do_not_fit_are_refused() -> None:
    config = ModelConfig(num_layers=1, hidden_size=4)
    good = {
        name: np.zeros(shape, dtype=np.float32) for name, shape in weight_shapes(config, 5).items()
    }
    Engine(good, config, 5)
    for change in (
        {"head.bias": np.zeros(6, dtype=np.float32)},
        {"head.bias": np.zeros(5)},
        {"head.bias": np.full(5, np.nan, dtype=np.float32)},
        {"extra": np.zeros(1, dtype=np.float32)},
    ):
        with pytest.raises(CheckpointError):
            Engine({**good, **change}, config, 5)


def test_a_trained_run_s_engine_equals_its_network(trained: Path) -> None:
    from charlstm.inference.language_model import LanguageModel

    model = LanguageModel.load(trained / "checkpoints" / "play")
    text = (trained / "play.txt").read_text()[:1001]
    from charlstm.config import Config
    from charlstm.format.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(trained / "checkpoints" / "play" / "best.npz")
    config = Config.from_json(checkpoint.meta["config"]).model
    network = CharLSTM(config, len(model.tokenizer)).eval()
    weights = {k: torch.from_numpy(v.copy()) for k, v in checkpoint.part("model").items()}
    network.load_state_dict(weights)
    ids = model.tokenizer.encode(text).astype(np.int64)
    with torch.inference_mode():
        logits, _ = network(torch.from_numpy(ids[:-1, None]), network.initial_state(1))
        loss = torch.nn.functional.cross_entropy(logits[:, 0], torch.from_numpy(ids[1:]))
    assert model.score(text).nats_per_char == pytest.approx(loss.item(), abs=1e-5)
