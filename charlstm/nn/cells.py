"""Recurrent cells in torch: the equations of `charlstm.cells`, and fast windows.

`equations` is the form to compare with a paper; `step_window` computes a window by it, one step
after the other. Training calls `window`, which may be faster; a test holds the two equal, gradients
included.

Zoneout (Krueger et al. 2017) with probability z: each unit of c and of h keeps its old value with
probability z at each step of training; evaluation takes the mean, z*old + (1-z)*new. As there, h'
is computed from the new cell state before zoneout.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from charlstm.cells import COUPLED, GRU, LSTM, PEEPHOLE, RNN, CellSpec
from charlstm.nn import bptt
from charlstm.nn.dropout import Masks, Shard
from charlstm.nn.layer import Layer, State


class Cell(Layer):
    """One recurrent layer.

    A subclass needs `spec` and `equations`; it may have a faster `window`.

    Attributes:
        spec: the cell's record.
        compiled: whether `window` may run kernels (`charlstm.nn.kernel_ops`), on a CPU.
        weight_ih: (G * H, inputs).
        weight_hh: (G * H, H).
        bias: the gates' blocks and the record's `extra_biases`.
        zoneout: the probability, for cells that have it.
        weight_dropout: the probability that a weight of `weight_hh` is zeroed, in training.
        generator: draws zoneout's masks.
        shard: which of the streams these are, if other processes read the others.
    """

    spec: ClassVar[CellSpec]

    def __init__(self, inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.compiled = False
        self.zoneout = 0.0
        self.weight_dropout = 0.0
        self.generator: torch.Generator | None = None
        self.shard: Shard | None = None
        for name, shape in self.spec.weight_shapes(inputs, hidden_size).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    if TYPE_CHECKING:
        weight_ih: nn.Parameter
        weight_hh: nn.Parameter
        bias: nn.Parameter

    def initialize(self, generator: torch.Generator) -> None:
        """Draw weights: inputs uniform within 1/sqrt(H), each recurrent block orthogonal.

        An orthogonal block preserves the norm of what it multiplies (Saxe et al. 2014). The bias of
        a forget gate is 1 (Jozefowicz et al. 2015); other biases and extra weights are 0.
        """
        bound = 1.0 / math.sqrt(self.hidden_size)
        spec = self.spec
        with torch.no_grad():
            self.weight_ih.uniform_(-bound, bound, generator=generator)
            for block in self.weight_hh.chunk(spec.num_gates):
                nn.init.orthogonal_(block, generator=generator)
            self.bias.zero_()
            if spec.forget_gate is not None:
                self.bias.view(spec.num_biases, -1)[spec.gates.index(spec.forget_gate)] = 1.0
            for name in spec.extra_weights:
                self.get_parameter(name).zero_()

    @property
    def state_names(self) -> tuple[str, ...]:
        """As in the record."""
        return self.spec.state

    def initial_state(self, batch_size: int) -> State:
        """Zeros."""
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return tuple(zeros for _ in self.spec.state)

    def forward(
        self, xs: Tensor, state: State, masks: Masks, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """`window`, with dropout of the recurrent weights."""
        if self.zoneout:
            self.generator, self.shard = masks.generator, masks.shard
        weight_hh = masks.weights(self.weight_hh, self.weight_dropout)
        return self.window(xs, state, weight_hh, vectors)

    @abstractmethod
    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:
        """One step.

        Args:
            wx: W x, (B, G * H).
            uh: U h, (B, G * H).
            state: (B, H) each, in the record's order.

        Returns:
            The next state.
        """

    def window(
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """A whole window, in the fastest way that the cell has.

        Args:
            xs: (T, B, inputs). Or, if the cell takes ids, ids (T, B), int64.
            state: B streams' state; not changed.
            weight_hh: the recurrent weights after weight dropout, in the type of the products.
            vectors: with ids: what they stand for, (V, inputs); None: one-hot rows.

        Returns:
            Outputs (T, B, H) and the next state.
        """
        return self.step_window(xs, state, weight_hh, vectors)

    def step_window(
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor | None = None,
        vectors: Tensor | None = None,
    ) -> tuple[Tensor, State]:
        """`window` by the equations, one step after the other; weight_hh None: the cell's own."""
        weight_hh = self.weight_hh if weight_hh is None else weight_hh
        dtype, exact = weight_hh.dtype, state[0].dtype
        outputs = []
        for wx in _input_products(xs, self.weight_ih, None, dtype, vectors):
            uh = functional.linear(state[0].to(dtype), weight_hh)
            state = self.equations(wx.to(exact), uh.to(exact), state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def step(self, x: Tensor, state: State) -> State:
        """One step by the equations: inputs (B, inputs) and a state -> the next state."""
        return self.step_window(x[None], state)[1]


class _LSTM(Cell):
    """The cells that have a kernel for training."""

    def _uses_kernel(self, weight_hh: Tensor) -> bool:
        paired = weight_hh.dtype == torch.bfloat16 and self.hidden_size % 2 == 0
        fits = paired or weight_hh.dtype == torch.float32
        return self.compiled and fits and weight_hh.device.type == "cpu"

    def _kernel_window(
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None
    ) -> tuple[Tensor, State]:
        from charlstm.nn import kernel_ops  # noqa: PLC0415 - imports numba

        weight_ih = self.weight_ih.to(weight_hh.dtype)
        if xs.dtype == torch.int64:
            inputs, ids = _table(weight_ih, vectors), xs
        else:
            # A product that adds a bias takes twice the time; the kernel adds it.
            inputs, ids = functional.linear(xs.to(weight_hh.dtype), weight_ih), None
        outputs, h, c = kernel_ops.lstm_window(
            inputs, ids, self.bias, state[0], state[1], weight_hh
        )
        return outputs, (h, c)


class LSTMCell(_LSTM):
    """Long short-term memory."""

    spec = LSTM
    takes_ids = True

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        _h, c = state
        i, f, g, o = (wx + uh + self.bias).chunk(4, dim=1)  # each (B, H)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def window(  # noqa: D102 - see Cell
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self._uses_kernel(weight_hh):
            return self._kernel_window(xs, state, weight_hh, vectors)
        weights = self.weight_ih, weight_hh, self.bias
        return _fused_lstm(xs, state, weights, self.training, vectors)


class CoupledCell(_LSTM):
    """An LSTM with the input gate 1 - f."""

    spec = COUPLED
    takes_ids = True

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        _h, c = state
        f, g, o = (wx + uh + self.bias).chunk(3, dim=1)  # each (B, H)
        f = torch.sigmoid(f)
        c = f * c + (1 - f) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def window(  # noqa: D102 - see Cell
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self._uses_kernel(weight_hh):
            return self._kernel_window(xs, state, weight_hh, vectors)
        # 1 - sigma(a) = sigma(-a): the input gate of a full LSTM with the forget gate's weights
        # negated. Gradients of both flow into the one.
        hidden = self.hidden_size
        weight_ih, weight_hh, bias = (
            torch.cat([-w[:hidden], w]) for w in (self.weight_ih, weight_hh, self.bias)
        )
        return _fused_lstm(xs, state, (weight_ih, weight_hh, bias), self.training, vectors)


class PeepholeCell(Cell):
    """An LSTM whose gates see the cell state.

    Attributes:
        peephole: (3H,), the diagonal weights pi, pf, po.
    """

    spec = PEEPHOLE
    takes_ids = True
    if TYPE_CHECKING:
        peephole: nn.Parameter

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:
        """The equations, with zoneout."""
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
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        inputs = _input_products(xs, self.weight_ih, self.bias, weight_hh.dtype, vectors)
        masks = self.zoneout_masks(len(xs), xs.shape[1])
        h, c = state
        outputs, h, c = bptt.peephole_window(inputs, h, c, weight_hh, self.peephole, *masks)
        return outputs, (h, c)

    def zoneout_masks(self, steps: int, batch_size: int) -> tuple[Tensor | None, Tensor | None]:
        """The fraction of its old h and c that each unit keeps; (T, B, H) each.

        1 or 0 in training, otherwise the probability. None and None without zoneout.
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
    """The gated recurrent unit; its last block of biases is cn."""

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
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden = self.hidden_size
        bias_x, cn = self.bias[: 3 * hidden], self.bias[3 * hidden :]
        if xs.device.type == "cpu":  # where torch's own kernel is slower
            inputs = _input_products(xs, self.weight_ih, bias_x, weight_hh.dtype, vectors)
            outputs, h = bptt.gru_window(inputs, state[0], weight_hh, cn)
            return outputs, (h,)
        bias_h = torch.cat([torch.zeros_like(bias_x[hidden:]), cn])
        weights = [w.to(xs.dtype) for w in (self.weight_ih, weight_hh, bias_x, bias_h)]
        outputs, h = torch.gru(
            xs, state[0][None].to(xs.dtype), weights, has_biases=True, num_layers=1, dropout=0.0,
            train=self.training, bidirectional=False, batch_first=False,
        )  # fmt: skip
        return outputs, (h[0].float(),)


class RNNCell(Cell):
    """The plain recurrent layer."""

    spec = RNN

    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        return (torch.tanh(wx + uh + self.bias),)

    def window(  # noqa: D102 - see Cell
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        weights = [w.to(xs.dtype) for w in (self.weight_ih, weight_hh, self.bias)]
        weights.append(torch.zeros_like(weights[2]))
        outputs, h = torch.rnn_tanh(
            xs, state[0][None].to(xs.dtype), weights, has_biases=True, num_layers=1, dropout=0.0,
            train=self.training, bidirectional=False, batch_first=False,
        )  # fmt: skip
        return outputs, (h[0].to(state[0].dtype),)


def _fused_lstm(
    xs: Tensor,
    state: State,
    weights: tuple[Tensor, Tensor, Tensor],
    training: bool,
    vectors: Tensor | None,
) -> tuple[Tensor, State]:
    """The LSTM of torch, in the type of the recurrent weights; weights: ih, hh and bias."""
    dtype = weights[1].dtype
    if xs.dtype == torch.int64:
        size = weights[0].shape[1]
        xs = one_hot(xs, size, dtype) if vectors is None else functional.embedding(xs, vectors)
    xs = xs.to(dtype)
    h, c = state
    # torch adds two biases; the second is zero and not a weight.
    both = (*weights, torch.zeros_like(weights[2]))
    outputs, h, c = torch.lstm(
        xs,
        (h[None].to(dtype), c[None].to(dtype)),  # (1, B, H)
        [weight.to(dtype) for weight in both],
        has_biases=True,
        num_layers=1,
        dropout=0.0,
        train=training,
        bidirectional=False,
        batch_first=False,
    )
    return outputs, (h[0].to(state[0].dtype), c[0].to(state[1].dtype))


def _table(weight: Tensor, vectors: Tensor | None) -> Tensor:
    """W x for each id, (V, G * H); for one-hot rows these are the columns of W."""
    return weight.T if vectors is None else vectors.to(weight.dtype) @ weight.T


def _input_products(
    xs: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, vectors: Tensor | None
) -> Tensor:
    """W x + b for a whole window, (T, B, G * H): one product for rows, a look-up for ids."""
    if xs.dtype == torch.int64:
        table = _table(weight, vectors)
        return bptt.rows_of((table if bias is None else table + bias).to(dtype), xs)
    added = None if bias is None else bias.to(dtype)
    return functional.linear(xs.to(dtype), weight.to(dtype), added)


def one_hot(ids: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Ids of any shape -> rows of zeros with a single one, along a new last axis."""
    rows = torch.zeros(*ids.shape, size, dtype=dtype, device=ids.device)
    return rows.scatter_(-1, ids[..., None], 1.0)


CELL_MODULES: dict[str, type[Cell]] = {
    cell.spec.name: cell for cell in (LSTMCell, PeepholeCell, CoupledCell, GRUCell, RNNCell)
}
"""Each cell's module, by name."""
