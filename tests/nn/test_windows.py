from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from charlstm.nn.gru_window import gru_window
from charlstm.nn.peephole_window import peephole_window
from charlstm.nn.rows import rows_of

TIME, BATCH, HIDDEN = 4, 3, 2


def normal(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, dtype=dtype).requires_grad_()


def peephole_arguments(dtype: torch.dtype = torch.float64, hidden: int = HIDDEN) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [
        (TIME, BATCH, 4 * hidden), (BATCH, hidden), (BATCH, hidden), (4 * hidden, hidden),
        (3 * hidden,),
    ]  # fmt: skip
    return [normal(*shape, dtype=dtype) for shape in shapes]


def gru_arguments(dtype: torch.dtype = torch.float64, hidden: int = HIDDEN) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(TIME, BATCH, 3 * hidden), (BATCH, hidden), (3 * hidden, hidden), (hidden,)]
    return [normal(*shape, dtype=dtype) for shape in shapes]


def test_peephole_gradients() -> None:
    assert torch.autograd.gradcheck(peephole_window, peephole_arguments())


def test_peephole_gradients_with_zoneout() -> None:
    mask = (torch.rand(2, TIME, BATCH, HIDDEN, dtype=torch.float64) < 0.4).double()
    for masks in (mask, torch.full_like(mask, 0.3)):
        arguments = [*peephole_arguments(), masks[0], masks[1]]
        assert torch.autograd.gradcheck(peephole_window, arguments)


def test_gru_gradients() -> None:
    assert torch.autograd.gradcheck(gru_window, gru_arguments())


@pytest.mark.parametrize("size", [3, 2000], ids=["product", "row by row"])
def test_rows_gradients(size: int) -> None:
    ids = torch.tensor([[0, 2, 2], [1, 0, 2]])
    table = normal(size, 4)
    weights = torch.randn(2, 3, 4, dtype=torch.float64)
    rows = rows_of(table, ids)
    torch.testing.assert_close(rows, table[ids])
    (found,) = torch.autograd.grad((rows * weights).sum(), [table])
    (expected,) = torch.autograd.grad((table[ids] * weights).sum(), [table])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("window", "arguments", "weight"),
    [(peephole_window, peephole_arguments, 3), (gru_window, gru_arguments, 2)],
    ids=["peephole", "gru"],
)
def test_bfloat16_products_with_float32_state(
    window: Callable[..., Any], arguments: Callable[..., list[Tensor]], weight: int
) -> None:
    exact = arguments(torch.float32, 16)
    rough = [
        argument.detach().to(torch.bfloat16) if n in (0, weight) else argument.detach().clone()
        for n, argument in enumerate(exact)
    ]
    for argument in rough:
        argument.requires_grad_()
    results = []
    for given in (exact, rough):
        outputs, *state = window(*given)
        assert {part.dtype for part in (outputs, *state)} == {torch.float32}
        results.append((outputs, *torch.autograd.grad(outputs.square().sum(), given)))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b.float(), atol=0.1 * float(a.detach().abs().max()), rtol=0.1)


def test_a_validation_s_memory_is_not_training_s() -> None:
    """What inference mode allocates cannot be written to outside of it."""
    for window, arguments in ((peephole_window, peephole_arguments), (gru_window, gru_arguments)):
        for dtype in (torch.float32, torch.float64):
            given = arguments(dtype, 7)  # a shape that no other test has used
            with torch.inference_mode():
                window(*given)
            outputs, *_ = window(*given)
            torch.autograd.grad(outputs.sum(), given)


def test_windows_in_flight_do_not_share_memory() -> None:
    """Two windows forward before either goes back, and one whose way back is never gone."""
    first, second = (
        peephole_arguments(),
        [t.detach().neg().requires_grad_() for t in peephole_arguments()],
    )
    alone = [
        torch.autograd.grad(peephole_window(*given)[0].sum(), given) for given in (first, second)
    ]
    peephole_window(*first)
    one, other = peephole_window(*first)[0], peephole_window(*second)[0]
    together = [
        torch.autograd.grad(one.sum(), first), torch.autograd.grad(other.sum(), second)
    ]  # fmt: skip
    for expected, found in zip(alone, together, strict=True):
        for a, b in zip(expected, found, strict=True):
            assert torch.equal(a, b)
