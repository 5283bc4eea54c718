"""A training state becomes arrays and back, and a step is a function of it."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.config import Config, WindowConfig
from charlstm.errors import CheckpointError, ConfigError
from charlstm.text.batches import Batch
from charlstm.text.parts import Part
from charlstm.text.windows import fit, make_windows
from charlstm.training.deferred_losses import DeferredLosses
from charlstm.training.distributed import DistributedGroup
from charlstm.training.rank import RankInfo
from charlstm.training.replicate import check_processes
from charlstm.training.state import TrainState, weights_of
from charlstm.training.step import train_step

VOCAB_SIZE = 5
IDS = np.random.default_rng(1).integers(VOCAB_SIZE, size=400).astype(np.uint8)
CPU = torch.device("cpu")
VARIANTS: list[dict[str, Any]] = [
    {},
    {"optimizer": "sgd", "cell": "gru", "num_layers": 2},
    {"optimizer": "rmsprop", "stateless": True, "step": 3, "cell": "peephole", "zoneout": 0.1},
    {"optimizer": "adam", "direction": "both", "embedding": 3},
]


def config_of(**options: Any) -> Config:
    return Config().override(
        {
            "hidden_size": 6, "maxlen": 5, "batch_size": 3, "dropout": 0.2, "kernel": "torch",
            "precision": "float32", **options,
        }
    )  # fmt: skip


def train(state: TrainState, steps: range) -> None:
    windows = make_windows(Part.whole(IDS), state.config.windows, state.config.train.seed)
    losses = DeferredLosses(state.config.train, late=False)
    for step in steps:
        train_step(state, windows.batch(0, step), 0.01, losses)
        losses.count(losses.take(), state.progress)
        state.progress.advance(windows.batches_per_epoch)


def assert_same(one: TrainState, other: TrainState) -> None:
    arrays, others = one.to_arrays(), other.to_arrays()
    assert arrays.keys() == others.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
    assert one.progress == other.progress


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@pytest.mark.parametrize("averaged", [0, 2])
def test_a_state_goes_on_from_its_arrays(options: dict[str, Any], averaged: int) -> None:
    config = config_of(**options)
    whole = TrainState.new(config, VOCAB_SIZE, CPU)
    train(whole, range(4))
    for count in range(averaged):
        whole.average.take(count)
    whole.progress.averaged = averaged
    arrays = {name: array.copy() for name, array in whole.to_arrays().items()}
    progress = copy.deepcopy(whole.progress)
    again = TrainState.from_arrays(arrays, progress, config, VOCAB_SIZE, CPU)
    assert_same(again, whole)
    for state in (whole, again):
        train(state, range(4, 9))
    assert_same(again, whole)


@pytest.mark.parametrize(
    "name", ["model/head.bias", "rng/dropout", "carry/0.h", "optimizer/head.bias.exp_avg"]
)
def test_an_array_that_is_missing_or_of_another_shape(name: str) -> None:
    config = config_of()
    state = TrainState.new(config, VOCAB_SIZE, CPU)
    train(state, range(2))
    arrays = state.to_arrays()
    without = {key: array for key, array in arrays.items() if key != name}
    for damaged in (without, without | {name: arrays[name][:-1]}):
        with pytest.raises(CheckpointError, match=r"fit|missing"):
            TrainState.from_arrays(damaged, state.progress, config, VOCAB_SIZE, CPU)


def test_a_state_does_not_depend_on_what_was_drawn_before() -> None:
    one = TrainState.new(config_of(), VOCAB_SIZE, CPU)
    torch.rand(7)
    other = TrainState.new(config_of(), VOCAB_SIZE, CPU)
    for state in (one, other):
        torch.manual_seed(id(state) % 1000)  # nothing draws from torch's own generator
        train(state, range(3))
    assert_same(one, other)


def test_a_step_uses_the_rate_and_counts_its_characters() -> None:
    state = TrainState.new(config_of(dropout=0.0, optimizer="sgd"), VOCAB_SIZE, CPU)
    before = weights_of(state.network)
    losses = DeferredLosses(state.config.train, late=False)
    ids = IDS[:18].reshape(6, 3).astype(np.int64)
    batch = Batch(ids[:-1], ids[1:], fresh=True)
    assert train_step(state, batch, 0.0, losses) == 15
    for name, weights in weights_of(state.network).items():
        np.testing.assert_array_equal(weights, before[name])
    assert len(losses.take()) == 1
    assert train_step(state, batch, 0.1, losses) == 15
    assert any((w != before[name]).any() for name, w in weights_of(state.network).items())


def test_more_processes_than_streams() -> None:
    state = TrainState.new(config_of(batch_size=2), VOCAB_SIZE, CPU)
    with pytest.raises(ConfigError, match=r"--batch-size 2 .* 3 processes"):
        state.distribute(DistributedGroup(RankInfo(0, 3)), 1)


@pytest.mark.parametrize(
    ("num_chars", "windows", "said"),
    [
        (1000, {"batch_size": 1}, "Use --batch-size 3 or more, or at most --processes 1"),
        (17, {"maxlen": 8}, r"text is too short for 3 processes: with --maxlen 8, .* 2 window"),
        (5, {}, r"too short for 3 processes: .*\nUse --processes 1, a smaller --maxlen"),
    ],
)
def test_more_processes_than_a_text_has_streams(
    num_chars: int, windows: dict[str, Any], said: str
) -> None:
    text = Part.whole(np.zeros(num_chars, dtype=np.uint8))
    config = fit(text, WindowConfig(**windows))
    with pytest.raises(ConfigError, match=said):
        check_processes(config, 3, text)
    check_processes(config, config.batch_size, text)
