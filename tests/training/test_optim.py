from __future__ import annotations

import numpy as np
import pytest
import torch

from charlstm.config import Config, ModelConfig, TrainConfig
from charlstm.errors import CheckpointError
from charlstm.nn.network import CharLSTM
from charlstm.planner.presets import recipe
from charlstm.training.optim import (
    learning_rate,
    losses,
    make_optimizer,
    optimizer_arrays,
    restore_optimizer,
    shrink,
)

OPTIMIZERS = ("adamw", "adam", "rmsprop", "sgd")


def rates(config: TrainConfig, total: int = 100, per_epoch: int = 10) -> list[float]:
    return [
        learning_rate(config, step, step // per_epoch, step / total) for step in range(total + 1)
    ]


def test_constant_with_warmup() -> None:
    found = rates(TrainConfig(lr=1.0, schedule="constant", warmup=4))
    assert found[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert found[-1] == 1.0


@pytest.mark.parametrize(("schedule", "middle"), [("linear", 0.5), ("cosine", 0.5)])
def test_decay_to_zero(schedule: str, middle: float) -> None:
    found = rates(TrainConfig(lr=1.0, schedule=schedule, warmup=0, decay_after=0.4))
    assert found[40] == 1.0
    assert found[70] == pytest.approx(middle)
    assert found[100] == pytest.approx(0.0)
    assert found == sorted(found, reverse=True)


def test_char_rnn_s_decay() -> None:
    config = Config().override({**recipe("char-rnn"), "lr": 1.0}).train
    found = [learning_rate(config, epoch, epoch, epoch / 50) for epoch in (0, 9, 10, 11, 20)]
    assert found == pytest.approx([1, 1, 0.97, 0.97**2, 0.97**11])


def test_torch_rnn_s_decay() -> None:
    config = Config().override({**recipe("torch-rnn"), "lr": 1.0}).train
    found = [learning_rate(config, epoch, epoch, epoch / 50) for epoch in (4, 5, 9, 10, 15)]
    assert found == [1, 0.5, 0.5, 0.25, 0.125]


def build(name: str) -> tuple[CharLSTM, torch.optim.Optimizer, TrainConfig]:
    config = TrainConfig(optimizer=name, lr=0.01)
    network = CharLSTM(ModelConfig(num_layers=1, hidden_size=4, dropout=0.0), 3)
    return network, make_optimizer(network, config), config


def learn(network: CharLSTM, optimizer: torch.optim.Optimizer, steps: int) -> None:
    ids = torch.tensor([[0, 1], [2, 0], [1, 1]])
    for _ in range(steps):
        logits, _state = network(ids, network.initial_state(2))
        torch.autograd.backward(logits.square().sum())
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_memory_survives_to_the_bit(name: str) -> None:
    network, optimizer, config = build(name)
    learn(network, optimizer, 3)
    arrays = {k: v.copy() for k, v in optimizer_arrays(network, optimizer).items()}
    twin, other, _ = build(name)
    twin.load_state_dict(network.state_dict())
    restore_optimizer(twin, other, arrays, config)
    learn(network, optimizer, 3)
    learn(twin, other, 3)
    for a, b in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


def test_memory_that_does_not_fit_is_refused() -> None:
    network, optimizer, config = build("adamw")
    learn(network, optimizer, 1)
    good = optimizer_arrays(network, optimizer)
    for change in (
        {"head.bias.exp_avg": np.zeros(9, dtype=np.float32)},
        {"head.bias.step": np.zeros(3, dtype=np.float32)},
        {"other.exp_avg": np.zeros(3, dtype=np.float32)},
    ):
        with pytest.raises(CheckpointError, match="optimizer"):
            restore_optimizer(network, optimizer, {**good, **change}, config)


def test_biases_are_exempt_from_weight_decay() -> None:
    _, optimizer, config = build("adamw")
    decays = {group["weight_decay"]: group["params"] for group in optimizer.param_groups}
    assert all(p.ndim == 2 for p in decays[config.weight_decay])
    assert all(p.ndim == 1 for p in decays[0.0])


@pytest.mark.parametrize("kind", ["adam", "rmsprop", "sgd"])
def test_decay_is_apart_from_the_gradient(kind: str) -> None:
    """A step without a gradient multiplies matrices by 1 - lr * decay, and nothing else."""
    network = CharLSTM(ModelConfig(num_layers=2, hidden_size=6, layer_norm=True), 5)
    config = TrainConfig(optimizer=kind, lr=0.1, weight_decay=0.5, l1=0.0)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, config)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    shrink(optimizer, config)
    for name, parameter in network.named_parameters():
        factor = 0.95 if parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name])


def test_l1_moves_matrices_to_exact_zeros() -> None:
    network = CharLSTM(ModelConfig(num_layers=1, hidden_size=6), 5)
    config = TrainConfig(optimizer="sgd", lr=0.1, weight_decay=0.0, l1=1.0)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = make_optimizer(network, config)
    shrink(optimizer, config)
    for name, parameter in network.named_parameters():
        old = before[name]
        expected = old.sign() * (old.abs() - 0.1).clamp(min=0) if old.ndim > 1 else old
        torch.testing.assert_close(parameter.detach(), expected)
    assert (network.cells[0].get_parameter("weight_hh") == 0).any()


def test_label_smoothing_is_torch_s() -> None:
    logits, targets = torch.randn(7, 5), torch.randint(5, (7,))
    shown, minimised = losses(logits, targets, 0.2)
    torch.testing.assert_close(shown, torch.nn.functional.cross_entropy(logits, targets))
    torch.testing.assert_close(
        minimised, torch.nn.functional.cross_entropy(logits, targets, label_smoothing=0.2)
    )
    shown, minimised = losses(logits, targets, 0.0)
    assert shown is minimised
