"""Whole windows with a hand-written backward pass, for cells that torch does not fuse.

The peephole LSTM. Over steps t = 1..T, with a = W x + b for the whole window in one product,
zoneout masks k_h, k_c (0 without zoneout), and everything elementwise but U h:

    i = sigma(a_i + U_i h + p_i c)          f = sigma(a_f + U_f h + p_f c)
    g = tanh(a_g + U_g h)                   s = f c + i g
    o = sigma(a_o + U_o h + p_o s)          u = tanh(s)
    c' = k_c c + (1 - k_c) s                h' = k_h h + (1 - k_h) o u

Backwards, from dh' (of this step's output and of the step after) and dc':

    da_o = (1 - k_h) dh' u o (1 - o)
    ds   = (1 - k_c) dc' + (1 - k_h) dh' o (1 - u^2) + da_o p_o
    da_i = ds g i (1 - i)       da_f = ds c f (1 - f)       da_g = ds i (1 - g^2)
    dc   = k_c dc' + ds f + da_i p_i + da_f p_f
    dh   = k_h dh' + U^T da

Every factor beside dh', dc' and ds is known in the forward pass. So they are computed there, while
gates are still in the processor's cache, and stored in place of the gates:

    M_o = (1 - k_h) u o (1 - o)         N = (1 - k_h) o (1 - u^2) + M_o p_o
    M_i = g i (1 - i)     M_f = c f (1 - f)     M_g = i (1 - g^2)     R = f + M_i p_i + M_f p_f

and a step back is da_o = dh' M_o, ds = (1 - k_c) dc' + dh' N, da_ifg = ds M_ifg,
dc = k_c dc' + ds R, and one product. The gradients of weights sum over all steps at once:
dU = sum over t of da_t h_(t-1)^T is one product, dp_i = sum da_i c, dp_f = sum da_f c,
dp_o = sum da_o s. `a`'s gradient is da itself.

The GRU, in the same way, with a = W x + b of r, z, n, and v = U_n h + c_n:

    r = sigma(a_r + U_r h)    z = sigma(a_z + U_z h)    n = tanh(a_n + r v)    h' = (1-z) n + z h

    da_z = dh' (h - n) z (1 - z)            da_n = dh' (1 - z) (1 - n^2)
    da_r = da_n v r (1 - r)                 dv = da_n r            dh = dh' z + U^T (da_r, da_z, dv)

with M_z = (h - n) z (1 - z), M_n = (1 - z)(1 - n^2), M_r = M_n v r (1 - r), M_v = M_n r.

tanh(x) = 2 sigma(2 x) - 1: torch's sigma takes a fifth of the time of its tanh, so the loops use
sigma.

Products are made in the type of the recurrent weights (float32, bfloat16 or float64); sums,
gates and states are float32 at least.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # d s (1 - s)
_tanh_backward = torch.ops.aten.tanh_backward.grad_input  # d (1 - t^2)


class _Buffers:
    """A pool of scratch memory for windows: fresh pages take longer than the arithmetic.

    A tensor from `take` is in use until it is passed to `give`.
    """

    _MOST_BYTES = 1 << 29  # beyond it, the pool is emptied: shapes have changed

    def __init__(self) -> None:
        self._free: dict[tuple[Any, ...], list[Tensor]] = {}
        self._bytes = 0

    def take(self, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype) -> Tensor:
        free = self._free.get((shape, dtype, like.device))
        if not free:
            return torch.empty(shape, dtype=dtype, device=like.device)
        tensor = free.pop()
        self._bytes -= tensor.nbytes
        return tensor

    def give(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            if tensor.is_inference():
                continue  # training may not write into it
            if self._bytes + tensor.nbytes > self._MOST_BYTES:
                self._free.clear()
                self._bytes = 0
            key = (tuple(tensor.shape), tensor.dtype, tensor.device)
            self._free.setdefault(key, []).append(tensor)
            self._bytes += tensor.nbytes


_buffers = _Buffers()


class _Saved:
    """Tensors saved for the backward pass; returned to the pool with the graph."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    def __del__(self) -> None:
        _buffers.give(*self.tensors)


def _state_type(weight: Tensor) -> torch.dtype:
    return torch.promote_types(weight.dtype, torch.float32)


def _tanh_of(sigmoid: Tensor) -> None:
    """Replace sigma(2 y) by tanh(y) = 2 sigma(2 y) - 1."""
    sigmoid.mul_(2).sub_(1)


