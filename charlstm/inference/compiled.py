"""One stream's loop compiled by numba: draw, step, draw again, without the interpreter between.

It is `Sampler.choose_one` and `Session.step` of a stack of LSTM layers, their input gate coupled
or not, written out, for the extra `charlstm[fast]`. Importing this module imports numba, which
takes most of a second, and compiles where nothing compiled is cached;
`charlstm.inference.sampling` does so only where the text is long enough. A test holds both loops
equal.

Products go to scipy's BLAS through `np.dot`. That leaves, at small sizes, the tanh: libm's is
made for one number at a time, ours for many.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from charlstm.compiled import compiled, tanh
from charlstm.inference.cells import Floats
from charlstm.inference.engine import Session

_HALF, _ONE = np.float32(0.5), np.float32(1)


@compiled
def _advance(x: Floats, recurrent: Floats, gates: Floats, c: Floats, h: Floats) -> None:
    """`LSTMState.advance`, and `CoupledState.advance` where there are three gates.

    Gates (i,) f, o, g, all but the last halved before their tanh.
    """
    hidden = len(c)
    for j in range(len(gates)):
        gates[j] = tanh(x[j] + recurrent[j])
    g, o, f = gates[-hidden:], gates[-2 * hidden : -hidden], gates[-3 * hidden : -2 * hidden]
    if len(gates) == 3 * hidden:
        for j in range(hidden):
            c[j] = g[j] + _HALF * (f[j] + _ONE) * (c[j] - g[j])
    else:
        i = gates[:hidden]
        for j in range(hidden):
            c[j] = _HALF * ((i[j] + _ONE) * g[j] + (f[j] + _ONE) * c[j])
    for j in range(hidden):
        h[j] = _HALF * (o[j] + _ONE) * tanh(c[j])


@compiled
def _draw(logits: Floats, divisor: np.float32, uniform: float, powers: Floats) -> int:
    """`Sampler.choose_one`; `powers` is scratch memory, (V,)."""
    top = logits[0]
    for logit in logits:
        top = max(top, logit)
    total = np.float32(0)
    for j in range(len(logits)):
        total += np.exp((logits[j] - top) / divisor)
        powers[j] = total
    threshold = np.float32(uniform * total)
    chosen = 0
    while chosen < len(logits) - 1 and powers[chosen] <= threshold:
        chosen += 1
    return chosen


@compiled
def _write(
    table: Floats,
    columns: Floats,
    h: Floats,
    c: Floats,
    outs: Floats,
    divisor: np.float32,
    uniforms: NDArray[np.float64],
    ids: NDArray[np.int64],
) -> None:
    """Draw a character for each uniform number, and read it.

    Args:
        table: (V, GH) for G gates, what the first layer takes of each character.
        columns: all products one after the other, see `Engine.columns`.
        h: (L, H + 1), with a one behind each h.
        c: (L, H).
        outs: (L, max(2GH, GH + V)), what the last step's products gave.
        divisor: the temperature.
        uniforms: (n,).
        ids: (n,), filled.
    """
    vocab, rows = table.shape
    layers, hidden = c.shape
    gates, powers = np.empty(rows, np.float32), np.empty(vocab, np.float32)
    for n in range(len(uniforms)):
        ids[n] = _draw(outs[-1][rows : rows + vocab], divisor, uniforms[n], powers)
        x = table[ids[n]]
        first = 0
        for layer in range(layers):
            out = outs[layer]
            _advance(x, out[:rows], gates, c[layer], h[layer])
            width = 2 * rows if layer + 1 < layers else rows + vocab
            last = first + (hidden + 1) * width
            np.dot(h[layer], columns[first:last].reshape(hidden + 1, width), out[:width])
            x = out[rows : 2 * rows]
            first = last


class Writer:
    """Writes on from where a session of one stream is.

    Args:
        session: read and brought forward.
        logits: what its last step returned, (V,).
    """

    def __init__(self, session: Session, logits: Floats) -> None:
        engine = session.engine
        self._session = session
        self._table, self._columns = engine.table, engine.columns
        self._h = np.stack([state.h_one for state in session.layers])
        self._c = np.stack([state.parts[1] for state in session.layers])
        longest = max(len(out) for out in session.outs)
        self._outs = np.zeros((len(session.outs), longest), dtype=np.float32)
        for own, out in zip(self._outs, session.outs, strict=True):
            own[: len(out)] = out
        self._outs[-1, engine.rows : engine.rows + engine.vocab_size] = logits

    def write(self, uniforms: NDArray[np.float64], temperature: float) -> list[int]:
        """A character for each uniform number (n,); the session has then read all of them."""
        ids = np.empty(len(uniforms), dtype=np.int64)
        divisor = np.float32(temperature)
        # Contiguous, as what was compiled expects.
        numbers = np.ascontiguousarray(uniforms)
        _write(self._table, self._columns, self._h, self._c, self._outs, divisor, numbers, ids)
        session = self._session
        for layer, (state, out) in enumerate(zip(session.layers, session.outs, strict=True)):
            state.h_one[:] = self._h[layer]
            state.parts[1][:] = self._c[layer]
            out[:] = self._outs[layer, : len(out)]
        chosen: list[int] = ids.tolist()
        return chosen


def warm_up() -> None:
    """Compile, or load what was compiled.

    Raises:
        Exception: whatever numba meets; nothing here works then.
    """

    def zeros(*shape: int) -> Floats:
        return np.zeros(shape, dtype=np.float32)

    none = np.zeros(0)
    # One unit and one character; of the types of any other model's.
    table, columns, h, c, outs = zeros(1, 4), zeros(10), zeros(1, 2), zeros(1, 1), zeros(1, 8)
    _write(table, columns, h, c, outs, np.float32(1), none, none.astype(np.int64))
