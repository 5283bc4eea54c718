from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from charlstm.config import Config, DynamicConfig, ModelConfig
from charlstm.errors import CorpusError, DirectionError
from charlstm.inference.language_model import LanguageModel
from charlstm.nn.network import CharLSTM
from charlstm.text.tokenizer import CharTokenizer
from charlstm.training.dynamic import DynamicReader
from charlstm.training.state import weights_of

TEXT = "the light is low and the wind is from the north\n" * 20
TOKENIZER = CharTokenizer.from_text(TEXT)
IDS = TOKENIZER.encode(TEXT)
SHAPE = ModelConfig(hidden_size=24, num_layers=1)
WEIGHTS: Any = weights_of(CharLSTM(SHAPE, len(TOKENIZER), seed=3))


def reader(**options: Any) -> DynamicReader:
    return DynamicReader(WEIGHTS, SHAPE, len(TOKENIZER), DynamicConfig(**options))


def test_without_a_rate_it_is_static_evaluation() -> None:
    model = LanguageModel(WEIGHTS, Config(model=SHAPE), TOKENIZER)
    static = model.score_ids(IDS)
    still = reader(dynamic_rate=0.0)
    for window in (7, 32, 10_000):
        dynamic = reader(dynamic_rate=0.0, dynamic_window=window).score(IDS)
        assert dynamic.count == static.count
        assert dynamic.nats == pytest.approx(static.nats, rel=1e-5)
    still.score(IDS)
    for name, array in still.weights().items():
        np.testing.assert_array_equal(array, WEIGHTS[name])


def test_it_learns_a_text_as_it_goes_and_leaves_the_model_alone() -> None:
    before = {name: array.copy() for name, array in WEIGHTS.items()}
    static = reader(dynamic_rate=0.0).score(IDS).nats_per_char
    learning = reader(dynamic_rate=1e-2, dynamic_decay=0.0)
    assert learning.score(IDS).nats_per_char < static - 0.3
    for name, array in WEIGHTS.items():
        np.testing.assert_array_equal(array, before[name])


def test_the_rule() -> None:
    """One window against the equations of the module's head, written out."""
    one = reader(dynamic_rate=0.01, dynamic_decay=0.0, dynamic_window=len(IDS))
    one.score(IDS)
    network = CharLSTM(SHAPE, len(TOKENIZER), seed=3)
    network.eval()
    ids = torch.from_numpy(IDS.astype(np.int64))
    logits, _ = network(ids[:-1, None], network.initial_state(1))
    torch.autograd.backward(torch.nn.functional.cross_entropy(logits[:, 0], ids[1:]))
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        assert gradient is not None
        scale = gradient.abs()  # after one window, M is g^2
        expected = parameter - 0.01 * gradient / (scale + 1e-3 * scale.mean() + 1e-30)
        np.testing.assert_allclose(one.weights()[name], expected.detach(), rtol=1e-4, atol=1e-6)


def test_it_leans_back() -> None:
    far, near = (
        reader(dynamic_rate=3e-3, dynamic_decay=decay, dynamic_window=16) for decay in (0.0, 0.5)
    )
    for each in (far, near):
        each.score(IDS)
    name = "layers.0.weight_hh"
    distances = [np.abs(each.weights()[name] - WEIGHTS[name]).mean() for each in (far, near)]
    assert distances[1] < 0.5 * distances[0]


def test_what_it_cannot_read() -> None:
    with pytest.raises(CorpusError, match="at least 2"):
        reader().score(IDS[:1])
    with pytest.raises(DirectionError, match="bidirectional"):
        DynamicReader(WEIGHTS, ModelConfig(direction="both"), 5, DynamicConfig())


def test_what_cannot_be_learned_is_not_predicted() -> None:
    """Each window is counted before it is learned from: chance stays chance."""
    ids = np.random.default_rng(5).integers(len(TOKENIZER), size=6000).astype(np.uint8)
    for window in (1, 8, 64):
        score = reader(dynamic_rate=1e-3, dynamic_window=window).score(ids[: 100 * window])
        assert score.nats_per_char > np.log(len(TOKENIZER)) - 0.05
