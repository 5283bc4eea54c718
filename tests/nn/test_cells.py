from __future__ import annotations

import pytest
import torch

from charlstm.cells import CELLS, ZONEOUT_CELLS
from charlstm.nn.cell import Cell, one_hot
from charlstm.nn.cells import CELL_MODULES, PeepholeCell
from tests.equations import evaluate

# Tiny and unequal, so that no two sizes can be mistaken for each other.
TIME, BATCH, INPUTS, HIDDEN = 5, 3, 4, 2


def make(name: str) -> tuple[Cell, torch.Tensor, tuple[torch.Tensor, ...]]:
    """A cell with lively weights, a window and a state, all float64 with gradients."""
    torch.manual_seed(0)
    cell = CELL_MODULES[name](INPUTS, HIDDEN).double()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_()
    xs = torch.randn(TIME, BATCH, INPUTS, dtype=torch.float64, requires_grad=True)
    state = tuple(
        torch.randn(BATCH, HIDDEN, dtype=torch.float64, requires_grad=True) for _ in cell.spec.state
    )
    return cell, xs, state


WITH_IDS = [name for name in CELLS if CELL_MODULES[name].takes_ids]
VARIANTS = [(name, 0.0, True, "rows") for name in CELLS]
VARIANTS += [(name, 0.0, True, source) for name in WITH_IDS for source in ("ids", "vectors")]
VARIANTS += [(name, 0.4, training, "rows") for name in ZONEOUT_CELLS for training in (True, False)]


@pytest.mark.parametrize(("name", "zoneout", "training", "source"), VARIANTS)
def test_the_fast_window_computes_the_equations(
    name: str, zoneout: float, training: bool, source: str
) -> None:
    """Outputs, last state and every gradient, in float64, from rows and from ids."""
    results = []
    for kind in ("window", "step_window", "step_window of ids"):
        cell, xs, state = make(name)
        cell.train(training)
        if isinstance(cell, PeepholeCell):
            cell.zoneout = zoneout
            keep_the_same(cell)
        vectors = torch.randn(6, INPUTS, dtype=torch.float64, requires_grad=True)
        chosen = torch.randint(INPUTS, (TIME, BATCH), generator=torch.Generator().manual_seed(2))
        given = {"rows": (xs, xs, None), "ids": (chosen, one_hot(chosen, INPUTS, xs.dtype), None),
                 "vectors": (chosen, vectors[chosen], vectors)}  # fmt: skip
        ids, rows, meant = given[source]
        if kind == "step_window":
            outputs, last = cell.step_window(rows, state)
        elif kind == "step_window of ids":
            outputs, last = cell.step_window(ids, state, cell.weight_hh, meant)
        else:
            outputs, last = cell.window(ids, state, cell.weight_hh, meant)
        weights = torch.arange(outputs.numel(), dtype=torch.float64).view_as(outputs)
        total = (outputs * weights).sum() + sum((part**2).sum() for part in last)
        inputs = {"rows": [xs], "ids": [], "vectors": [vectors]}[source]
        leaves = [*inputs, *state, *cell.parameters()]
        results.append((outputs, *last, *torch.autograd.grad(total, leaves)))
    for readable in results[1:]:
        for one, other in zip(results[0], readable, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def keep_the_same(cell: PeepholeCell) -> None:
    """Have a cell's units keep their state at the same places, whether asked at once or by step."""
    draws = torch.rand(2, TIME, BATCH, HIDDEN, generator=torch.Generator().manual_seed(1))
    whole = (draws < cell.zoneout).double()
    if not cell.zoneout or not cell.training:
        return
    steps = iter(range(TIME))

    def masks(count: int, batch_size: int) -> tuple[torch.Tensor, torch.Tensor]:
        if count == TIME:
            return whole[0], whole[1]
        time = next(steps)
        return whole[0, time : time + 1], whole[1, time : time + 1]

    cell.zoneout_masks = masks  # type: ignore[method-assign,assignment]


def test_zoneout_keeps_units_and_evaluation_takes_the_mean() -> None:
    cell = PeepholeCell(INPUTS, 400)
    cell.initialize(torch.Generator().manual_seed(0))
    cell.zoneout, cell.generator = 0.3, torch.Generator().manual_seed(1)
    x, state = torch.randn(1, INPUTS), (torch.randn(1, 400), torch.randn(1, 400))
    h, c = cell.step(x, state)
    for old, new in zip(state, (h, c), strict=True):
        share = (old == new).float().mean().item()
        assert share == pytest.approx(0.3, abs=0.12)
    cell.zoneout = 0.0
    plain_h, plain_c = cell.step(x, state)
    cell.zoneout = 0.3
    cell.eval()
    h, c = cell.step(x, state)
    torch.testing.assert_close(h, 0.3 * state[0] + 0.7 * plain_h)
    torch.testing.assert_close(c, 0.3 * state[1] + 0.7 * plain_c)


def test_gru_and_rnn_agree_with_torch_s() -> None:
    """torch's own kernels are another reading of the same papers."""
    for name, kind in (("gru", torch.nn.GRUCell), ("rnn", torch.nn.RNNCell)):
        cell, xs, state = make(name)
        other = kind(INPUTS, HIDDEN).double()
        with torch.no_grad():
            other.weight_ih.copy_(cell.weight_ih)
            other.weight_hh.copy_(cell.weight_hh)
            other.bias_ih.copy_(cell.bias[: len(other.bias_ih)])
            other.bias_hh.zero_()
            if name == "gru":
                other.bias_hh[2 * HIDDEN :] = cell.bias[3 * HIDDEN :]
        torch.testing.assert_close(cell.step(xs[0], state)[0], other(xs[0], state[0]))


@pytest.mark.parametrize("name", CELLS)
def test_a_step_computes_the_equations_of_the_record(name: str) -> None:
    cell, xs, state = make(name)
    weights = {key: value.detach().numpy() for key, value in cell.named_parameters()}
    found = cell.step(xs[0], state)
    for stream in range(BATCH):
        own = [part[stream].detach().numpy() for part in state]
        expected = evaluate(cell.spec, weights, xs[0, stream].detach().numpy(), own)
        for part, value in zip(found, expected, strict=True):
            torch.testing.assert_close(part[stream], torch.from_numpy(value))


def test_lstm_step_by_hand() -> None:
    cell = CELL_MODULES["lstm"](1, 1)
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
    cell = CELL_MODULES[name](7, 16)
    cell.initialize(torch.Generator().manual_seed(1))
    for block in cell.weight_hh.chunk(cell.spec.num_gates):
        torch.testing.assert_close(block @ block.T, torch.eye(16), atol=1e-5, rtol=0)
    assert cell.weight_ih.abs().max() <= 0.25
    if name == "lstm":
        assert cell.bias.tolist() == [0.0] * 16 + [1.0] * 16 + [0.0] * 32
    elif name == "coupled":
        assert cell.bias.tolist() == [1.0] * 16 + [0.0] * 32
