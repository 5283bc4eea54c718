"""Row lookup in a matrix, with a fast backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def rows_of(table: Tensor, ids: Tensor) -> Tensor:
    """`table[ids]` with a fast backward pass: table (V, N), ids (...) -> (..., N)."""
    rows: Tensor = _Rows.apply(table, ids)  # type: ignore[no-untyped-call]
    return rows


_MOST_COLUMNS = 1024  # of a one-hot matrix; with more, a sum row by row is faster


def _d_rows(gradients: Tensor, ids: Tensor, size: int) -> Tensor:
    """The gradient (V, N) of a table, from gradients (R, N) of its rows `ids` (R,).

    Computed as a product with a one-hot matrix, which runs in parallel, or as a sum row by row.
    """
    if size <= _MOST_COLUMNS:
        one_hot = torch.zeros(len(ids), size, dtype=gradients.dtype, device=gradients.device)
        return one_hot.scatter_(1, ids[:, None], 1.0).t() @ gradients
    exact = torch.promote_types(gradients.dtype, torch.float32)
    table = torch.zeros(size, gradients.shape[1], dtype=exact, device=gradients.device)
    return table.index_add_(0, ids, gradients.to(exact)).to(gradients.dtype)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, ids: Tensor) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.size = len(table)
        return table[ids]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _d_rows(gradients[0].flatten(0, -2), ctx.saved_tensors[0].flatten(), ctx.size), None
