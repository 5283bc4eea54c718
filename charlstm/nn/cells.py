"""Recurrent cells: each by its equations, one step at a time, and as a fast window.

sigma is the logistic function, * is elementwise. A cell's gates stand along the first axis of its
weights in the order in which its class names them, with one bias for each gate.

lstm (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000), gates i, f, g, o:

    i = sigma(Wi x + Ui h + bi)        f = sigma(Wf x + Uf h + bf)
    g = tanh(Wg x + Ug h + bg)         o = sigma(Wo x + Uo h + bo)
    c' = f*c + i*g                     h' = o*tanh(c')

peephole (Gers & Schmidhuber 2000): as lstm, but the gates see the cell state:

    i = sigma(... + pi*c)      f = sigma(... + pf*c)      o = sigma(... + po*c')

  With zoneout z (Krueger et al. 2017) each unit of c and of h keeps its old value with
  probability z at each step of training; evaluation takes the mean, z*old + (1-z)*new. As there,
  h' is made from the new cell state before units of it are kept.

coupled (CIFG, Greff et al. 2017), gates f, g, o: as lstm with i = 1 - f.

gru (Cho et al. 2014; reset after the product, as cuDNN), gates r, z, n:

    r = sigma(Wr x + Ur h + br)        z = sigma(Wz x + Uz h + bz)
    n = tanh(Wn x + bn + r*(Un h + cn))              h' = (1-z)*n + z*h

rnn (Elman 1990): h' = tanh(W x + U h + b).

`step` is the form to hold against a paper; `window` is the one that training uses, and a test
holds the two equal, gradients included.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from charlstm.nn import bptt

State = tuple[Tensor, ...]
"""What a cell carries from one character to the next, each (B, H)."""

Share = tuple[slice, int]
"""Which of a batch's streams a process reads, and how many streams there are in all."""


