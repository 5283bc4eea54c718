from __future__ import annotations

import pytest
import torch

from charlstm.config import ModelConfig
from charlstm.inference.engine import weight_shapes
from charlstm.nn.network import CharLSTM, dropout_mask, one_hot


def network(dropout: float = 0.0, layers: int = 2) -> CharLSTM:
    return CharLSTM(ModelConfig(num_layers=layers, hidden_size=6, dropout=dropout), 5, seed=3)


def test_names_and_shapes_are_those_of_the_checkpoint() -> None:
    net = network()
    found = {name: tuple(p.shape) for name, p in net.named_parameters()}
    assert found == weight_shapes(net.config, 5)
    assert not list(net.buffers(recurse=False))
    assert set(net.state_dict()) == set(found)


def test_state_is_carried() -> None:
    net = network()
    ids = torch.randint(5, (8, 3))
    whole, end = net(ids, net.initial_state(3))
    first, state = net(ids[:3], net.initial_state(3))
    second, state = net(ids[3:], state)
    torch.testing.assert_close(whole, torch.cat([first, second]))
    for layer, other in zip(end, state, strict=True):
        torch.testing.assert_close(layer, other)
    last, _ = net(ids, net.initial_state(3), last_only=True)
    torch.testing.assert_close(last, whole[-1:])


def test_same_seed_same_weights() -> None:
    for a, b in zip(network().parameters(), network().parameters(), strict=True):
        assert torch.equal(a, b)


def test_one_hot_times_a_matrix_is_a_row_of_it() -> None:
    matrix = torch.randn(5, 4)
    ids = torch.tensor([[3, 0], [1, 1]])
    torch.testing.assert_close(one_hot(ids, 5, torch.float32) @ matrix, matrix[ids])


def test_dropout_acts_in_training_only() -> None:
    net = network(dropout=0.5)
    ids = torch.randint(5, (8, 3))
    first, _ = net(ids, net.initial_state(3))
    second, _ = net(ids, net.initial_state(3))
    assert not torch.equal(first, second)
    net.eval()
    first, _ = net(ids, net.initial_state(3))
    second, _ = net(ids, net.initial_state(3))
    assert torch.equal(first, second)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_dropout_mask(rate: float) -> None:
    mask = dropout_mask(torch.empty(301, 1001), rate, torch.Generator().manual_seed(1))
    values, counts = torch.unique(mask, return_counts=True)
    assert values.tolist() == pytest.approx([0.0, 1 / (1 - rate)], rel=1e-4)
    share = counts[0].item() / mask.numel()
    assert share == pytest.approx(rate, abs=5 * (rate * (1 - rate) / mask.numel()) ** 0.5)
    # The 64-bit words' four parts are all uniform.
    for part in range(4):
        quarter = mask.flatten()[part::4]
        tolerance = 5 * (rate * (1 - rate) / quarter.numel()) ** 0.5
        assert (quarter == 0).float().mean().item() == pytest.approx(rate, abs=tolerance)


def test_bfloat16_is_close_to_float32() -> None:
    ids = torch.randint(5, (8, 3))
    net = network()
    exact, _ = net(ids, net.initial_state(3))
    net.dtype = torch.bfloat16
    rough, state = net(ids, net.initial_state(3))
    assert rough.dtype == torch.float32
    assert state[0][0].dtype == torch.bfloat16
    torch.testing.assert_close(rough, exact, atol=0.05, rtol=0.05)
