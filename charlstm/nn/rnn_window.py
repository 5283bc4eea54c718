"""A window of an Elman RNN with starts, with a hand-written backward pass.

With a = W x + b, and starts as in `charlstm.nn.starts`:

    h' = tanh(a + U h)        da = dh' (1 - h'^2)        dh = U^T da
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from charlstm.nn.buffers import state_type, tanh_backward
from charlstm.nn.starts import Starts


def rnn_window(
    inputs: Tensor, h: Tensor, weight_hh: Tensor, starts: Starts
) -> tuple[Tensor, Tensor]:
    """A window of an Elman RNN, by the equations of this module.

    Args:
        inputs: a = W x + b, (T, B, H).
        h: the state, (B, H).
        weight_hh: U, (H, H), in the dtype of the products.
        starts: where streams start from the zero state.

    Returns:
        Outputs (T, B, H) and the last h, in float32 or better.
    """
    out: tuple[Tensor, Tensor] = _RNNWindow.apply(  # type: ignore[no-untyped-call]
        inputs, h, weight_hh, starts
    )
    return out


class _RNNWindow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, h: Tensor, weight_hh: Tensor, starts: Starts
    ) -> tuple[Tensor, Tensor]:
        steps, batch, hidden = inputs.shape
        exact = state_type(weight_hh)
        hs = torch.empty((steps, batch, hidden), dtype=weight_hh.dtype, device=inputs.device)
        outputs = torch.empty((steps, batch, hidden), dtype=exact, device=inputs.device)
        arguments = torch.empty_like(hs[0])
        transposed = weight_hh.t().contiguous()
        last: Tensor = h
        for a, read, out, rows in zip(
            inputs.unbind(), hs.unbind(), outputs.unbind(), starts.rows, strict=True
        ):
            read.copy_(last)
            if rows is not None:
                read.index_fill_(0, rows, 0)
            torch.addmm(a, read, transposed, out=arguments)
            out.copy_(arguments).tanh_()
            last = out
        ctx.starts = starts
        ctx.save_for_backward(hs, outputs, weight_hh)
        return outputs, outputs[-1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last = gradients
        hs, outputs, weight_hh = ctx.saved_tensors
        steps, batch, hidden = hs.shape
        d_inputs = torch.empty_like(hs)
        dh = dh_last.to(outputs.dtype, copy=True)
        loop = zip(
            d_outputs.to(outputs.dtype).unbind(), outputs.unbind(), d_inputs.unbind(),
            ctx.starts.rows, strict=True,
        )  # fmt: skip
        for d_out, out, da, rows in reversed(list(loop)):
            dh.add_(d_out)
            da.copy_(tanh_backward(dh, out, grad_input=dh))
            dh.copy_(da @ weight_hh)
            if rows is not None:
                dh.index_fill_(0, rows, 0)
        flat = d_inputs.view(steps * batch, hidden)
        return d_inputs, dh, flat.t() @ hs.view(steps * batch, hidden), None