def rows_of(table: Tensor, ids: Tensor) -> Tensor:
    """`table[ids]` with a fast backward pass: table (V, N), ids (...) -> (..., N)."""
    rows: Tensor = _Rows.apply(table, ids)  # type: ignore[no-untyped-call]
    return rows


def peephole_window(
    inputs: Tensor,
    h: Tensor,
    c: Tensor,
    weight_hh: Tensor,
    peephole: Tensor,
    zoneout_mask_h: Tensor | None = None,
    zoneout_mask_c: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A window of peephole LSTM: see the module's head.

    Args:
        inputs: a = W x + b, (T, B, 4H), gates i, f, g, o.
        h, c: the state, (B, H).
        weight_hh: U, (4H, H), in the type of the products.
        peephole: p_i, p_f, p_o, (3H,).
        zoneout_mask_h, zoneout_mask_c: the fraction that each unit keeps of its old h and c,
            (T, B, H) each; both or neither.

    Returns:
        Outputs (T, B, H), and the last h and c, in float32 or better.
    """
    out: tuple[Tensor, Tensor, Tensor] = _PeepholeWindow.apply(  # type: ignore[no-untyped-call]
        inputs, h, c, weight_hh, peephole, zoneout_mask_h, zoneout_mask_c, torch.is_grad_enabled()
    )
    return out


def gru_window(inputs: Tensor, h: Tensor, weight_hh: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A window of GRU: see the module's head.

    Args:
        inputs: a = W x + b, (T, B, 3H), gates r, z, n.
        h: the state, (B, H).
        weight_hh: U, (3H, H), in the type of the products.
        bias: c_n, (H,).

    Returns:
        Outputs (T, B, H) and the last h, in float32 or better.
    """
    out: tuple[Tensor, Tensor] = _GRUWindow.apply(  # type: ignore[no-untyped-call]
        inputs, h, weight_hh, bias, torch.is_grad_enabled()
    )
    return out


_MOST_COLUMNS = 1024  # of a one-hot matrix that is faster than a sum row by row


def _d_rows(gradients: Tensor, ids: Tensor, size: int) -> Tensor:
    """The gradient (V, N) of a table, from gradients (R, N) of its rows `ids` (R,).

    It is one product with one-hot columns, which runs in parallel, or a sum row by row.
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


class _PeepholeWindow(torch.autograd.Function):
    @staticmethod
    def forward(  # noqa: PLR0915 - one loop, in the order of the equations
        ctx: Any,
        inputs: Tensor,
        h: Tensor,
        c: Tensor,
        weight_hh: Tensor,
        peephole: Tensor,
        zoneout_mask_h: Tensor | None,
        zoneout_mask_c: Tensor | None,
        has_backward: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = inputs.shape
        hidden = weight_hh.shape[1]
        product, exact = weight_hh.dtype, _state_type(weight_hh)
        p_i, p_f, p_o = peephole.to(exact).view(3, hidden)
        p_if = peephole[: 2 * hidden].to(exact).view(2, hidden)
        hs = _buffers.take((steps + 1, batch, hidden), inputs, product)
        cs = _buffers.take((steps + 1, batch, hidden), inputs, exact)
        outputs = torch.empty((steps, batch, hidden), dtype=exact, device=inputs.device)
        hs[0], cs[0] = h, c
        new_cs = cs[1:]
        if zoneout_mask_c is not None:
            new_cs = _buffers.take((steps, batch, hidden), inputs, exact)
        # M_i, M_f, M_g, M_o, N, R of every step.
        saved_steps = steps if has_backward else 1
        factors = _buffers.take((saved_steps, batch, 6, hidden), inputs, exact)
        each = [block.unbind() * (steps // saved_steps) for block in factors.unbind(2)]
        # One step's gates and u; views of them and of all steps are made once, for in the loop
        # each would cost as much as a sum.
        acts = _buffers.take((batch, 5, hidden), inputs, exact)
        i, f, g, o, u = acts.unbind(1)
        ifgo, if_, ifg, ou = acts[:, :4], acts[:, :2], acts[:, :3], acts[:, 3:]
        arguments = _buffers.take((batch, 4 * hidden), inputs, product)
        by_gate = arguments.view(batch, 4, hidden)
        transposed = weight_hh.t().contiguous()
        last_h = h.to(exact)
        loop = zip(
            inputs.unbind(), hs.unbind()[:-1], hs.unbind()[1:], cs.unbind()[:-1], new_cs.unbind(),
            outputs.unbind(), cs[:, :, None].unbind()[:-1], *each, strict=True,
        )  # fmt: skip
        for t, (a, old_h, new_h, old_c, s, out, c_wide, m_i, m_f, m_g, m_o, n, r) in enumerate(
            loop
        ):
            torch.addmm(a, old_h, transposed, out=arguments)
            ifgo.copy_(by_gate)
            if_.addcmul_(c_wide, p_if)
            g.mul_(2)
            ifg.sigmoid_()
            _tanh_of(g)
            torch.mul(f, old_c, out=s)
            s.addcmul_(i, g)
            torch.mul(s, 2, out=u)
            o.addcmul_(s, p_o)
            ou.sigmoid_()
            _tanh_of(u)
            torch.mul(o, u, out=out)
            if has_backward:
                _sigmoid_backward(u, o, grad_input=m_o)
                _tanh_backward(o, u, grad_input=n)
                if zoneout_mask_h is not None:
                    m_o.mul_(1 - zoneout_mask_h[t])
                    n.mul_(1 - zoneout_mask_h[t])
                n.addcmul_(m_o, p_o)
                _sigmoid_backward(g, i, grad_input=m_i)
                _sigmoid_backward(old_c, f, grad_input=m_f)
                _tanh_backward(i, g, grad_input=m_g)
                torch.addcmul(f, m_i, p_i, out=r).addcmul_(m_f, p_f)
            if zoneout_mask_h is not None and zoneout_mask_c is not None:
                out.lerp_(last_h, zoneout_mask_h[t])
                torch.lerp(s, old_c, zoneout_mask_c[t], out=cs[t + 1])
                last_h = out
            new_h.copy_(out)
        final_c = cs[steps].clone()
        _buffers.give(arguments, acts)
        ctx.saved = _Saved(factors, hs, cs, *([] if zoneout_mask_c is None else [new_cs]))
        ctx.save_for_backward(weight_hh, peephole, zoneout_mask_h, zoneout_mask_c)
        return outputs, outputs[-1].clone(), final_c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last, dc_last = gradients
        weight_hh, peephole, zoneout_mask_h, zoneout_mask_c = ctx.saved_tensors
        factors, hs, cs = ctx.saved.tensors[:3]
        new_cs = cs[1:] if zoneout_mask_c is None else ctx.saved.tensors[3]
        steps, batch, _, hidden = factors.shape
        product, exact = weight_hh.dtype, factors.dtype
        d_acts = torch.empty((steps, batch, 4 * hidden), dtype=product, device=factors.device)
        # One step's da, before it is rounded to the type of the products.
        da = _buffers.take((batch, 4 * hidden), factors, exact)
        da_ifg, da_o = da.view(batch, 4, hidden)[:, :3], da.view(batch, 4, hidden)[:, 3]
        back = _buffers.take((batch, hidden), factors, product)
        dh = dh_last.to(exact, copy=True)
        dc = dc_last.to(exact, copy=True)
        dc_wide = dc[:, None]
        loop = zip(
            range(steps), d_outputs.to(exact).unbind(), factors[:, :, :3].unbind(),
            *(block.unbind() for block in factors.unbind(2)[3:]), d_acts.unbind(), strict=True,
        )  # fmt: skip
        for t, d_out, m_ifg, m_o, n, r, d_act in reversed(list(loop)):
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
        flat = d_acts.view(steps * batch, 4 * hidden)
        d_weight = torch.mm(flat.t(), hs[:-1].view(steps * batch, hidden))
        gates = d_acts.view(steps, batch, 4, hidden)
        d_peephole = [
            torch.mul(gates[:, :, gate], seen).sum((0, 1), dtype=exact)
            for gate, seen in ((0, cs[:-1]), (1, cs[:-1]), (3, new_cs))
        ]
        _buffers.give(da, back)
        weights = (d_weight, torch.cat(d_peephole).to(peephole.dtype))
        return d_acts, dh, dc, *weights, None, None, None


class _GRUWindow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, h: Tensor, weight_hh: Tensor, bias: Tensor, has_backward: bool
    ) -> tuple[Tensor, Tensor]:
        steps, batch, _ = inputs.shape
        hidden = weight_hh.shape[1]
        product, exact = weight_hh.dtype, _state_type(weight_hh)
        by_gate = inputs.view(steps, batch, 3, hidden)
        a_n = by_gate[:, :, 2]
        # What U h is added to: a_r, a_z, and c_n.
        base = _buffers.take((steps, batch, 3, hidden), inputs, product)
        base[:, :, :2] = by_gate[:, :, :2]
        base[:, :, 2] = bias
        hs = _buffers.take((steps + 1, batch, hidden), inputs, product)
        outputs = torch.empty((steps + 1, batch, hidden), dtype=exact, device=inputs.device)
        hs[0] = outputs[0] = h
        # M_r, M_z, M_v, M_n and z of every step.
        saved_steps = steps if has_backward else 1
        factors = _buffers.take((saved_steps, batch, 5, hidden), inputs, exact)
        each = [block.unbind() * (steps // saved_steps) for block in factors.unbind(2)]
        # One step's r, z, v, and n.
        acts = _buffers.take((batch, 4, hidden), inputs, exact)
        r, z, v, n = acts.unbind(1)
        rzv, rz = acts[:, :3], acts[:, :2]
        arguments = _buffers.take((batch, 3 * hidden), inputs, product)
        by_gate = arguments.view(batch, 3, hidden)
        transposed = weight_hh.t().contiguous()
        loop = zip(
            base.view(steps, batch, 3 * hidden).unbind(), a_n.unbind(), hs.unbind()[:-1],
            hs.unbind()[1:], outputs.unbind()[:-1], outputs.unbind()[1:], *each, strict=True,
        )  # fmt: skip
        for a, own_n, old, new, old_h, new_h, m_r, m_z, m_v, m_n, saved_z in loop:
            torch.addmm(a, old, transposed, out=arguments)
            rzv.copy_(by_gate)
            rz.sigmoid_()
            n.copy_(own_n)
            n.addcmul_(r, v).mul_(2).sigmoid_()
            _tanh_of(n)
            torch.lerp(n, old_h, z, out=new_h)
            if has_backward:
                saved_z.copy_(z)
                torch.sub(old_h, n, out=m_v)
                _sigmoid_backward(m_v, z, grad_input=m_z)
                torch.sub(1, z, out=m_v)
                _tanh_backward(m_v, n, grad_input=m_n)
                torch.mul(m_n, v, out=m_v)
                _sigmoid_backward(m_v, r, grad_input=m_r)
                torch.mul(m_n, r, out=m_v)
            new.copy_(new_h)
        _buffers.give(arguments, acts, base)
        ctx.saved = _Saved(factors, hs)
        ctx.save_for_backward(weight_hh)
        ctx.bias_type = bias.dtype
        return outputs[1:], outputs[-1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, dh_last = gradients
        (weight_hh,) = ctx.saved_tensors
        factors, hs = ctx.saved.tensors
        steps, batch, _, hidden = factors.shape
        product, exact = weight_hh.dtype, factors.dtype
        # da_r, da_z, dv for U, and da_n beside them.
        d_acts = _buffers.take((steps, batch, 4 * hidden), factors, product)
        da = _buffers.take((batch, 4 * hidden), factors, exact)
        by_gate = da.view(batch, 4, hidden)
        back = _buffers.take((batch, hidden), factors, product)
        dh = dh_last.to(exact, copy=True)
        dh_wide = dh[:, None]
        flat = d_acts[:, :, : 3 * hidden]
        loop = zip(
            d_outputs.to(exact).unbind(), factors[:, :, :4].unbind(), factors[:, :, 4].unbind(),
            d_acts.unbind(), flat.unbind(), strict=True,
        )  # fmt: skip
        for d_out, factor, z, d_act, d_rzv in reversed(list(loop)):
            dh.add_(d_out)
            torch.mul(factor, dh_wide, out=by_gate)
            d_act.copy_(da)
            dh.mul_(z).add_(torch.mm(d_rzv, weight_hh, out=back))
        d_weight = torch.mm(
            flat.reshape(steps * batch, 3 * hidden).t(), hs[:-1].view(steps * batch, hidden)
        )
        d_inputs = torch.empty((steps, batch, 3 * hidden), dtype=product, device=factors.device)
        d_inputs[:, :, : 2 * hidden] = d_acts[:, :, : 2 * hidden]
        d_inputs[:, :, 2 * hidden :] = d_acts[:, :, 3 * hidden :]
        d_bias = flat[:, :, 2 * hidden :].sum((0, 1), dtype=exact).to(ctx.bias_type)
        _buffers.give(d_acts, da, back)
        return d_inputs, dh, d_weight, d_bias, None
