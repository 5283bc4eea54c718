"""A window of an LSTM with peepholes, with a hand-written backward pass.

For time steps t = 1..T, with a = W x + b computed for the whole window in one product, and zoneout
masks k_h and k_c (0 without zoneout). All operations but U h are elementwise.

    i = sigma(a_i + U_i h + p_i c)          f = sigma(a_f + U_f h + p_f c)
    g = tanh(a_g + U_g h)                   s = f c + i g
    o = sigma(a_o + U_o h + p_o s)          u = tanh(s)
    c' = k_c c + (1 - k_c) s                h' = k_h h + (1 - k_h) o u

The backward pass, from dc' and from dh', the gradient of the output and of the next step:

    da_o = (1 - k_h) dh' u o (1 - o)
    ds   = (1 - k_c) dc' + (1 - k_h) dh' o (1 - u^2) + da_o p_o
    da_i = ds g i (1 - i)       da_f = ds c f (1 - f)       da_g = ds i (1 - g^2)
    dc   = k_c dc' + ds f + da_i p_i + da_f p_f
    dh   = k_h dh' + U^T da

All factors other than dh', dc' and ds are known in the forward pass. They are computed there, while
the gates are in the processor's cache, and stored instead of the gates:

    M_o = (1 - k_h) u o (1 - o)         N = (1 - k_h) o (1 - u^2) + M_o p_o
    M_i = g i (1 - i)     M_f = c f (1 - f)     M_g = i (1 - g^2)     R = f + M_i p_i + M_f p_f

A step of the backward pass is then da_o = dh' M_o, ds = (1 - k_c) dc' + dh' N, da_ifg = ds M_ifg,
dc = k_c dc' + ds R, and one matrix product. The gradients of the weights are sums over all steps:
dU = sum over t of da_t h_(t-1)^T is one matrix product, dp_i = sum da_i c, dp_f = sum da_f c,
dp_o = sum da_o s. The gradient of a is da.
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


def peephole_window(
    inputs: Tensor,
    h: Tensor,
    c: Tensor,
    weight_hh: Tensor,
    peephole: Tensor | None = None,
    zoneout_mask_h: Tensor | None = None,
    zoneout_mask_c: Tensor | None = None,
    *,
    starts: Starts | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A window of an LSTM with peepholes, by the equations of this module.

    Args:
        inputs: a = W x + b, (T, B, 4H), gates i, f, g, o.
        h, c: the state, (B, H).
        weight_hh: U, (4H, H), in the dtype of the products.
        peephole: p_i, p_f, p_o, (3H,); None: zeros, as in an LSTM without peepholes.
        zoneout_mask_h, zoneout_mask_c: the fraction that each unit keeps of its old h and c,
            (T, B, H) each; both or neither.
        starts: where streams start from the zero state; None: nowhere.

    Returns:
        Outputs (T, B, H), and the last h and c, in float32 or better.
    """
    out: tuple[Tensor, Tensor, Tensor] = _PeepholeWindow.apply(  # type: ignore[no-untyped-call]
        inputs, h, c, weight_hh, peephole, zoneout_mask_h, zoneout_mask_c, starts,
        torch.is_grad_enabled(),
    )  # fmt: skip
    return out


