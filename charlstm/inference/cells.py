"""One time step of each cell in numpy: the equations of `charlstm.cells`, optimised.

sigma(x) = (tanh(x/2) + 1) / 2. The rows of sigmoid gates are halved beforehand, so that one call of
tanh computes all gates. `CellSpec.inference_gates` orders the gates so that one numpy call computes
several of them.

A stream is a column, (H, N), so that the rows of each gate are contiguous; a single stream drops
that axis. `x` is W x + b for the layer's input, `recurrent` is U h for the previous h, both in the
order of `inference_gates`.

At these sizes the overhead of numpy's calls dominates. Constants are therefore arrays without axes
and outputs are positional arguments: each halves the overhead of a call.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from charlstm.cells import COUPLED, GRU, LSTM, PEEPHOLE, RNN, CellSpec

Floats = NDArray[np.float32]
_HALF = np.array(0.5, dtype=np.float32)
_ONE = np.float32(1)


class CellWeights:
    """The weights of one layer, with gates reordered and scaled for inference.

    Args:
        spec: the cell.
        weights: the layer's arrays by their names in `CellSpec.weight_shapes`.

    Attributes:
        weight_ih, weight_hh: (G * H, inputs), (G * H, H).
        bias: (G * H,), added to W x.
        extra: blocks (H,) of `extra_biases` and `extra_weights`, by name.
    """

    def __init__(self, spec: CellSpec, weights: Mapping[str, NDArray[Any]]) -> None:
        def arranged(gates: NDArray[Any]) -> Floats:
            blocks = np.split(gates.astype(np.float32), spec.num_gates)
            return np.concatenate(
                [np.float32(factor) * blocks[index] for index, factor in spec.inference_layout]
            )

        def named(names: tuple[str, ...], vector: NDArray[Any]) -> dict[str, Floats]:
            blocks = np.split(vector.astype(np.float32), max(1, len(names)))
            return dict(zip(names, blocks, strict=bool(names)))

        hidden = weights["weight_hh"].shape[1]
        bias, extra_bias = np.split(weights["bias"], [spec.num_gates * hidden])
        self.weight_ih = arranged(weights["weight_ih"])
        self.weight_hh = arranged(weights["weight_hh"])
        self.bias = arranged(bias)
        self.extra = named(spec.extra_biases, extra_bias)
        for name, blocks in spec.extra_weights.items():
            self.extra |= named(blocks, weights[name])


class CellState(ABC):
    """The state of one layer's streams, and buffers for intermediate results.

    Args:
        tail: () for one stream, (N,) for more.
        hidden: H.
        extra: see `CellWeights`.
        zoneout: the zoneout probability, for cells that have it.

    Attributes:
        spec: the cell's specification.
        h: (H, N), or (H,) for one stream: the layer's output.
        h_one: (H + 1, N): h and a row of ones, which multiplies the column of biases of a product.
        parts: all arrays of the state, `h` first.
    """

    spec: ClassVar[CellSpec]

    def __init__(
        self, tail: tuple[int, ...], hidden: int, extra: Mapping[str, Floats], zoneout: float
    ) -> None:
        self.hidden = hidden
        self.tail = tail
        self.h_one = np.ones((hidden + 1, *tail), dtype=np.float32)
        self.h = self.h_one[:hidden]
        self.h[...] = 0.0
        self.parts = [self.h]
        columns = {name: block.reshape(-1, *(1 for _ in tail)) for name, block in extra.items()}
        self.prepare(columns, np.float32(zoneout))

    @abstractmethod
    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:
        """Allocate the rest of the state and the buffers; `extra` is (H, 1), or (H,)."""

    @abstractmethod
    def advance(self, x: Floats, recurrent: Floats) -> None:
        """One time step, which updates the state in place."""

    def gates_of(self, blocks: int) -> list[Floats]:
        """A buffer for a number of gates, followed by a view of each gate."""
        whole = np.zeros((blocks * self.hidden, *self.tail), dtype=np.float32)
        return [whole, *(_block(whole, n, self.hidden) for n in range(blocks))]


def _block(whole: Floats, first: int, hidden: int, count: int = 1) -> Floats:
    return whole[first * hidden : (first + count) * hidden]


def _logistic(gates: Floats) -> None:
    """Turn tanh(a/2) into sigma(a), in place."""
    np.multiply(gates, _HALF, gates)
    np.add(gates, _HALF, gates)


class LSTMState(CellState):
    """LSTM: gates i, f, o, g. c follows g in memory, so that i*g and f*c are one product."""

    spec = LSTM

    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:  # noqa: D102
        hidden = self.hidden
        whole, *_, self.c = self.gates_of(5)
        self.parts.append(self.c)
        self._pair, self._written, self._kept = self.gates_of(2)
        self._gates = _block(whole, 0, hidden, 4)
        self._logistic = _block(whole, 0, hidden, 3)
        self._i_f = _block(whole, 0, hidden, 2)
        self._o = _block(whole, 2, hidden)
        self._g_c = _block(whole, 3, hidden, 2)
        self._tanh_c = np.zeros_like(self.h)

    def advance(self, x: Floats, recurrent: Floats) -> None:
        """One time step; local variables avoid repeated attribute lookups."""
        gates, logistic, c, tanh_c = self._gates, self._logistic, self.c, self._tanh_c
        add, multiply, tanh = np.add, np.multiply, np.tanh
        add(x, recurrent, gates)
        tanh(gates, gates)
        multiply(logistic, _HALF, logistic)  # `_logistic`, inlined
        add(logistic, _HALF, logistic)
        multiply(self._i_f, self._g_c, self._pair)
        add(self._written, self._kept, c)
        tanh(c, tanh_c)
        multiply(self._o, tanh_c, self.h)


class PeepholeState(CellState):
    """LSTM with peepholes: gates i, f, g, o; o is computed last because it reads the new c."""

    spec = PEEPHOLE

    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:  # noqa: D102
        hidden = self.hidden
        self._whole, self._i, self._f, self._g, self._o = self.gates_of(4)
        self._i_f = _block(self._whole, 0, hidden, 2)
        self._i_f_g = _block(self._whole, 0, hidden, 3)
        self.c = np.zeros_like(self.h)
        self.parts.append(self.c)
        self._new_c, self._scratch = np.zeros_like(self.h), np.zeros_like(self.h)
        # Halved, as the rows of these gates are.
        self._p_i, self._p_f, self._p_o = (_HALF * extra[name] for name in ("pi", "pf", "po"))
        self._zoneout = zoneout

    def advance(self, x: Floats, recurrent: Floats) -> None:  # noqa: D102
        scratch, new_c, c = self._scratch, self._new_c, self.c
        np.add(x, recurrent, out=self._whole)
        for gate, peephole in ((self._i, self._p_i), (self._f, self._p_f)):
            np.multiply(c, peephole, out=scratch)
            np.add(gate, scratch, out=gate)
        np.tanh(self._i_f_g, out=self._i_f_g)
        _logistic(self._i_f)
        np.multiply(self._i, self._g, out=scratch)
        np.multiply(self._f, c, out=new_c)
        np.add(new_c, scratch, out=new_c)
        np.multiply(new_c, self._p_o, out=scratch)
        np.add(self._o, scratch, out=self._o)
        np.tanh(self._o, out=self._o)
        _logistic(self._o)
        np.tanh(new_c, out=scratch)
        if self._zoneout:
            np.multiply(self._o, scratch, out=scratch)
            self._mix(self.h, scratch)
            self._mix(c, new_c)
            return
        np.multiply(self._o, scratch, out=self.h)
        c[...] = new_c

    def _mix(self, old: Floats, new: Floats) -> None:
        """Store z*old + (1-z)*new, the mean over zoneout masks, in `old`."""
        np.multiply(old, self._zoneout, out=old)
        np.multiply(new, _ONE - self._zoneout, out=new)
        np.add(old, new, out=old)


class CoupledState(CellState):
    """LSTM with coupled gates: gates f, o, g; c' = f*c + (1-f)*g = g + f*(c - g)."""

    spec = COUPLED

    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:  # noqa: D102
        self._whole, self._f, self._o, self._g = self.gates_of(3)
        self._logistic = _block(self._whole, 0, self.hidden, 2)
        self.c = np.zeros_like(self.h)
        self.parts.append(self.c)
        self._scratch = np.zeros_like(self.h)

    def advance(self, x: Floats, recurrent: Floats) -> None:  # noqa: D102
        c, scratch = self.c, self._scratch
        np.add(x, recurrent, out=self._whole)
        np.tanh(self._whole, out=self._whole)
        _logistic(self._logistic)
        np.subtract(c, self._g, out=scratch)
        np.multiply(scratch, self._f, out=scratch)
        np.add(scratch, self._g, out=c)
        np.tanh(c, out=scratch)
        np.multiply(self._o, scratch, out=self.h)


