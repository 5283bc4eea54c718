"""Writing compiled by numba: draw, step, draw again, without the interpreter between.

It is `Sampler.choose` and `Session.step` of a stack of LSTM layers, their input gate coupled or
not, written out, for the extra `charlstm[fast]`: for one stream, and for several, which threads
divide among them. Importing this module imports numba, which takes most of a second, and compiles
where nothing compiled is cached; `charlstm.inference.sampling` does so only where the text is long
enough. A test holds compiled and plain loops equal.

One stream's products go to scipy's BLAS through `np.dot`, several streams' to `charlstm.compiled`.
That leaves, at small sizes, tanh and exp: libm's are made for one number at a time, ours for many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.compiled import (
    WIDTH,
    compiled,
    exp,
    has_bfloat16,
    multiply,
    narrow,
    pack,
    panels,
    tanh,
)
from charlstm.inference.cells import Floats
from charlstm.inference.engine import Engine, Session

_HALF, _ONE = np.float32(0.5), np.float32(1)


@compiled
def _advance(x: Floats, recurrent: Floats, gates: Floats, c: Floats, h: NDArray[Any]) -> None:
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
        h[j] = narrow(_HALF * (o[j] + _ONE) * tanh(c[j]), h[j])


@compiled
def _draw(logits: Floats, divisor: np.float32, uniform: float, powers: Floats) -> int:
    """`Sampler.choose_one`; `powers` is scratch memory, (V,)."""
    top = logits[0]
    for logit in logits:
        top = max(top, logit)
    factor = _ONE / divisor
    for j in range(len(logits)):
        powers[j] = exp((logits[j] - top) * factor)
    total = np.float32(0)
    for power in powers:
        total += power
    # Sums in the order in which they are passed, so that the last is never short of the whole.
    threshold = np.float32(uniform * total)
    chosen, passed = 0, powers[0]
    while chosen < len(logits) - 1 and passed <= threshold:
        chosen += 1
        passed += powers[chosen]
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


@compiled
def _write_many(
    table: Floats,
    packed: NDArray[Any],
    h: NDArray[Any],
    c: Floats,
    outs: Floats,
    divisor: np.float32,
    uniforms: NDArray[np.float64],
    ids: NDArray[np.int64],
    first: int,
    last: int,
) -> None:
    """`_write` for the streams from `first` up to `last`, a product for all of them at once.

    Args:
        table, divisor: as for `_write`.
        packed: each layer's products as panels, one after the other, see `charlstm.compiled`;
            float32, or bfloat16's bits.
        h: (L, N, K), in the type of `packed`, with a one behind each h; K is H + 1, or in
            bfloat16 the even number from there on.
        c: (L, N, H).
        outs: (L, N, a whole number of panels' width), what the last step's products gave.
        uniforms: (n, N).
        ids: (n, N), filled.
    """
    vocab, rows = table.shape
    layers, _, depth = h.shape
    gates, powers = np.empty(rows, np.float32), np.empty(vocab, np.float32)
    for n in range(len(uniforms)):
        start = 0
        for layer in range(layers):
            for b in range(first, last):
                out = outs[layer, b]
                if layer == 0:
                    logits = outs[layers - 1, b, rows : rows + vocab]
                    ids[n, b] = _draw(logits, divisor, uniforms[n, b], powers)
                    x = table[ids[n, b]]
                else:
                    x = outs[layer - 1, b, rows : 2 * rows]
                _advance(x, out[:rows], gates, c[layer, b], h[layer, b])
            width = 2 * rows if layer + 1 < layers else rows + vocab
            count = (width + WIDTH - 1) // WIDTH
            end = start + count * depth * WIDTH
            panels = packed[start:end].reshape(count, depth, WIDTH)
            multiply(h[layer, first:last], panels, outs[layer, first:last])
            start = end


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


class ManyWriter:
    """Writes on from where a session is, of any number of streams, which threads divide.

    Args:
        session: read and brought forward.
        logits: what its last step returned, (N, V), or (V,) for one stream.
        low: products in bfloat16, which reads half as much; sums, gates and c stay float32.
    """

    def __init__(self, session: Session, logits: Floats, *, low: bool = False) -> None:
        engine, streams = session.engine, session.streams
        self._session, self._table, self._low = session, engine.table, low
        self._packed, depth = _packed(engine, low)
        h = np.zeros((len(session.layers), streams, depth), dtype=np.float32)
        self._c = np.zeros((*h.shape[:2], engine.hidden_size), dtype=np.float32)
        longest = max(len(out) for out in session.outs)
        width = -(-longest // WIDTH) * WIDTH
        self._outs = np.zeros((*h.shape[:2], width), dtype=np.float32)
        for layer, (h_one, c, out) in enumerate(self._parts()):
            h[layer, :, : len(h_one)] = h_one.T
            self._c[layer] = c.T
            self._outs[layer, :, : len(out)] = out.T
        self._h = _rounded(h) if low else h
        self._outs[-1, :, engine.rows : engine.rows + engine.vocab_size] = logits
        parts = max(1, min(_threads(), streams // _LEAST_STREAMS))
        self._bounds = [streams * part // parts for part in range(parts + 1)]

    def _parts(self) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Views of each layer's h with a one below, c, and what its products gave: (..., N)."""
        session = self._session
        for state, out in zip(session.layers, session.outs, strict=True):
            h, c, products = (
                a.reshape(-1, session.streams) for a in (state.h_one, state.parts[1], out)
            )
            yield h, c, products

    def write(self, uniforms: NDArray[np.float64], temperature: float) -> NDArray[np.int64]:
        """A character for each uniform number (n, N); the session has then read all of them."""
        ids = np.empty(uniforms.shape, dtype=np.int64)
        numbers = np.ascontiguousarray(uniforms)
        arguments = (
            self._table, self._packed, self._h, self._c, self._outs, np.float32(temperature),
            numbers, ids,
        )  # fmt: skip
        others = [
            _pool().submit(_write_many, *arguments, first, last)
            for first, last in pairwise(self._bounds[1:])
        ]
        _write_many(*arguments, 0, self._bounds[1])
        for other in others:
            other.result()
        h = (self._h.astype(np.uint32) << 16).view(np.float32) if self._low else self._h
        for layer, (h_one, c, out) in enumerate(self._parts()):
            h_one[...] = h[layer, :, : len(h_one)].T
            c[...] = self._c[layer].T
            out[...] = self._outs[layer, :, : len(out)].T
        return ids


def _packed(engine: Engine, low: bool) -> tuple[NDArray[Any], int]:
    """All products of an engine as panels, one after the other; and how deep each is."""
    parts = []
    depth = engine.hidden_size + 1
    depth += depth % 2 if low else 0
    for columns in engine.product_columns:
        matrix = np.zeros((depth, columns.shape[1]), dtype=np.float32)
        matrix[: len(columns)] = columns
        typed = _rounded(matrix) if low else matrix
        room = panels(depth, columns.shape[1], typed)
        pack(typed, room, 0, len(room))
        parts.append(room.reshape(-1))
    return np.concatenate(parts), depth


def _rounded(values: Floats) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16 numbers, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


_LEAST_STREAMS = 4  # for a thread of their own


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), thread_name_prefix="writer")


def _threads() -> int:
    """As many as this process may use processors."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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


def warm_up_many(low: bool) -> None:
    """The same for several streams, or one in bfloat16.

    Raises:
        RuntimeError: this processor has no bfloat16 products.
        Exception: whatever numba meets; nothing here works then.
    """
    if low and not has_bfloat16():
        raise RuntimeError("this processor has no bfloat16 products")
    kind = np.dtype(np.uint16 if low else np.float32)

    def zeros(*shape: int) -> Floats:
        return np.zeros(shape, dtype=np.float32)

    matrix, h = zeros(2, 5).astype(kind), zeros(1, 1, 2).astype(kind)
    room = panels(2, 5, matrix)
    pack(matrix, room, 0, 1)
    none = np.zeros((0, 1))
    _write_many(
        zeros(1, 4), room.reshape(-1), h, zeros(1, 1, 1), zeros(1, 1, WIDTH),
        np.float32(1), none, none.astype(np.int64), 0, 1,
    )  # fmt: skip
