"""A window of a GRU with a hand-written backward pass.

As in `charlstm.nn.peephole_window`, the forward pass computes all factors that it knows.
With a = W x + b of r, z, n, and v = U_n h + c_n:

    r = sigma(a_r + U_r h)    z = sigma(a_z + U_z h)    n = tanh(a_n + r v)    h' = (1-z) n + z h

    da_z = dh' (h - n) z (1 - z)            da_n = dh' (1 - z) (1 - n^2)
    da_r = da_n v r (1 - r)                 dv = da_n r            dh = dh' z + U^T (da_r, da_z, dv)

with M_z = (h - n) z (1 - z), M_n = (1 - z)(1 - n^2), M_r = M_n v r (1 - r), M_v = M_n r.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from charlstm.nn.buffers import (
    Saved,
    buffers,
    sigmoid_backward,
    state_type,
    tanh_backward,
    tanh_of,
)
from charlstm.nn.starts import Starts


def gru_window(
    inputs: Tensor, h: Tensor, weight_hh: Tensor, bias: Tensor, *, starts: Starts | None = None
) -> tuple[Tensor, Tensor]:
    """A window of a GRU, by the equations of this module.

    Args:
        inputs: a = W x + b, (T, B, 3H), gates r, z, n.
        h: the state, (B, H).
        weight_hh: U, (3H, H), in the dtype of the products.
        bias: c_n, (H,).
        starts: where streams start from the zero state; None: nowhere.

    Returns:
        Outputs (T, B, H) and the last h, in float32 or better.
    """
    out: tuple[Tensor, Tensor] = _GRUWindow.apply(  # type: ignore[no-untyped-call]
        inputs, h, weight_hh, bias, starts, torch.is_grad_enabled()
    )
    return out


class _GRUWindow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        h: Tensor,
        weight_hh: Tensor,
        bias: Tensor,
        starts: Starts | None,
        has_backward: bool,
    ) -> tuple[Tensor, Tensor]:
        steps, batch, _ = inputs.shape
        hidden = weight_hh.shape[1]
        product, exact = weight_hh.dtype, state_type(weight_hh)
        by_gate = inputs.view(steps, batch, 3, hidden)
        a_n = by_gate[:, :, 2]
        # The terms to which U h is added: a_r, a_z, and c_n.
        base = buffers.take((steps, batch, 3, hidden), inputs, product)
        base[:, :, :2] = by_gate[:, :, :2]
        base[:, :, 2] = bias
        hs = buffers.take((steps + 1, batch, hidden), inputs, product)
        outputs = torch.empty((steps + 1, batch, hidden), dtype=exact, device=inputs.device)
        hs[0] = outputs[0] = h
        # M_r, M_z, M_v, M_n and z of every step.
        saved_steps = steps if has_backward else 1
        factors = buffers.take((saved_steps, batch, 5, hidden), inputs, exact)
        each = [block.unbind() * (steps // saved_steps) for block in factors.unbind(2)]
        # One step's r, z, v, and n.
        acts = buffers.take((batch, 4, hidden), inputs, exact)
        r, z, v, n = acts.unbind(1)
        rzv, rz = acts[:, :3], acts[:, :2]
        arguments = buffers.take((batch, 3 * hidden), inputs, product)
        by_gate = arguments.view(batch, 3, hidden)
        transposed = weight_hh.t().contiguous()
        loop = zip(
            base.view(steps, batch, 3 * hidden).unbind(), a_n.unbind(), hs.unbind()[:-1],
            hs.unbind()[1:], outputs.unbind()[:-1], outputs.unbind()[1:],
            [None] * steps if starts is None else starts.rows, *each, strict=True,
        )  # fmt: skip
        for a, own_n, old, new, old_h, new_h, rows, m_r, m_z, m_v, m_n, saved_z in loop:
            if rows is not None:
                old.index_fill_(0, rows, 0)
                old_h = old_h.index_fill(0, rows, 0)  # noqa: PLW2901 - an output stays
            torch.addmm(a, old, transposed, out=arguments)
            rzv.copy_(by_gate)
            rz.sigmoid_()
            n.copy_(own_n)
            n.addcmul_(r, v).mul_(2).sigmoid_()
            tanh_of(n)
            torch.lerp(n, old_h, z, out=new_h)
            if has_backward:
                saved_z.copy_(z)
                torch.sub(old_h, n, out=m_v)
                sigmoid_backward(m_v, z, grad_input=m_z)
                torch.sub(1, z, out=m_v)
                tanh_backward(m_v, n, grad_input=m_n)
                torch.mul(m_n, v, out=m_v)
                sigmoid_backward(m_v, r, grad_input=m_r)
                torch.mul(m_n, r, out=m_v)
            new.copy_(new_h)
        buffers.give(arguments, acts, base)
        ctx.saved = Saved(factors, hs)
        ctx.save_for_backward(weight_hh)
        ctx.bias_type = bias.dtype
        ctx.starts = starts
        return outputs[1:], outputs[-1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last = gradients
        (weight_hh,) = ctx.saved_tensors
        factors, hs = ctx.saved.tensors
        steps, batch, _, hidden = factors.shape
        product, exact = weight_hh.dtype, factors.dtype
        # da_r, da_z, dv for U, and da_n beside them.
        d_acts = buffers.take((steps, batch, 4 * hidden), factors, product)
        da = buffers.take((batch, 4 * hidden), factors, exact)
        by_gate = da.view(batch, 4, hidden)
        back = buffers.take((batch, hidden), factors, product)
        dh = dh_last.to(exact, copy=True)
        dh_wide = dh[:, None]
        flat = d_acts[:, :, : 3 * hidden]
        loop = zip(
            d_outputs.to(exact).unbind(), factors[:, :, :4].unbind(), factors[:, :, 4].unbind(),
            d_acts.unbind(), flat.unbind(),
            [None] * steps if ctx.starts is None else ctx.starts.rows, strict=True,
        )  # fmt: skip
        for d_out, factor, z, d_act, d_rzv, rows in reversed(list(loop)):
            dh.add_(d_out)
            torch.mul(factor, dh_wide, out=by_gate)
            d_act.copy_(da)
            dh.mul_(z).add_(torch.mm(d_rzv, weight_hh, out=back))
            if rows is not None:
                dh.index_fill_(0, rows, 0)
        d_weight = torch.mm(
            flat.reshape(steps * batch, 3 * hidden).t(), hs[:-1].view(steps * batch, hidden)
        )
        d_inputs = torch.empty((steps, batch, 3 * hidden), dtype=product, device=factors.device)
        d_inputs[:, :, : 2 * hidden] = d_acts[:, :, : 2 * hidden]
        d_inputs[:, :, 2 * hidden :] = d_acts[:, :, 3 * hidden :]
        d_bias = flat[:, :, 2 * hidden :].sum((0, 1), dtype=exact).to(ctx.bias_type)
        buffers.give(d_acts, da, back)
        return d_inputs, dh, d_weight, d_bias, None, None
