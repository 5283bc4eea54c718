"""Windows with starts from the zero state: against documents that are read one by one."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from charlstm.cells import CELLS, TRAINING_KERNEL_CELLS, ZONEOUT_CELLS
from charlstm.config import ModelConfig
from charlstm.kernels.availability import unavailable
from charlstm.nn.cell import Cell, one_hot
from charlstm.nn.cells import CELL_MODULES, PeepholeCell, _by_torch
from charlstm.nn.gru_window import gru_window
from charlstm.nn.network import CharLSTM
from charlstm.nn.packed_window import packed_window
from charlstm.nn.peephole_window import peephole_window
from charlstm.nn.rnn_window import rnn_window
from charlstm.nn.starts import Starts
from tests.nn.test_cells import HIDDEN, INPUTS, WITH_IDS, keep_the_same, make
from tests.nn.test_windows import gru_arguments, peephole_arguments

# (T, B): no start in the first stream; one at the first step; several, two of them in a row.
MASK = torch.tensor([[0, 1, 0], [0, 0, 0], [0, 0, 1], [0, 1, 1], [0, 0, 0]], dtype=torch.bool)


def by_document(cell: Cell, xs: Tensor, state: tuple[Tensor, ...], mask: Tensor) -> list[Tensor]:
    """Outputs and last states, one stream and one step at a time."""
    columns, last = [], []
    for stream in range(xs.shape[1]):
        own = tuple(part[stream : stream + 1] for part in state)
        outputs = []
        for t in range(len(xs)):
            if mask[t, stream]:
                own = cell.initial_state(1)
            own = cell.step(xs[t, stream : stream + 1], own)
            outputs.append(own[0])
        columns.append(torch.stack(outputs))
        last.append(own)
    return [torch.cat(columns, 1), *(torch.cat(parts) for parts in zip(*last, strict=True))]


def with_gradients(found: list[Tensor], leaves: list[Tensor]) -> list[Tensor]:
    weights = torch.arange(found[0].numel(), dtype=torch.float64).view_as(found[0])
    total = (found[0] * weights).sum() + sum((part**2).sum() for part in found[1:])
    return [*found, *torch.autograd.grad(total, leaves)]


VARIANTS = [(name, "rows") for name in CELLS]
VARIANTS += [(name, source) for name in WITH_IDS for source in ("ids", "vectors")]


@pytest.mark.parametrize(("name", "source"), VARIANTS)
def test_each_document_is_read_from_the_zero_state(name: str, source: str) -> None:
    """Outputs, last state and every gradient, in float64: by the equations, and fast."""
    cell, xs, state = make(name)
    vectors = torch.randn(6, INPUTS, dtype=torch.float64, requires_grad=True)
    chosen = torch.randint(INPUTS, MASK.shape, generator=torch.Generator().manual_seed(2))
    rows, ids, meant = {
        "rows": (xs, xs, None), "ids": (one_hot(chosen, INPUTS, xs.dtype), chosen, None),
        "vectors": (vectors[chosen], chosen, vectors),
    }[source]  # fmt: skip
    inputs = {"rows": [xs], "ids": [], "vectors": [vectors]}[source]
    leaves = [*inputs, *state, *cell.parameters()]
    expected = with_gradients(by_document(cell, rows, state, MASK), leaves)
    for window in (cell.step_window, cell.window):
        outputs, last = window(ids, state, cell.weight_hh, meant, Starts(MASK))
        found = with_gradients([outputs, *last], leaves)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ZONEOUT_CELLS)
@pytest.mark.parametrize("training", [True, False])
def test_zoneout_keeps_nothing_of_the_document_before(name: str, training: bool) -> None:
    results = []
    for kind in ("window", "step_window"):
        cell, xs, state = make(name)
        assert isinstance(cell, PeepholeCell)
        cell.zoneout = 0.4
        cell.train(training)
        keep_the_same(cell)
        outputs, last = getattr(cell, kind)(xs, state, cell.weight_hh, None, Starts(MASK))
        results.append(with_gradients([outputs, *last], [xs, *state, *cell.parameters()]))
        # What was before the start of the second stream, at step 0, changes nothing.
        assert not results[-1][-1 - len(list(cell.parameters()))][1].any()
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_gradients_of_windows_by_hand() -> None:
    starts = Starts(MASK[:4])

    def peephole(*given: Tensor) -> Any:
        return peephole_window(*given, starts=starts)

    zoneout = (torch.rand(2, 4, 3, HIDDEN, dtype=torch.float64) < 0.4).double()
    assert torch.autograd.gradcheck(peephole, peephole_arguments())
    assert torch.autograd.gradcheck(peephole, [*peephole_arguments(), *zoneout])
    assert torch.autograd.gradcheck(lambda *g: gru_window(*g, starts=starts), gru_arguments())
    lstm = peephole_arguments()[:4]
    assert torch.autograd.gradcheck(lambda *g: peephole_window(*g, starts=starts), lstm)
    assert torch.autograd.gradcheck(peephole_window, lstm)
    parts = (lstm[0][..., :HIDDEN], lstm[1], lstm[3][:HIDDEN])
    rnn = [part.detach().clone().requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(lambda *g: rnn_window(g[0], g[1], g[2], starts), rnn)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_torch_s_functions_read_packed_sequences(name: str) -> None:
    """As on a GPU."""
    cell, xs, state = make(name)
    functions: dict[str, Any] = {"lstm": torch.lstm, "gru": torch.gru, "rnn": torch.rnn_tanh}
    bias_x: Tensor = cell.bias
    bias_h = torch.zeros_like(bias_x)
    if name == "gru":
        gates = 3 * HIDDEN
        bias_x = cell.bias[:gates]
        bias_h = torch.cat([torch.zeros_like(bias_x[HIDDEN:]), cell.bias[gates:]])
    weights = [cell.weight_ih, cell.weight_hh, bias_x, bias_h]
    leaves = [xs, *state, *cell.parameters()]
    outputs, last = _by_torch(functions[name], xs, state, weights, True, Starts(MASK))
    found = with_gradients([outputs, *last], leaves)
    expected = with_gradients(by_document(cell, xs, state, MASK), leaves)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CELLS)
def test_bfloat16_products(name: str) -> None:
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        cell = CELL_MODULES[name](5, 16)
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.normal_(0, 0.4)
        xs = torch.randn(*MASK.shape, 5, requires_grad=True)
        state = tuple(torch.randn(MASK.shape[1], 16, requires_grad=True) for _ in cell.spec.state)
        given = xs.to(dtype)
        outputs, last = cell.window(given, state, cell.weight_hh.to(dtype), None, Starts(MASK))
        assert {part.dtype for part in last} == {torch.float32}
        total = outputs.float().square().sum() + sum(part.sum() for part in last)
        gradients = torch.autograd.grad(total, [xs, *state, *cell.parameters()])
        results.append([outputs.float(), *last, *gradients])
    for exact, rough in zip(*results, strict=True):
        assert (exact - rough).abs().max() <= 0.05 * exact.detach().abs().max()


@pytest.mark.parametrize("name", CELLS)
def test_a_mask_without_starts_changes_no_result(name: str) -> None:
    cell, xs, state = make(name)
    none = Starts(torch.zeros_like(MASK))
    for one, other in zip(
        [*cell.window(xs, state, cell.weight_hh, None, none)],
        [*cell.window(xs, state, cell.weight_hh)],
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9).flatmap(
        lambda width: st.lists(
            st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=12
        )
    )
)
def test_segments_cover_a_window_once(rows: list[list[bool]]) -> None:
    """A sum over each segment so far, by torch's packed order and step by step."""
    starts = Starts(torch.tensor(rows))
    steps, batch = starts.mask.shape
    xs = torch.arange(1.0, steps * batch + 1).view(steps, batch, 1)
    state = (torch.arange(100.0, 100.0 + batch)[:, None],)

    def run(packed: Tensor, sizes: Tensor, first: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        assert sizes.tolist() == sorted(sizes.tolist(), reverse=True)
        total, outputs, final = first[0][0], [], first[0][0].clone()
        for part in packed.split(sizes.tolist()):  # type: ignore[no-untyped-call]
            total = total[: len(part)] + part
            final[: len(part)] = total
            outputs.append(total)
        return torch.cat(outputs), final[None]

    outputs, (last,) = packed_window(run, xs, state, starts)
    total = state[0]
    for t in range(steps):
        total = torch.where(starts.mask[t][:, None], 0.0, total) + xs[t]
        assert torch.equal(outputs[t], total)
    assert torch.equal(last, total)


@pytest.mark.parametrize("name", TRAINING_KERNEL_CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("source", ["rows", "ids", "vectors"])
@pytest.mark.parametrize("shape", [(7, 3, 10), (4, 9, 34), (5, 33, 64)], ids=str)
def test_compiled_windows(
    name: str, dtype: torch.dtype, source: str, shape: tuple[int, int, int]
) -> None:
    pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    if (fault := unavailable("bfloat16" if dtype == torch.bfloat16 else "float32")) is not None:
        pytest.skip(str(fault))
    from tests.nn.test_kernel_ops import run

    starts = Starts(torch.rand(shape[:2], generator=torch.Generator().manual_seed(3)) < 0.3)
    found, expected = (
        run(name, shape, dtype, source, starts),
        run(name, shape, None, source, starts),
    )
    for one, other in zip(found, expected, strict=True):
        if dtype == torch.float32:
            torch.testing.assert_close(one, other, atol=2e-5, rtol=2e-5)
        else:
            assert (one.float() - other).abs().max() <= 0.04 * other.detach().abs().max()


BORDER = 0  # the id that is read where a stream starts
OPTIONS: list[dict[str, Any]] = [
    *({"cell": cell} for cell in CELLS),
    *({"cell": cell, "direction": "both"} for cell in CELLS),
    {"residual": True, "num_layers": 3}, {"layer_norm": True, "direction": "both"},
    {"dense_output": True, "embedding": 3, "direction": "both", "residual": True},
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_network_reads_packed_documents_as_it_reads_each_alone(options: dict[str, Any]) -> None:
    """Also from both sides: nothing follows a document's end."""
    net = CharLSTM(ModelConfig(**{"num_layers": 2, "hidden_size": 6} | options), 5, seed=3).eval()
    documents = [[0, 1, 2, 3], [0, 4], [0], [0, 3, 3, 1, 2], [0, 2]]
    stream = torch.tensor([*chain(*documents), BORDER])[:, None]  # (T + 1, 1)
    starts = Starts(stream[:-1] == BORDER)
    packed, _ = net(stream[:-1], net.initial_state(1), targets=stream[1:], starts=starts)
    alone = []
    for document in documents:
        own = torch.tensor([*document, BORDER])[:, None]
        alone.append(net(own[:-1], net.initial_state(1), targets=own[1:])[0])
    torch.testing.assert_close(packed, torch.cat(alone))


@pytest.mark.parametrize("options", [{}, {"direction": "both"}, {"cell": "gru"}], ids=str)
@pytest.mark.parametrize("compiled", [False, True])
def test_weights_and_state_of_several_windows(options: dict[str, Any], compiled: bool) -> None:
    """A window in two chunks with the state carried, as one window."""
    net = CharLSTM(ModelConfig(**{"num_layers": 2, "hidden_size": 6} | options), 5).eval()
    for cell in net.cells:
        assert isinstance(cell, Cell)
        cell.compiled = compiled and not unavailable("float32")
    ids = torch.randint(5, (9, 3), generator=torch.Generator().manual_seed(5))
    mask = ids[:-1] == BORDER
    assert mask[3:5].any()
    whole, end = net(ids[:-1], net.initial_state(3), targets=ids[1:], starts=Starts(mask))
    state, parts = net.initial_state(3), []
    for first, last in ((0, 4), (4, 8)):
        own = Starts(mask[first:last])
        targets = ids[first + 1 : last + 1]
        logits, state = net(ids[first:last], state, targets=targets, starts=own)
        parts.append(logits)
    if "direction" not in options:  # which reads no further back than the window
        torch.testing.assert_close(torch.cat(parts), whole)
    for one, other in zip(state, end, strict=True):
        torch.testing.assert_close(one, other)
