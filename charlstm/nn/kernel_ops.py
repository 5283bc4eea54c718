"""Windows of LSTM by compiled code (`charlstm.kernels.lstm_windows`), with a way back for torch.

Recurrent products and gates are compiled; the weights' gradient, one product over all steps, is
torch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numba.core import event as numba_event
from numpy.typing import NDArray
from torch import Tensor

from charlstm.kernels.lstm_windows import (
    add_rows,
    backward,
    drop,
    forward,
    pack,
    pack_transposed,
    panels,
)
from charlstm.nn.threads import share


class _Listener(numba_event.Listener):
    """Passes numba's events on."""

    def __init__(self, report: Callable[[bool], None]) -> None:
        self._report = report

    def on_start(self, event: object) -> None:
        self._report(True)

    def on_end(self, event: object) -> None:
        self._report(False)


@contextmanager
def report_compilation(report: Callable[[bool], None]) -> Iterator[None]:
    """Call `report(True)` before a function is compiled, and `report(False)` after that.

    What is loaded from disk is not reported. A function that calls others is reported around them.
    """
    with numba_event.install_listener("numba:compile", _Listener(report)):
        yield


def lstm_window(
    inputs: Tensor, ids: Tensor | None, bias: Tensor, h: Tensor, c: Tensor, weight_hh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A window of LSTM on a CPU: see `charlstm.kernels.lstm_windows`.

    Args:
        inputs: W x, (T, B, G H), in the type of `weight_hh`; four gates i, f, g, o, or three,
            f, g, o, of a coupled cell. With ids: W^T, (V, G H).
        ids: which character is read when, (T, B), int64.
        bias: b, (G H,), float32.
        h, c: the state, (B, H), float32.
        weight_hh: U, (G H, H), float32, or bfloat16 if H is even.

    Returns:
        Outputs (T, B, H) in the type of `weight_hh`, and the last h and c in float32.
    """
    out: tuple[Tensor, Tensor, Tensor] = _LSTMWindow.apply(  # type: ignore[no-untyped-call]
        inputs, ids, bias, h, c, weight_hh, torch.is_grad_enabled()
    )
    return out


def dropout(
    values: Tensor, dtype: torch.dtype, rate: float, seed: int, total: int, offset: int
) -> Tensor:
    """Some of the values zero, the others scaled by what is left: see `charlstm.kernels`.

    Args:
        values: (A, B, C), float32 or bfloat16.
        dtype: of the result; one or the other.
        rate: rounded to a 65536th, below 1.
        seed: of the draw, any int64.
        total, offset: of how many along the second axis these are, and from where on.
    """
    kept: Tensor = _Dropout.apply(  # type: ignore[no-untyped-call]
        values, dtype, np.uint64(seed % 2**64), min(65535, round(rate * 65536)), total, offset
    )
    return kept


def _array(tensor: Tensor) -> NDArray[Any]:
    """A contiguous tensor's memory; bfloat16 as uint16."""
    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.uint16)
    array: NDArray[Any] = tensor.numpy()
    return array


def _packed(
    how: Callable[..., None], weight: NDArray[Any], depth: int, columns: int
) -> NDArray[Any]:
    packed = panels(depth, columns, weight)
    share(how, len(packed), weight, packed)
    return packed


def _dropped(values: Tensor, dtype: torch.dtype, how: tuple[Any, ...]) -> Tensor:
    out = torch.empty(values.shape, dtype=dtype)
    share(drop, values.shape[0] * values.shape[1], _array(values), _array(out), *how)
    return out


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, dtype: torch.dtype, *how: Any) -> Tensor:
        ctx.dtype, ctx.how = values.dtype, how
        return _dropped(values, dtype, how)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return _dropped(gradients[0], ctx.dtype, ctx.how), None, None, None, None, None


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
        learning: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        rows, hidden = weight_hh.shape
        steps, batch = inputs.shape[:2] if ids is None else ids.shape
        table = inputs.reshape(-1, rows)
        places = torch.arange(len(table)).view(steps, batch) if ids is None else ids
        hs = torch.empty((steps + 1, batch, hidden), dtype=weight_hh.dtype)
        cs = torch.empty((steps + 1, batch, hidden), dtype=torch.float32)
        hs[0], cs[0] = h, c
        kept = steps if learning else 0
        acts = torch.empty((kept, batch, rows // hidden + 1, hidden), dtype=weight_hh.dtype)
        packed = _packed(pack_transposed, _array(weight_hh), hidden, rows)
        share(
            forward, batch, _array(table), _array(places), _array(bias), packed, _array(hs),
            _array(cs), _array(acts),
        )  # fmt: skip
        ctx.held = hs, cs, acts
        ctx.size = len(table)
        ctx.save_for_backward(ids, weight_hh)
        return hs[1:], hs[steps].float(), cs[steps].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last, dc_last = gradients
        hs, cs, acts = ctx.held
        ids, weight_hh = ctx.saved_tensors
        steps, batch, hidden = d_outputs.shape
        rows = len(weight_hh)
        das = torch.empty((steps, batch, rows), dtype=weight_hh.dtype)
        dh, dc = dh_last.clone(), dc_last.clone()
        packed = _packed(pack, _array(weight_hh), rows, hidden)
        share(
            backward, batch, _array(d_outputs), packed, _array(cs), _array(acts), _array(dh),
            _array(dc), _array(das),
        )  # fmt: skip
        flat = das.view(steps * batch, rows)
        d_weight = flat.t() @ hs[:-1].view(steps * batch, hidden)
        places = torch.zeros(len(flat), dtype=torch.int64) if ids is None else ids.flatten()
        sums = torch.zeros((1 if ids is None else ctx.size, rows), dtype=torch.float32)
        share(add_rows, rows, _array(flat), _array(places), _array(sums))
        d_inputs = das if ids is None else sums
        d_bias = sums.sum(0)
        return d_inputs, None, d_bias, dh, dc, d_weight, None