class _PeepholeWindow(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0912, PLR0915 - one loop, in the order of the equations
        ctx: Any,
        inputs: Tensor,
        h: Tensor,
        c: Tensor,
        weight_hh: Tensor,
        peephole: Tensor | None,
        zoneout_mask_h: Tensor | None,
        zoneout_mask_c: Tensor | None,
        starts: Starts | None,
        has_backward: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = inputs.shape
        hidden = weight_hh.shape[1]
        product, exact = weight_hh.dtype, state_type(weight_hh)
        if peephole is not None:
            p_i, p_f, p_o = peephole.to(exact).view(3, hidden)
            p_if = peephole[: 2 * hidden].to(exact).view(2, hidden)
        hs = buffers.take((steps + 1, batch, hidden), inputs, product)
        cs = buffers.take((steps + 1, batch, hidden), inputs, exact)
        outputs = torch.empty((steps, batch, hidden), dtype=exact, device=inputs.device)
        hs[0], cs[0] = h, c
        new_cs = cs[1:]
        has_own_s = zoneout_mask_c is not None or starts is not None  # or else s is the next c
        if has_own_s:
            new_cs = buffers.take((steps, batch, hidden), inputs, exact)
        # M_i, M_f, M_g, M_o, N, R of every step.
        saved_steps = steps if has_backward else 1
        factors = buffers.take((saved_steps, batch, 6, hidden), inputs, exact)
        each = [block.unbind() * (steps // saved_steps) for block in factors.unbind(2)]
        # The gates and u of one step. Views of them and of all steps are made before the loop, as
        # making a view takes as long as a sum.
        acts = buffers.take((batch, 5, hidden), inputs, exact)
        i, f, g, o, u = acts.unbind(1)
        ifgo, if_, ifg, ou = acts[:, :4], acts[:, :2], acts[:, :3], acts[:, 3:]
        arguments = buffers.take((batch, 4 * hidden), inputs, product)
        by_gate = arguments.view(batch, 4, hidden)
        transposed = weight_hh.t().contiguous()
        last_h = h.to(exact)
        loop = zip(
            inputs.unbind(), hs.unbind()[:-1], hs.unbind()[1:], cs.unbind()[:-1], new_cs.unbind(),
            outputs.unbind(), cs[:, :, None].unbind()[:-1],
            [None] * steps if starts is None else starts.rows, *each, strict=True,
        )  # fmt: skip
        for t, (
            a, old_h, new_h, old_c, s, out, c_wide, rows, m_i, m_f, m_g, m_o, n, r
        ) in enumerate(loop):  # fmt: skip
            if rows is not None:
                old_h.index_fill_(0, rows, 0)
                old_c.index_fill_(0, rows, 0)
                if zoneout_mask_h is not None:
                    last_h = last_h.index_fill(0, rows, 0)
            torch.addmm(a, old_h, transposed, out=arguments)
            ifgo.copy_(by_gate)
            if peephole is not None:
                if_.addcmul_(c_wide, p_if)
            g.mul_(2)
            ifg.sigmoid_()
            tanh_of(g)
            torch.mul(f, old_c, out=s)
            s.addcmul_(i, g)
            torch.mul(s, 2, out=u)
            if peephole is not None:
                o.addcmul_(s, p_o)
            ou.sigmoid_()
            tanh_of(u)
            torch.mul(o, u, out=out)
            if has_backward:
                sigmoid_backward(u, o, grad_input=m_o)
                tanh_backward(o, u, grad_input=n)
                if zoneout_mask_h is not None:
                    m_o.mul_(1 - zoneout_mask_h[t])
                    n.mul_(1 - zoneout_mask_h[t])
                if peephole is not None:
                    n.addcmul_(m_o, p_o)
                sigmoid_backward(g, i, grad_input=m_i)
                sigmoid_backward(old_c, f, grad_input=m_f)
                tanh_backward(i, g, grad_input=m_g)
                if peephole is None:
                    r.copy_(f)
                else:
                    torch.addcmul(f, m_i, p_i, out=r).addcmul_(m_f, p_f)
            if zoneout_mask_h is not None and zoneout_mask_c is not None:
                out.lerp_(last_h, zoneout_mask_h[t])
                torch.lerp(s, old_c, zoneout_mask_c[t], out=cs[t + 1])
                last_h = out
            elif starts is not None:
                cs[t + 1] = s
            new_h.copy_(out)
        final_c = cs[steps].clone()
        buffers.give(arguments, acts)
        ctx.saved = Saved(factors, hs, cs, *([new_cs] if has_own_s else []))
        ctx.starts = starts
        ctx.save_for_backward(weight_hh, peephole, zoneout_mask_h, zoneout_mask_c)
        return outputs, outputs[-1].clone(), final_c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last, dc_last = gradients
        weight_hh, peephole, zoneout_mask_h, zoneout_mask_c = ctx.saved_tensors
        factors, hs, cs = ctx.saved.tensors[:3]
        new_cs = ctx.saved.tensors[3] if len(ctx.saved.tensors) > 3 else cs[1:]
        steps, batch, _, hidden = factors.shape
        product, exact = weight_hh.dtype, factors.dtype
        d_acts = torch.empty((steps, batch, 4 * hidden), dtype=product, device=factors.device)
        # da of one step, before it is rounded to the dtype of the products.
        da = buffers.take((batch, 4 * hidden), factors, exact)
        da_ifg, da_o = da.view(batch, 4, hidden)[:, :3], da.view(batch, 4, hidden)[:, 3]
        back = buffers.take((batch, hidden), factors, product)
        dh = dh_last.to(exact, copy=True)
        dc = dc_last.to(exact, copy=True)
        dc_wide = dc[:, None]
        loop = zip(
            range(steps), d_outputs.to(exact).unbind(), factors[:, :, :3].unbind(),
            *(block.unbind() for block in factors.unbind(2)[3:]), d_acts.unbind(),
            [None] * steps if ctx.starts is None else ctx.starts.rows, strict=True,
        )  # fmt: skip
        for t, d_out, m_ifg, m_o, n, r, d_act, rows in reversed(list(loop)):
            dh.add_(d_out)
            torch.mul(dh, m_o, out=da_o)
            if zoneout_mask_h is None or zoneout_mask_c is None:
                dc.addcmul_(dh, n)  # this is ds
                torch.mul(m_ifg, dc_wide, out=da_ifg)
                dc.mul_(r)
            else:
                ds = (dc * (1 - zoneout_mask_c[t])).addcmul_(dh, n)
                torch.mul(m_ifg, ds[:, None], out=da_ifg)
                dc.mul_(zoneout_mask_c[t]).addcmul_(ds, r)
            d_act.copy_(da)
            torch.mm(d_act, weight_hh, out=back)
            if zoneout_mask_h is None:
                dh.copy_(back)
            else:
                dh.mul_(zoneout_mask_h[t]).add_(back)
            if rows is not None:
                dh.index_fill_(0, rows, 0)
                dc.index_fill_(0, rows, 0)
        flat = d_acts.view(steps * batch, 4 * hidden)
        d_weight = torch.mm(flat.t(), hs[:-1].view(steps * batch, hidden))
        buffers.give(da, back)
        d_peephole = None
        if peephole is not None:
            gates = d_acts.view(steps, batch, 4, hidden)
            parts = [
                torch.mul(gates[:, :, gate], seen).sum((0, 1), dtype=exact)
                for gate, seen in ((0, cs[:-1]), (1, cs[:-1]), (3, new_cs))
            ]
            d_peephole = torch.cat(parts).to(peephole.dtype)
        return d_acts, dh, dc, d_weight, d_peephole, None, None, None, None
