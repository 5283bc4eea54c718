"""The table of cells and the worked example of `explanation/equations.md`.

`python docs/make_equations.py` prints both; with `--write` it puts them into the page. The table
comes from the records in `charlstm/cells.py`. The example is two steps of a peephole LSTM with 2
inputs and 2 hidden units, forward and backward, gate by gate. Its numbers come from the equations
as written here, in float64. If automatic differentiation of the cell in `charlstm/nn/cells.py`
disagrees, it raises an AssertionError.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch import Tensor

from charlstm.cells import CELLS
from charlstm.nn.cells import PeepholeCell

PAGE = Path(__file__).parent / "explanation" / "equations.md"
STEPS = 2


def cell_table() -> str:
    """The table of all cells, in Markdown."""
    lines = ["| cell | equations | source |", "|---|---|---|"]
    for cell in CELLS.values():
        equations = "; ".join(cell.equations).replace("*", "\\*")
        note = f" ({cell.note})" if cell.note else ""
        lines.append(f"| `{cell.name}` | {equations}{note} | {cell.source} |")
    return "\n".join([*lines, ""])


def sections() -> dict[str, str]:
    """The generated parts of the page, by name."""
    return {"cells": cell_table(), "example": worked_example()}


def with_sections(page: str) -> str:
    """The page with its generated parts replaced: what is between `<!-- NAME: ...` and its end."""
    for name, text in sections().items():
        before, start, rest = page.partition(f"<!-- {name}: made by make_equations.py -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->\n")
        assert start, name
        assert end, name
        page = before + start + text + end + after
    return page


def example() -> tuple[PeepholeCell, Tensor, Tensor]:
    """A cell with small round weights, its inputs (T, 1, 2), and the gradient of its outputs."""
    cell = PeepholeCell(2, 2).double()
    with torch.no_grad():
        # Round numbers that differ from each other, in the order i, f, g, o.
        cell.weight_ih[:] = torch.tensor(
            [[0.5, -0.3], [0.2, 0.4], [0.1, 0.6], [-0.2, 0.3],
             [0.8, -0.5], [0.4, 0.7], [-0.1, 0.2], [0.3, -0.4]]
        )  # fmt: skip
        cell.weight_hh[:] = torch.tensor(
            [[0.2, 0.1], [-0.3, 0.4], [0.5, -0.2], [0.1, 0.3],
             [-0.4, 0.6], [0.7, 0.2], [0.3, 0.1], [-0.1, 0.5]]
        )  # fmt: skip
        cell.bias[:] = torch.tensor([0.0, 0.1, 1.0, 1.0, 0.0, -0.1, 0.2, 0.0])
        cell.peephole[:] = torch.tensor([0.3, -0.2, 0.1, 0.4, 0.2, -0.1])
    xs = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64)
    pull = torch.tensor([[[1.0, -1.0]], [[0.5, 2.0]]], dtype=torch.float64)
    return cell, xs, pull


def worked_example() -> str:
    """The text of the section with the worked example.

    Raises:
        AssertionError: the equations and autograd disagree.
    """
    cell, xs, pull = example()
    lines = _inputs(cell, xs, pull)
    hidden = cell.hidden_size
    w, u, b = cell.weight_ih.detach(), cell.weight_hh.detach(), cell.bias.detach()
    p_i, p_f, p_o = cell.peephole.detach().chunk(3)
    h = c = torch.zeros(hidden, dtype=torch.float64)
    kept = []
    for t, x in enumerate(xs[:, 0], start=1):
        a_i, a_f, a_g, a_o = (w @ x + u @ h + b).chunk(4)
        i, f, g = torch.sigmoid(a_i + p_i * c), torch.sigmoid(a_f + p_f * c), torch.tanh(a_g)
        new_c = f * c + i * g
        o = torch.sigmoid(a_o + p_o * new_c)
        new_h = o * torch.tanh(new_c)
        kept.append((x, h, c, i, f, g, o, new_c))
        lines += [f"### Forward, step {t}", "", "```"]
        for name, formula, value in (
            ("i", "sigma(Wi x + Ui h + bi + pi*c)", i),
            ("f", "sigma(Wf x + Uf h + bf + pf*c)", f),
            ("g", "tanh(Wg x + Ug h + bg)", g),
            ("c'", "f*c + i*g", new_c),
            ("o", "sigma(Wo x + Uo h + bo + po*c')", o),
            ("h'", "o*tanh(c')", new_h),
        ):
            lines.append(f"{name:<3}= {formula:<33}= {_shown(value)}")
        lines += ["```", ""]
        h, c = new_h, new_c
    dh = dc = torch.zeros(hidden, dtype=torch.float64)
    d_w, d_u = torch.zeros_like(w), torch.zeros_like(u)
    d_b, d_p = torch.zeros_like(b), torch.zeros_like(cell.peephole)
    for t in reversed(range(STEPS)):
        x, h, c, i, f, g, o, new_c = kept[t]
        dh = dh + pull[t, 0]
        squashed = torch.tanh(new_c)
        da_o = dh * squashed * o * (1 - o)
        ds = dc + dh * o * (1 - squashed**2) + da_o * p_o
        da_i, da_f = ds * g * i * (1 - i), ds * c * f * (1 - f)
        da_g = ds * i * (1 - g**2)
        da = torch.cat([da_i, da_f, da_g, da_o])
        lines += [f"### Back, step {t + 1}", "", "```"]
        for name, formula, value in (
            ("dh'", "from the loss" + (" and from step 2" if t == 0 else ""), dh),
            ("da_o", "dh' * tanh(c') * o(1-o)", da_o),
            ("dc'", "dc + dh'*o*(1-tanh(c')^2) + da_o*po", ds),
            ("da_i", "dc' * g * i(1-i)", da_i),
            ("da_f", "dc' * c * f(1-f)", da_f),
            ("da_g", "dc' * i * (1-g^2)", da_g),
        ):
            lines.append(f"{name:<5}= {formula:<36}= {_shown(value)}")
        dc, dh = ds * f + da_i * p_i + da_f * p_f, u.T @ da
        for name, formula, value in (
            ("dc", "dc'*f + da_i*pi + da_f*pf", dc),
            ("dh", "U^T da", dh),
        ):
            lines.append(f"{name:<5}= {formula:<36}= {_shown(value)}")
        lines += ["```", ""]
        d_w += torch.outer(da, x)
        d_u += torch.outer(da, h)
        d_b += da
        d_p += torch.cat([da_i * c, da_f * c, da_o * new_c])
    _check(cell, xs, pull, [d_w, d_u, d_b, d_p, dh, dc])
    lines += ["### The weights' gradients", "", "Rows in the order i, f, g, o.", "", "```"]
    lines += _rows("dW = sum of da x^T", d_w) + _rows("dU = sum of da h^T", d_u)
    lines += _rows("db = sum of da", d_b[:, None].T) + _rows("dp (i, f, o)", d_p[:, None].T)
    return "\n".join([*lines, "```", ""])


def _inputs(cell: PeepholeCell, xs: Tensor, pull: Tensor) -> list[str]:
    lines = ["Inputs x1 = (1, 0) and x2 = (0, 1): two characters of a vocabulary of two. The state"]
    lines += ["before them is zero. The gradients of the loss with respect to the outputs are"]
    lines += [f"dL/dh1 = {_shown(pull[0, 0])} and dL/dh2 = {_shown(pull[1, 0])}.", "", "```"]
    lines += _rows("W, rows in the order i, f, g, o", cell.weight_ih.detach())
    lines += _rows("U", cell.weight_hh.detach()) + _rows("b", cell.bias.detach()[None])
    lines += _rows("p (i, f, o)", cell.peephole.detach()[None])
    return [*lines, "```", ""]


def _check(cell: PeepholeCell, xs: Tensor, pull: Tensor, found: list[Tensor]) -> None:
    zeros = [torch.zeros(1, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    outputs, _state = cell.step_window(xs, (zeros[0], zeros[1]))
    leaves = [cell.weight_ih, cell.weight_hh, cell.bias, cell.peephole, *zeros]
    for own, autograd in zip(
        found, torch.autograd.grad((outputs * pull).sum(), leaves), strict=True
    ):
        torch.testing.assert_close(own, autograd.view_as(own))


def _shown(values: Tensor) -> str:
    # Adding 0.0 makes a negative zero a plain one.
    return "(" + ", ".join(f"{round(v, 5) + 0.0:.5f}" for v in values.tolist()) + ")"


def _rows(title: str, matrix: Tensor) -> list[str]:
    return [title, *(f"    {_shown(row)}" for row in matrix)]


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        PAGE.write_text(with_sections(PAGE.read_text("utf-8")), "utf-8")
    else:
        print(*sections().values(), sep="\n", end="")  # noqa: T201 - its purpose