class GRUState(CellState):
    """GRU: gates r, z, n; the recurrent term of n is separate because r multiplies it."""

    spec = GRU

    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:  # noqa: D102
        self._r_z, self._r, self._z = self.gates_of(2)
        self._n = np.zeros_like(self.h)
        self._c_n = extra["cn"]

    def advance(self, x: Floats, recurrent: Floats) -> None:  # noqa: D102
        hidden, n, h = self.hidden, self._n, self.h
        np.add(_block(x, 0, hidden, 2), _block(recurrent, 0, hidden, 2), out=self._r_z)
        np.tanh(self._r_z, out=self._r_z)
        _logistic(self._r_z)
        np.add(_block(recurrent, 2, hidden), self._c_n, out=n)
        np.multiply(n, self._r, out=n)
        np.add(n, _block(x, 2, hidden), out=n)
        np.tanh(n, out=n)
        np.subtract(h, n, out=h)  # h' = n + z*(h - n)
        np.multiply(h, self._z, out=h)
        np.add(h, n, out=h)


class RNNState(CellState):
    """Elman RNN: one gate, which is the output h."""

    spec = RNN

    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:
        """Nothing to allocate."""

    def advance(self, x: Floats, recurrent: Floats) -> None:  # noqa: D102
        np.add(x, recurrent, out=self.h)
        np.tanh(self.h, out=self.h)


CELL_STATES: dict[str, type[CellState]] = {
    state.spec.name: state for state in (LSTMState, PeepholeState, CoupledState, GRUState, RNNState)
}
"""The state class of each cell, by the cell's name."""
