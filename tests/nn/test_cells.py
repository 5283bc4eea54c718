from __future__ import annotations

import pytest
import torch

from charlstm.nn.cells import CELLS, Cell

# Tiny and unequal, so that no two sizes can be mistaken for each other.
TIME, BATCH, INPUTS, HIDDEN = 5, 3, 4, 2


def make(name: str) -> tuple[Cell, torch.Tensor, tuple[torch.Tensor, ...]]:
    """A cell with lively weights, a window and a state, all float64 with gradients."""
    torch.manual_seed(0)
    cell = CELLS[name](INPUTS, HIDDEN).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    xs = torch.randn(TIME, BATCH, INPUTS, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(BATCH, HIDDEN, dtype=torch.float64, requires_grad=True)
        for _ in cell.state_names
    )
    return cell, xs, state


@pytest.mark.parametrize("name", CELLS)
def test_the_fast_window_computes_the_equations(name: str) -> None:
    results = []
    for kind in ("window", "step_window"):
        cell, xs, state = make(name)
        outputs, last = getattr(cell, kind)(xs, state)
        weights = torch.arange(outputs.numel(), dtype=torch.float64).view_as(outputs)
        total = (outputs * weights).sum() + sum((part**2).sum() for part in last)
        leaves = [xs, *state, *cell.parameters()]
        results.append((outputs, *last, *torch.autograd.grad(total, leaves)))
    for fast, readable in zip(*results, strict=True):
        torch.testing.assert_close(fast, readable, rtol=1e-10, atol=1e-10)


def test_lstm_step_by_hand() -> None:
    cell = CELLS["lstm"](1, 1)
    with torch.no_grad():
        cell.weight_ih[:] = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
        cell.weight_hh[:] = torch.tensor([[0.1], [0.2], [0.3], [0.4]])
        cell.bias[:] = torch.tensor([0.5, -0.5, 0.25, -0.25])
    x, h, c = 0.5, -0.2, 0.3
    i = 1 / (1 + 2.718281828 ** -(1 * x + 0.1 * h + 0.5))
    f = 1 / (1 + 2.718281828 ** -(2 * x + 0.2 * h - 0.5))
    g = torch.tanh(torch.tensor(3 * x + 0.3 * h + 0.25)).item()
    o = 1 / (1 + 2.718281828 ** -(4 * x + 0.4 * h - 0.25))
    new_c = f * c + i * g
    new_h = o * torch.tanh(torch.tensor(new_c)).item()
    found_h, found_c = cell.step(torch.tensor([[x]]), (torch.tensor([[h]]), torch.tensor([[c]])))
    assert found_c.item() == pytest.approx(new_c, abs=1e-6)
    assert found_h.item() == pytest.approx(new_h, abs=1e-6)


@pytest.mark.parametrize("name", CELLS)
def test_initial_weights(name: str) -> None:
    cell = CELLS[name](7, 16)
    cell.initialize(torch.Generator().manual_seed(1))
    for block in cell.weight_hh.chunk(cell.gates):
        torch.testing.assert_close(block @ block.T, torch.eye(16), atol=1e-5, rtol=0)
    assert cell.weight_ih.abs().max() <= 0.25
    if name == "lstm":
        assert cell.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32
