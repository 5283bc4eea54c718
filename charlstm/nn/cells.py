"""The recurrent cells in torch: equations, and fast implementations of whole windows.

`equations` implements the equations of `charlstm.cells` literally; `step_window` applies them step
by step. Training calls `window`, which may be faster. A test compares the two, including gradients.

Zoneout (Krueger et al. 2017) with probability z: in training, each unit of c and h keeps its old
value with probability z at each time step. Evaluation uses the mean, z*old + (1-z)*new. As in the
paper, h' is computed from the new cell state before zoneout.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from charlstm.cells import COUPLED, GRU, LSTM, PEEPHOLE, RNN
from charlstm.nn.cell import Cell, input_products, one_hot, product_table
from charlstm.nn.gru_window import gru_window
from charlstm.nn.layer import State
from charlstm.nn.packed_window import packed_window
from charlstm.nn.peephole_window import peephole_window
from charlstm.nn.rnn_window import rnn_window
from charlstm.nn.starts import Starts


class _LSTM(Cell):
    """Base class of the cells with a training kernel; without the kernel, torch's LSTM is used."""

    takes_ids = True

    def window(
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        if self._uses_kernel(weight_hh):
            return self._kernel_window(xs, state, weight_hh, vectors, starts)
        weights = self._lstm_weights(weight_hh)
        return _fused_lstm(xs, state, weights, self.training, vectors, starts)

    def _lstm_weights(self, weight_hh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The weights of an equivalent LSTM: weight_ih, weight_hh and bias."""
        return self.weight_ih, weight_hh, self.bias

    def _uses_kernel(self, weight_hh: Tensor) -> bool:
        paired = weight_hh.dtype == torch.bfloat16 and self.hidden_size % 2 == 0
        fits = paired or weight_hh.dtype == torch.float32
        return self.compiled and fits and weight_hh.device.type == "cpu"

    def _kernel_window(
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor,
        vectors: Tensor | None,
        starts: Starts | None,
    ) -> tuple[Tensor, State]:
        from charlstm.nn import kernel_ops  # noqa: PLC0415 - imports numba

        weight_ih = self.weight_ih.to(weight_hh.dtype)
        if xs.dtype == torch.int64:
            inputs, ids = product_table(weight_ih, vectors), xs
        else:
            # A product with a bias takes twice the time, so the kernel adds the bias.
            inputs, ids = functional.linear(xs.to(weight_hh.dtype), weight_ih), None
        outputs, h, c = kernel_ops.lstm_window(
            inputs, ids, self.bias, state[0], state[1], weight_hh, starts
        )
        return outputs, (h, c)


class LSTMCell(_LSTM):
    """The LSTM cell."""

    spec = LSTM

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        _h, c = state
        i, f, g, o = (wx + uh + self.bias).chunk(4, dim=1)  # each (B, H)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class CoupledCell(_LSTM):
    """The LSTM cell with coupled gates: the input gate is 1 - f."""

    spec = COUPLED

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        _h, c = state
        f, g, o = (wx + uh + self.bias).chunk(3, dim=1)  # each (B, H)
        f = torch.sigmoid(f)
        c = f * c + (1 - f) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def _lstm_weights(self, weight_hh: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        # 1 - sigma(a) = sigma(-a): an LSTM whose input gate has the negated weights of the forget
        # gate. The gradients of both gates are added.
        hidden = self.hidden_size
        weight_ih, weight_hh, bias = (
            torch.cat([-w[:hidden], w]) for w in (self.weight_ih, weight_hh, self.bias)
        )
        return weight_ih, weight_hh, bias


class PeepholeCell(Cell):
    """The LSTM cell with peepholes: the gates also read the cell state.

    Attributes:
        peephole: (3H,), the diagonal weights pi, pf, po.
    """

    spec = PEEPHOLE
    takes_ids = True
    if TYPE_CHECKING:
        peephole: nn.Parameter

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:
        """One time step by the cell's equations, with zoneout."""
        h, c = state
        i, f, g, o = (wx + uh + self.bias).chunk(4, dim=1)  # each (B, H)
        pi, pf, po = self.peephole.chunk(3)
        new_c = torch.sigmoid(f + pf * c) * c + torch.sigmoid(i + pi * c) * torch.tanh(g)
        new_h = torch.sigmoid(o + po * new_c) * torch.tanh(new_c)
        mask_h, mask_c = self.zoneout_masks(1, len(h))
        if mask_h is None or mask_c is None:
            return new_h, new_c
        return (
            mask_h[0] * h + (1 - mask_h[0]) * new_h,
            mask_c[0] * c + (1 - mask_c[0]) * new_c,
        )

    def window(  # noqa: D102 - see Cell
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        inputs = input_products(xs, self.weight_ih, self.bias, weight_hh.dtype, vectors)
        masks = self.zoneout_masks(len(xs), xs.shape[1])
        h, c = state
        outputs, h, c = peephole_window(
            inputs, h, c, weight_hh, self.peephole, *masks, starts=starts
        )
        return outputs, (h, c)

    def zoneout_masks(self, steps: int, batch_size: int) -> tuple[Tensor | None, Tensor | None]:
        """Zoneout masks of h and c, (T, B, H) each; None, None without zoneout.

        The fraction of the old value that each unit keeps: 1 or 0 in training, otherwise z.
        """
        if not self.zoneout:
            return None, None
        like = self.peephole
        if not self.training:
            shape = (2, steps, batch_size, self.hidden_size)
            both = torch.full(shape, self.zoneout, dtype=like.dtype, device=like.device)
        else:
            own, total = self.shard or (slice(None), batch_size)
            shape = (2, steps, total, self.hidden_size)
            draws = torch.rand(shape, generator=self.generator, device=like.device)[:, :, own]
            both = (draws < self.zoneout).to(like.dtype)
        return both[0], both[1]


class GRUCell(Cell):
    """The GRU cell; cn is the last block of `bias`."""

    spec = GRU
    takes_ids = True

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        (h,) = state
        br, bz, bn, cn = self.bias.chunk(4)
        xr, xz, xn = wx.chunk(3, dim=1)
        hr, hz, hn = uh.chunk(3, dim=1)
        r = torch.sigmoid(xr + hr + br)
        z = torch.sigmoid(xz + hz + bz)
        n = torch.tanh(xn + bn + r * (hn + cn))
        return ((1 - z) * n + z * h,)

    def window(  # noqa: D102 - see Cell
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        hidden = self.hidden_size
        bias_x, cn = self.bias[: 3 * hidden], self.bias[3 * hidden :]
        if xs.device.type == "cpu":  # faster than torch's GRU
            inputs = input_products(xs, self.weight_ih, bias_x, weight_hh.dtype, vectors)
            outputs, h = gru_window(inputs, state[0], weight_hh, cn, starts=starts)
            return outputs, (h,)
        bias_h = torch.cat([torch.zeros_like(bias_x[hidden:]), cn])
        weights = [w.to(xs.dtype) for w in (self.weight_ih, weight_hh, bias_x, bias_h)]
        outputs, (h,) = _by_torch(torch.gru, xs, state, weights, self.training, starts)
        return outputs, (h.float(),)


class RNNCell(Cell):
    """The Elman RNN cell, with tanh."""

    spec = RNN

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        return (torch.tanh(wx + uh + self.bias),)

    def window(  # noqa: D102 - see Cell
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        if starts is not None and xs.device.type == "cpu":  # faster than packed sequences
            inputs = input_products(xs, self.weight_ih, self.bias, weight_hh.dtype, vectors)
            outputs, h = rnn_window(inputs, state[0], weight_hh, starts)
            return outputs, (h,)
        weights = [w.to(xs.dtype) for w in (self.weight_ih, weight_hh, self.bias)]
        weights.append(torch.zeros_like(weights[2]))
        outputs, (h,) = _by_torch(torch.rnn_tanh, xs, state, weights, self.training, starts)
        return outputs, (h.to(state[0].dtype),)


def _fused_lstm(
    xs: Tensor,
    state: State,
    weights: tuple[Tensor, Tensor, Tensor],
    training: bool,
    vectors: Tensor | None,
    starts: Starts | None,
) -> tuple[Tensor, State]:
    """A window computed by torch's LSTM; weights: weight_ih, weight_hh (which sets dtype), bias."""
    dtype = weights[1].dtype
    if starts is not None and xs.device.type == "cpu":  # faster than packed sequences
        inputs = input_products(xs, weights[0], weights[2], dtype, vectors)
        h, c = state
        outputs, h, c = peephole_window(inputs, h, c, weights[1], starts=starts)
        return outputs, (h, c)
    if xs.dtype == torch.int64:
        size = weights[0].shape[1]
        xs = one_hot(xs, size, dtype) if vectors is None else functional.embedding(xs, vectors)
    # torch's LSTM has two biases; the second is zero and not trained.
    both = (*weights, torch.zeros_like(weights[2]))
    outputs, last = _by_torch(
        torch.lstm, xs.to(dtype), state, [weight.to(dtype) for weight in both], training, starts
    )
    return outputs, tuple(part.to(old.dtype) for part, old in zip(last, state, strict=True))


def _by_torch(
    function: Callable[..., Any],
    xs: Tensor,
    state: State,
    weights: list[Tensor],
    training: bool,
    starts: Starts | None,
) -> tuple[Tensor, State]:
    """A window computed by `torch.lstm`, `torch.gru` or `torch.rnn_tanh`, in the dtype of `xs`."""
    is_lstm = function is torch.lstm  # its state is a tuple
    options = {
        "has_biases": True, "num_layers": 1, "dropout": 0.0, "train": training,
        "bidirectional": False,
    }  # fmt: skip

    def run(packed: Tensor, batch_sizes: Tensor, first: State) -> tuple[Any, ...]:
        hx = first if is_lstm else first[0]
        found: tuple[Any, ...] = function(packed, batch_sizes, hx, weights, **options)
        return found

    given = tuple(part.to(xs.dtype) for part in state)
    if starts is not None:
        return packed_window(run, xs, given, starts)
    hx = tuple(part[None] for part in given)  # (1, B, H)
    outputs, *last = function(xs, hx if is_lstm else hx[0], weights, **options, batch_first=False)
    return outputs, tuple(part[0] for part in last)


CELL_MODULES: dict[str, type[Cell]] = {
    cell.spec.name: cell for cell in (LSTMCell, PeepholeCell, CoupledCell, GRUCell, RNNCell)
}
"""The module of each cell, by the cell's name."""
