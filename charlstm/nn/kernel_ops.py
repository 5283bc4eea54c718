"""Operations of torch that run kernels (`charlstm.kernels`) on a CPU, each with a backward pass.

The recurrent products and the gates of a window are made by a kernel. The gradient of the weights
is one product over all steps: a kernel's in float32, torch's in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from charlstm.kernels import dropout as dropout_kernel
from charlstm.kernels import lstm_windows, matmul, matmul_transposed
from charlstm.nn.starts import Starts
from charlstm.nn.threads import parallel_for


def lstm_window(
    inputs: Tensor,
    ids: Tensor | None,
    bias: Tensor,
    h: Tensor,
    c: Tensor,
    weight_hh: Tensor,
    starts: Starts | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A window of LSTM: see `charlstm.kernels.lstm_windows`.

    Args:
        inputs: W x, (T, B, G H), in the type of `weight_hh`; four gates i, f, g, o, or three,
            f, g, o, of a coupled cell. With ids: W^T, (V, G H).
        ids: the characters, (T, B), int64.
        bias: b, (G H,), float32.
        h, c: the state, (B, H), float32.
        weight_hh: U, (G H, H), float32, or bfloat16 if H is even.
        starts: where streams start from the zero state; None: nowhere.

    Returns:
        Outputs (T, B, H) in the type of `weight_hh`, and the last h and c in float32.
    """
    out: tuple[Tensor, Tensor, Tensor] = _LSTMWindow.apply(  # type: ignore[no-untyped-call]
        inputs, ids, bias, h, c, weight_hh, starts, torch.is_grad_enabled()
    )
    return out


def dropout(
    values: Tensor, dtype: torch.dtype, rate: float, seed: int, total: int, offset: int
) -> Tensor:
    """Values zeroed with probability `rate`, the others divided by 1 - rate.

    See `charlstm.kernels.dropout`.

    Args:
        values: (A, B, C), float32 or bfloat16.
        dtype: of the result: float32 or bfloat16.
        rate: below 1, rounded to a 65536th.
        seed: of the random bits, any int64.
        total, offset: the values are a part of a tensor (A, total, C), from `offset` on.
    """
    out: Tensor = _Dropout.apply(  # type: ignore[no-untyped-call]
        values, dtype, np.uint64(seed % 2**64), min(65535, round(rate * 65536)), total, offset
    )
    return out


def transposed_product(left: Tensor, right: Tensor) -> Tensor:
    """left^T right, (M, N), of matrices (K, M) and (K, N) in the same type.

    In float32 it is a kernel's (`charlstm.kernels.matmul_transposed`): torch's has half the speed
    of it on some processors.
    """
    if left.dtype != torch.float32:
        return left.t() @ right
    depth, count = left.shape
    columns = right.shape[1]
    packed = _packed(matmul.pack, _array(right), depth, columns)
    tiles = -(-count // matmul.TILE_ROWS)
    out = torch.empty(tiles * matmul.TILE_ROWS, len(packed) * matmul.PANEL_WIDTH)
    parallel_for(matmul_transposed.multiply_transposed, tiles, _array(left), packed, _array(out))
    return out[:count, :columns].contiguous()


def _array(tensor: Tensor) -> NDArray[Any]:
    """A contiguous tensor's memory; bfloat16 as uint16."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    array: NDArray[Any] = tensor.numpy()
    return array


def _starting(starts: Starts | None) -> NDArray[np.bool_]:
    """Where streams start, (T, B), or (0, 0)."""
    return np.zeros((0, 0), dtype=np.bool_) if starts is None else _array(starts.mask)


def _packed(
    pack: Callable[..., None], weight: NDArray[Any], depth: int, columns: int
) -> NDArray[Any]:
    packed = matmul.empty_panels(depth, columns, weight)
    parallel_for(pack, len(packed), weight, packed)
    return packed


def _dropped(values: Tensor, dtype: torch.dtype, draw: tuple[Any, ...]) -> Tensor:
    out = torch.empty(values.shape, dtype=dtype)
    rows = values.shape[0] * values.shape[1]
    parallel_for(dropout_kernel.dropout, rows, _array(values), _array(out), *draw)
    return out


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, dtype: torch.dtype, *draw: Any) -> Tensor:
        ctx.dtype, ctx.draw = values.dtype, draw
        return _dropped(values, dtype, draw)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _dropped(gradients[0], ctx.dtype, ctx.draw), None, None, None, None, None


class _LSTMWindow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        ids: Tensor | None,
        bias: Tensor,
        h: Tensor,
        c: Tensor,
        weight_hh: Tensor,
        starts: Starts | None,
        has_backward: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, hidden = weight_hh.shape
        steps, batch = inputs.shape[:2] if ids is None else ids.shape
        table = inputs.reshape(-1, rows)
        places = torch.arange(len(table)).view(steps, batch) if ids is None else ids
        hs = torch.empty((steps + 1, batch, hidden), dtype=weight_hh.dtype)
        cs = torch.empty((steps + 1, batch, hidden), dtype=torch.float32)
        hs[0], cs[0] = h, c
        saved_steps = steps if has_backward else 0
        acts = torch.empty((saved_steps, batch, rows // hidden + 1, hidden), dtype=weight_hh.dtype)
        packed = _packed(matmul.pack_transposed, _array(weight_hh), hidden, rows)
        parallel_for(
            lstm_windows.forward, batch, _array(table), _array(places), _array(bias), packed,
            _array(hs), _array(cs), _array(acts), _starting(starts),
        )  # fmt: skip
        ctx.saved = hs, cs, acts
        ctx.starts = starts
        ctx.size = len(table)
        ctx.save_for_backward(ids, weight_hh)
        return hs[1:], hs[steps].float(), cs[steps].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last, dc_last = gradients
        hs, cs, acts = ctx.saved
        ids, weight_hh = ctx.saved_tensors
        steps, batch, hidden = d_outputs.shape
        rows = len(weight_hh)
        das = torch.empty((steps, batch, rows), dtype=weight_hh.dtype)
        dh, dc = dh_last.clone(), dc_last.clone()
        packed = _packed(matmul.pack, _array(weight_hh), rows, hidden)
        parallel_for(
            lstm_windows.backward, batch, _array(d_outputs), packed, _array(cs), _array(acts),
            _array(dh), _array(dc), _array(das), _starting(ctx.starts),
        )  # fmt: skip
        flat = das.view(steps * batch, rows)
        read = hs[:-1]
        if ctx.starts is not None:
            read = read.clone()  # the others are outputs
            read[ctx.starts.mask] = 0
        d_weight = transposed_product(flat, read.view(steps * batch, hidden))
        places = torch.zeros(len(flat), dtype=torch.int64) if ids is None else ids.flatten()
        sums = torch.zeros((1 if ids is None else ctx.size, rows), dtype=torch.float32)
        parallel_for(lstm_windows.add_rows, rows, _array(flat), _array(places), _array(sums))
        d_inputs = das if ids is None else sums
        d_bias = sums.sum(0)
        return d_inputs, None, d_bias, dh, dc, d_weight, None, None
