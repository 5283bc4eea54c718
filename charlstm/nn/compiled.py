"""Windows of LSTM by compiled code (`charlstm.compiled`), with a way back for torch.

Recurrent products and gates are compiled; the weights' gradient, one product over all steps, is
torch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from charlstm.compiled import backward, forward, pack, pack_transposed, panels
from charlstm.nn.threads import share


def lstm_window(
    inputs: Tensor, h: Tensor, c: Tensor, weight_hh: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """A window of LSTM on a CPU: see `charlstm.compiled`.

    Args:
        inputs: a = W x + b, (T, B, G H), in the type of `weight_hh`; four gates i, f, g, o, or
            three, f, g, o, of a coupled cell.
        h, c: the state, (B, H), float32.
        weight_hh: U, (G H, H), float32, or bfloat16 if H is even.

    Returns:
        Outputs (T, B, H) in the type of `weight_hh`, and the last h and c in float32.
    """
    out: tuple[Tensor, Tensor, Tensor] = _LSTMWindow.apply(  # type: ignore[no-untyped-call]
        inputs, h, c, weight_hh, torch.is_grad_enabled()
    )
    return out


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


class _LSTMWindow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, h: Tensor, c: Tensor, weight_hh: Tensor, learning: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = inputs.shape
        rows, hidden = weight_hh.shape
        hs = torch.empty((steps + 1, batch, hidden), dtype=weight_hh.dtype)
        cs = torch.empty((steps + 1, batch, hidden), dtype=torch.float32)
        hs[0], cs[0] = h, c
        kept = steps if learning else 0
        acts = torch.empty((kept, batch, rows // hidden + 1, hidden), dtype=weight_hh.dtype)
        packed = _packed(pack_transposed, _array(weight_hh), hidden, rows)
        share(forward, batch, _array(inputs), packed, _array(hs), _array(cs), _array(acts))
        ctx.held = hs, cs, acts
        ctx.save_for_backward(weight_hh)
        return hs[1:], hs[steps].float(), cs[steps].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last, dc_last = gradients
        hs, cs, acts = ctx.held
        (weight_hh,) = ctx.saved_tensors
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
        return das, dh, dc, d_weight, None
