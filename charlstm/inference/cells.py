"""The cells' steps in numpy: the equations of `charlstm.cells`, arranged for speed.

sigma(x) = (tanh(x/2) + 1) / 2: with the rows of sigmoid gates halved beforehand, one tanh serves
all gates. A record's `inference_gates` order the gates so that one call of numpy computes several.

A stream's values are a column, (H, N), so that each gate's rows lie together; a single stream drops
that axis, which saves numpy work. `x` is W x + b of the layer's input, `recurrent` is U h of the
step before, both in inference's order of gates.

Constants are arrays without axes and outputs are positional arguments. Each halves the cost of a
call, and at these sizes calls are the cost.
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
    """One layer's weights, gates reordered and scaled for its step.

    Args:
        spec: the cell.
        weights: the layer's arrays by their names in `CellSpec.weight_shapes`.

    Attributes:
        weight_ih, weight_hh: (G * H, inputs), (G * H, H).
        bias: (G * H,), added to the input's product.
        extra: blocks (H,) of `extra_biases` and `extra_weights`, by name.
    """

    def __init__(self, spec: CellSpec, weights: Mapping[str, NDArray[Any]]) -> None:
        def arranged(gates: NDArray[Any]) -> Floats:
            blocks = np.split(gates.astype(np.float32), spec.num_gates)
            return np.concatenate(
                [np.float32(factor) * blocks[place] for place, factor in spec.inference_layout]
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
    """One layer's streams: state and scratch memory.

    Args:
        tail: () for one stream, (N,) for more.
        hidden: H.
        extra: see `CellWeights`.
        zoneout: the probability, for cells that have it.

    Attributes:
        spec: the cell's record.
        h: (H, N), or (H,) for one stream: the layer's output.
        h_one: (H + 1, N): h with a row of ones below, by which a product's last column, the
            biases, is multiplied.
        parts: every array of the state, `h` first.
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
        """Allocate the rest of the state and scratch memory; `extra` as (H, 1), or (H,)."""

    @abstractmethod
    def advance(self, x: Floats, recurrent: Floats) -> None:
        """One step; afterwards `h` is the new one."""

    def gates_of(self, blocks: int) -> list[Floats]:
        """Memory for some gates, and a view of each gate."""
        whole = np.zeros((blocks * self.hidden, *self.tail), dtype=np.float32)
        return [whole, *(_block(whole, n, self.hidden) for n in range(blocks))]


def _block(whole: Floats, first: int, hidden: int, count: int = 1) -> Floats:
    return whole[first * hidden : (first + count) * hidden]


def _logistic(gates: Floats) -> None:
    """The tanh of halved arguments -> the logistic function."""
    np.multiply(gates, _HALF, gates)
    np.add(gates, _HALF, gates)


class LSTMState(CellState):
    """Gates i, f, o, g with c behind g, so that i*g and f*c are one product."""

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
        """One step, with no attribute looked up twice, for speed."""
        gates, logistic, c, tanh_c = self._gates, self._logistic, self.c, self._tanh_c
        add, multiply, tanh = np.add, np.multiply, np.tanh
        add(x, recurrent, gates)
        tanh(gates, gates)
        multiply(logistic, _HALF, logistic)  # _logistic, without a call of its own
        add(logistic, _HALF, logistic)
        multiply(self._i_f, self._g_c, self._pair)
        add(self._written, self._kept, c)
        tanh(c, tanh_c)
        multiply(self._o, tanh_c, self.h)


class PeepholeState(CellState):
    """Gates i, f, g, o; o is computed last, as it sees the new c."""

    spec = PEEPHOLE

    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:  # noqa: D102
        hidden = self.hidden
        self._whole, self._i, self._f, self._g, self._o = self.gates_of(4)
        self._i_f = _block(self._whole, 0, hidden, 2)
        self._i_f_g = _block(self._whole, 0, hidden, 3)
        self.c = np.zeros_like(self.h)
        self.parts.append(self.c)
        self._new_c, self._scratch = np.zeros_like(self.h), np.zeros_like(self.h)
        # Halved as their gates.
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
        """z*old + (1-z)*new, the mean over zoneout's masks, into `old`."""
        np.multiply(old, self._zoneout, out=old)
        np.multiply(new, _ONE - self._zoneout, out=new)
        np.add(old, new, out=old)


class CoupledState(CellState):
    """Gates f, o, g: c' = f*c + (1-f)*g = g + f*(c - g)."""

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
    """Gates r, z, n; n's recurrent term is computed apart, as r multiplies it."""

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
    """One gate, the output itself."""

    spec = RNN

    def prepare(self, extra: Mapping[str, Floats], zoneout: np.float32) -> None:
        """It needs none."""

    def advance(self, x: Floats, recurrent: Floats) -> None:  # noqa: D102
        np.add(x, recurrent, out=self.h)
        np.tanh(self.h, out=self.h)


CELL_STATES: dict[str, type[CellState]] = {
    state.spec.name: state for state in (LSTMState, PeepholeState, CoupledState, GRUState, RNNState)
}
"""Each cell's step, by name."""
