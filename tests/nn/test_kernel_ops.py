"""Compiled windows against the equations, and their products against numpy's."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")

from charlstm.cells import TRAINING_KERNEL_CELLS
from charlstm.kernels.llvm import instructions
from charlstm.kernels.lstm_windows import add_rows
from charlstm.kernels.matmul import PANEL_WIDTH, empty_panels, multiply, pack, pack_transposed
from charlstm.nn import openmp, threads
from charlstm.nn.cell import one_hot
from charlstm.nn.cells import CELL_MODULES
from charlstm.nn.kernel_ops import dropout, transposed_product
from charlstm.nn.starts import Starts
from charlstm.nn.threads import parallel_for

PAIRED_ONLY = pytest.mark.skipif(
    "avx512bf16" not in instructions(),
    reason="this processor has no bfloat16 products (avx512_bf16)",
)
PAIRED = pytest.param(torch.bfloat16, marks=PAIRED_ONLY, id="bfloat16")
TYPES = [pytest.param(torch.float32, id="float32"), PAIRED]
SIZES = [(7, 3, 10), (1, 1, 2), (4, 9, 34), (5, 33, 64)]  # T, B, H


def bits(tensor: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = (
        tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor
    ).numpy()
    return array


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 8, 15])
@pytest.mark.parametrize(("depth", "columns"), [(2, 1), (6, 32), (20, 70)])
def test_products(dtype: torch.dtype, rows: int, depth: int, columns: int) -> None:
    torch.manual_seed(rows)
    left, right = torch.randn(rows, depth).to(dtype), torch.randn(depth, columns).to(dtype)
    expected = left.double() @ right.double()
    for how, matrix in ((pack, right), (pack_transposed, right.t().contiguous())):
        packed = empty_panels(depth, columns, bits(matrix))
        packed[:] = 1  # what was there before
        how(bits(matrix), packed, 0, len(packed))
        out = np.full((rows, len(packed) * PANEL_WIDTH), np.nan, dtype=np.float32)
        multiply(bits(left), packed, out)
        np.testing.assert_allclose(out[:, :columns], expected, atol=1e-5, rtol=1e-5)
        assert not out[:, columns:].any()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("depth", "rows", "columns"), [(1, 1, 1), (6, 7, 70), (257, 13, 16), (600, 450, 33)]
)
def test_transposed_products(dtype: torch.dtype, depth: int, rows: int, columns: int) -> None:
    torch.manual_seed(depth)
    left, right = torch.randn(depth, rows).to(dtype), torch.randn(depth, columns).to(dtype)
    found = transposed_product(left, right)
    assert (found.dtype, found.is_contiguous()) == (dtype, True)
    expected = left.double().t() @ right.double()
    error = 1e-4 if dtype == torch.float32 else 0.5  # of sums that are rounded to bfloat16
    torch.testing.assert_close(found.double(), expected, atol=error, rtol=1e-5)


SOURCES = ["rows", "ids", "vectors"]


def run(
    name: str,
    shape: tuple[int, int, int],
    dtype: torch.dtype | None,
    source: str = "rows",
    starts: Starts | None = None,
) -> list[Tensor]:
    """Outputs, last state and gradients of a cell; dtype None: by its equations."""
    torch.manual_seed(0)
    steps, batch, hidden = shape
    cell = CELL_MODULES[name](5, hidden)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.normal_(0, 0.4)
    rows = torch.randn(steps, batch, 5, requires_grad=True)
    vectors = torch.randn(7, 5, requires_grad=True)
    ids = torch.randint(5, (steps, batch))
    state = tuple(torch.randn(batch, hidden, requires_grad=True) for _ in range(2))
    inputs = {"rows": [rows], "ids": [], "vectors": [vectors]}[source]
    if dtype is None:
        xs = {"rows": rows, "ids": one_hot(ids, 5, torch.float32), "vectors": vectors[ids]}[source]
        outputs, last = cell.step_window(xs, state, starts=starts)
    else:
        cell.compiled = True
        given = rows.to(dtype) if source == "rows" else ids
        meant = vectors if source == "vectors" else None
        outputs, last = cell.window(given, state, cell.weight_hh.to(dtype), meant, starts)
        assert outputs.dtype == dtype
        assert {part.dtype for part in last} == {torch.float32}
    weights = torch.linspace(-1, 1, outputs.numel()).view_as(outputs)
    total = (outputs.float() * weights).sum() + sum((part**2).sum() for part in last)
    return [outputs, *last, *torch.autograd.grad(total, [*inputs, *state, *cell.parameters()])]


@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("name", TRAINING_KERNEL_CELLS)
@pytest.mark.parametrize("source", SOURCES)
def test_it_computes_the_equations(name: str, shape: tuple[int, int, int], source: str) -> None:
    for found, expected in zip(
        run(name, shape, torch.float32, source), run(name, shape, None, source), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


@PAIRED_ONLY
@pytest.mark.parametrize("shape", SIZES, ids=str)
@pytest.mark.parametrize("name", TRAINING_KERNEL_CELLS)
@pytest.mark.parametrize("source", SOURCES)
def test_bfloat16_comes_near(name: str, shape: tuple[int, int, int], source: str) -> None:
    for found, expected in zip(
        run(name, shape, torch.bfloat16, source), run(name, shape, None, source), strict=True
    ):
        off = (found.float() - expected).abs().max() / expected.detach().abs().max()
        assert off < 0.04


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("source", SOURCES)
def test_the_same_bits_by_any_number_of_threads(
    dtype: torch.dtype, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (5, 33, 64)
    once = run("lstm", shape, dtype, source)
    usual = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            for found, expected in zip(run("lstm", shape, dtype, source), once, strict=True):
                assert torch.equal(found, expected)
    finally:
        torch.set_num_threads(usual)
    monkeypatch.setattr(threads, "parallel_entry", lambda: 0)  # as where torch has another library
    for found, expected in zip(run("lstm", shape, dtype, source), once, strict=True):
        assert torch.equal(found, expected)


def test_sizes_that_it_is_not_for_go_to_torch() -> None:
    cell = CELL_MODULES["lstm"](5, 3)
    cell.initialize(torch.Generator().manual_seed(1))
    cell.compiled = True
    state = (torch.zeros(2, 3), torch.zeros(2, 3))
    xs = torch.randn(4, 2, 5, dtype=torch.bfloat16)
    outputs, _ = cell.window(xs, state, cell.weight_hh.to(torch.bfloat16))  # H is odd
    expected, _ = cell.step_window(xs.float(), state)
    torch.testing.assert_close(outputs.float(), expected, atol=0.02, rtol=0.02)


def test_prediction_keeps_nothing_and_training_follows() -> None:
    cell = CELL_MODULES["coupled"](5, 6)
    cell.initialize(torch.Generator().manual_seed(1))
    cell.compiled = True
    state = (torch.zeros(2, 6), torch.zeros(2, 6))
    xs = torch.randn(4, 2, 5)
    with torch.inference_mode():
        predicted, _ = cell.window(xs, state, cell.weight_hh)
    learned, _ = cell.window(xs, state, cell.weight_hh)
    torch.testing.assert_close(predicted.clone(), learned)
    torch.autograd.backward(learned.sum())
    assert cell.weight_hh.grad is not None


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("columns", [3, 8, 257])
def test_dropout(dtype: torch.dtype, columns: int) -> None:
    values = torch.ones(40, 13, columns, dtype=dtype, requires_grad=True)
    kept = dropout(values, dtype, 0.25, -7, 13, 0)
    scale = torch.tensor(4 / 3).to(dtype)
    assert set(kept.flatten().tolist()) <= {0.0, scale.item()}
    count = kept.numel()
    share = (kept == 0).float().mean().item()
    assert share == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / count) ** 0.5)
    (gradient,) = torch.autograd.grad(kept.sum(), [values])
    assert torch.equal(gradient, kept)  # what was dropped learns nothing
    assert torch.equal(kept, dropout(values, dtype, 0.25, -7, 13, 0))
    assert not torch.equal(kept, dropout(values, dtype, 0.25, -6, 13, 0))
    halves = (slice(0, 5), slice(5, 13))
    parts = [dropout(values[:, own], dtype, 0.25, -7, 13, own.start) for own in halves]
    assert torch.equal(torch.cat(parts, 1), kept)  # several processes drop what one does
    assert dropout(values, dtype, 0.0, 1, 13, 0).equal(values)


def test_dropout_may_change_the_type() -> None:
    values = torch.randn(4, 3, 9, requires_grad=True)
    narrow = dropout(values, torch.bfloat16, 0.25, 1, 3, 0)
    assert torch.equal(narrow, dropout(values, torch.float32, 0.25, 1, 3, 0).bfloat16())
    (gradient,) = torch.autograd.grad(narrow.sum(), [values])
    assert gradient.dtype == torch.float32
    assert torch.equal(gradient == 0, narrow == 0)


def test_its_bits_are_even_and_independent() -> None:
    """Neighbours, rows and seeds: pairs are dropped together as often as chance has it."""
    ones = torch.ones(200, 10, 64)
    first, other = (dropout(ones, ones.dtype, 0.5, seed, 10, 0) == 0 for seed in (1, 2))
    sigma = 0.25 / ones.numel() ** 0.5
    for one, two in (
        (first[..., 1:], first[..., :-1]), (first[:, 1:], first[:, :-1]),
        (first[1:], first[:-1]), (first, other), (first[..., 4:], first[..., :-4]),
    ):  # fmt: skip
        assert (one & two).float().mean().item() == pytest.approx(0.25, abs=6 * sigma)


@pytest.mark.parametrize("openmp", [True, False])
@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("rows", [1, 4, 11])
def test_every_row_is_done_once(
    monkeypatch: pytest.MonkeyPatch, openmp: bool, count: int, rows: int
) -> None:
    if not openmp:
        monkeypatch.setattr(threads, "parallel_entry", lambda: 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    given = np.arange(3 * rows, dtype=np.float32).reshape(3, rows)
    sums = np.zeros((2, rows), dtype=np.float32)
    parallel_for(add_rows, rows, given, np.array([1, 0, 1]), sums)  # whose rows are columns
    assert np.array_equal(sums, [given[1], given[0] + given[2]])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' torch may have another library")
def test_torch_s_threads_are_found() -> None:
    assert openmp.parallel_entry()