class Cell(nn.Module, ABC):
    """One layer of recurrence.

    Attributes:
        gates: how many blocks of H rows the matrices have.
        biases: how many blocks of H the bias has.
        state_names: what the state's parts are called; the first is the output.
        forget_gate: which block is the forget gate's, if the cell has one.
        gathers: whether `window` takes ids in place of rows, on a CPU.
        compiled: whether `window` may be compiled code (`charlstm.nn.kernel_ops`), on a CPU.
        weight_ih: (gates * H, inputs).
        weight_hh: (gates * H, H).
        bias: (biases * H,).
    """

    gates: ClassVar[int]
    biases: ClassVar[int]
    state_names: ClassVar[tuple[str, ...]]
    forget_gate: ClassVar[int | None] = None
    gathers: ClassVar[bool] = False

    def __init__(self, inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.compiled = False
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden_size, inputs))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(self.biases * hidden_size))

    def initialize(self, generator: torch.Generator) -> None:
        """Draw weights: inputs uniform within 1/sqrt(H), each recurrent block orthogonal.

        An orthogonal block neither grows nor shrinks what it passes on (Saxe et al. 2014). A
        forget gate is open at first: its bias is 1 (Jozefowicz et al. 2015).
        """
        bound = 1.0 / math.sqrt(self.hidden_size)
        with torch.no_grad():
            self.weight_ih.uniform_(-bound, bound, generator=generator)
            for block in self.weight_hh.chunk(self.gates):
                nn.init.orthogonal_(block, generator=generator)
            self.bias.zero_()
            if self.forget_gate is not None:
                self.bias.view(self.biases, -1)[self.forget_gate] = 1.0

    @abstractmethod
    def step(self, x: Tensor, state: State) -> State:
        """The equations: inputs (B, inputs) and a state -> the next state."""

    @abstractmethod
    def window(
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """A whole window: (T, B, inputs) and a state -> outputs (T, B, H) and the next state.

        Args:
            xs: inputs; products are made in their type. Or ids (T, B), int64, where the cell's
                products are made in `weight_hh`'s type.
            state: B streams' state; not changed.
            weight_hh: the recurrent weights, or what dropout left of them.
            vectors: what ids stand for, (V, inputs); without it they stand for one-hot rows.
        """

    def step_window(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """The readable twin of `window`: one step after the other."""
        outputs = []
        for x in xs:
            state = self.step(x, state)
            outputs.append(state[0])
        return torch.stack(outputs), state


class _LSTM(Cell):
    """What the cells have in common whose windows may be compiled."""

    def _compiles(self, weight_hh: Tensor) -> bool:
        paired = weight_hh.dtype == torch.bfloat16 and self.hidden_size % 2 == 0
        fits = paired or weight_hh.dtype == torch.float32
        return self.compiled and fits and weight_hh.device.type == "cpu"

    def _compiled_window(
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None
    ) -> tuple[Tensor, State]:
        from charlstm.nn import kernel_ops  # noqa: PLC0415 - numba takes its time

        weight_ih = self.weight_ih.to(weight_hh.dtype)
        if xs.dtype == torch.int64:
            inputs, ids = _table(weight_ih, vectors), xs
        else:
            # A product that adds a bias takes twice the time; the window adds it.
            inputs, ids = functional.linear(xs.to(weight_hh.dtype), weight_ih), None
        outputs, h, c = kernel_ops.lstm_window(
            inputs, ids, self.bias, state[0], state[1], weight_hh
        )
        return outputs, (h, c)


class LSTMCell(_LSTM):
    """Long short-term memory, as in the module's head."""

    gates = biases = 4
    state_names = ("h", "c")
    forget_gate = 1
    gathers = True

    def step(self, x: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        h, c = state
        gates = x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias  # (B, 4H)
        i, f, g, o = gates.chunk(4, dim=1)  # each (B, H)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def window(  # noqa: D102 - see Cell
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self._compiles(weight_hh):
            return self._compiled_window(xs, state, weight_hh, vectors)
        weights = self.weight_ih, weight_hh, self.bias
        return _fused_lstm(xs, state, weights, self.training, vectors)


class CoupledCell(_LSTM):
    """An LSTM whose input gate is what its forget gate leaves, as in the module's head."""

    gates = biases = 3
    state_names = ("h", "c")
    forget_gate = 0
    gathers = True

    def step(self, x: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        h, c = state
        gates = x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias  # (B, 3H)
        f, g, o = gates.chunk(3, dim=1)  # each (B, H)
        f = torch.sigmoid(f)
        c = f * c + (1 - f) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def window(  # noqa: D102 - see Cell
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self._compiles(weight_hh):
            return self._compiled_window(xs, state, weight_hh, vectors)
        # 1 - sigma(a) = sigma(-a): the input gate of a full LSTM with the forget gate's weights
        # negated. Gradients of both flow into the one.
        hidden = self.hidden_size
        weight_ih, weight_hh, bias = (
            torch.cat([-w[:hidden], w]) for w in (self.weight_ih, weight_hh, self.bias)
        )
        return _fused_lstm(xs, state, (weight_ih, weight_hh, bias), self.training, vectors)


class PeepholeCell(Cell):
    """An LSTM whose gates see the cell state, as in the module's head.

    Attributes:
        peephole: (3H,), the diagonal weights pi, pf, po.
        zoneout: the share of units that keep their state.
        generator: draws who keeps it.
        share: which of the streams these are, if others are read elsewhere.
    """

    gates = biases = 4
    state_names = ("h", "c")
    forget_gate = 1
    gathers = True

    def __init__(self, inputs: int, hidden_size: int) -> None:
        super().__init__(inputs, hidden_size)
        self.peephole = nn.Parameter(torch.empty(3 * hidden_size))
        self.zoneout = 0.0
        self.generator: torch.Generator | None = None
        self.share: Share | None = None

    def initialize(self, generator: torch.Generator) -> None:
        """As every cell, with the peepholes closed."""
        super().initialize(generator)
        with torch.no_grad():
            self.peephole.zero_()

    def step(self, x: Tensor, state: State) -> State:
        """The equations; a unit's `kept` is 1 or 0 in training, and zoneout's rate otherwise."""
        h, c = state
        kept_h, kept_c = self.kept(1, len(x))
        gates = x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias  # (B, 4H)
        i, f, g, o = gates.chunk(4, dim=1)  # each (B, H)
        pi, pf, po = self.peephole.chunk(3)
        new_c = torch.sigmoid(f + pf * c) * c + torch.sigmoid(i + pi * c) * torch.tanh(g)
        new_h = torch.sigmoid(o + po * new_c) * torch.tanh(new_c)
        if kept_h is None or kept_c is None:
            return new_h, new_c
        return (
            kept_h[0] * h + (1 - kept_h[0]) * new_h,
            kept_c[0] * c + (1 - kept_c[0]) * new_c,
        )

    def window(  # noqa: D102 - see Cell
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        inputs = _input_products(xs, self.weight_ih, self.bias, weight_hh.dtype, vectors)
        kept = self.kept(len(xs), xs.shape[1])
        h, c = state
        outputs, h, c = bptt.peephole_window(inputs, h, c, weight_hh, self.peephole, *kept)
        return outputs, (h, c)

    def kept(self, steps: int, batch_size: int) -> tuple[Tensor | None, Tensor | None]:
        """How much of h and of c each unit keeps: (T, B, H) each, or None each without zoneout."""
        if not self.zoneout:
            return None, None
        like = self.peephole
        if not self.training:
            shape = (2, steps, batch_size, self.hidden_size)
            both = torch.full(shape, self.zoneout, dtype=like.dtype, device=like.device)
        else:
            own, total = self.share or (slice(None), batch_size)
            shape = (2, steps, total, self.hidden_size)
            draws = torch.rand(shape, generator=self.generator, device=like.device)[:, :, own]
            both = (draws < self.zoneout).to(like.dtype)
        return both[0], both[1]


class GRUCell(Cell):
    """The gated recurrent unit, as in the module's head; its last bias is cn."""

    gates = 3
    biases = 4
    state_names = ("h",)
    gathers = True

    def step(self, x: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        (h,) = state
        br, bz, bn, cn = self.bias.chunk(4)
        xr, xz, xn = (x @ self.weight_ih.T).chunk(3, dim=1)
        hr, hz, hn = (h @ self.weight_hh.T).chunk(3, dim=1)
        r = torch.sigmoid(xr + hr + br)
        z = torch.sigmoid(xz + hz + bz)
        n = torch.tanh(xn + bn + r * (hn + cn))
        return ((1 - z) * n + z * h,)

    def window(  # noqa: D102 - see Cell
        self, xs: Tensor, state: State, weight_hh: Tensor, vectors: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden = self.hidden_size
        bias_x, cn = self.bias[: 3 * hidden], self.bias[3 * hidden :]
        if xs.device.type == "cpu":  # where torch's own takes longer
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
    """The plain recurrent layer, as in the module's head: the baseline that forgets."""

    gates = biases = 1
    state_names = ("h",)

    def step(self, x: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        (h,) = state
        return (torch.tanh(x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias),)

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
    """Run torch's LSTM in the type of the weights hh, from weights ih, hh and bias."""
    dtype = weights[1].dtype
    if xs.dtype == torch.int64:
        size = weights[0].shape[1]
        xs = one_hot(xs, size, dtype) if vectors is None else functional.embedding(xs, vectors)
    xs = xs.to(dtype)
    h, c = state
    # The kernel adds two biases; the second is zero and not a weight.
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
    """W x for whatever ids stand for, (V, gates * H): a one-hot row gathers a column of W."""
    return weight.T if vectors is None else vectors.to(weight.dtype) @ weight.T


def _input_products(
    xs: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype, vectors: Tensor | None
) -> Tensor:
    """All of a window's input products at once: W x + b, (T, B, gates * H); ids only gather."""
    if xs.dtype == torch.int64:
        return bptt.rows_of((_table(weight, vectors) + bias).to(dtype), xs)
    return functional.linear(xs.to(dtype), weight.to(dtype), bias.to(dtype))


def one_hot(ids: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Ids of any shape -> rows of zeros with a single one, along a new last axis."""
    rows = torch.zeros(*ids.shape, size, dtype=dtype, device=ids.device)
    return rows.scatter_(-1, ids[..., None], 1.0)


CELLS: dict[str, type[Cell]] = {
    "lstm": LSTMCell,
    "peephole": PeepholeCell,
    "coupled": CoupledCell,
    "gru": GRUCell,
    "rnn": RNNCell,
}
