"""Writing compiled by numba: draw, step, draw again, without the interpreter between.

It is `Sampler.choose` and `Session.step` of a stack of LSTM layers, their input gate coupled or
not, written out, for the extra `charlstm[fast]`. Importing this module imports numba, which takes
most of a second, and compiles where nothing compiled is cached; `charlstm.inference.sampling` does
so only where the text is long enough. A test holds compiled and plain loops equal.

Products are `charlstm.kernels`'s, in float32, bfloat16 or bytes. Threads divide the work: many
streams among them, or, of few streams, each layer's units. Those who share a layer's units meet
once a layer, when all of its h is there: each then makes the products that its own units need,
recurrent ones and the layer above's, and all of the softmax's, for to draw is sooner done than
told. That is why each holds weights of its own, and a step's h stands apart from the last one's,
which others may still be reading. On a processor that is busy otherwise, most meetings take longer
than all the work; a writer that meets with that goes on alone for a while.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import ModelConfig
from charlstm.inference.cells import Floats
from charlstm.inference.engine import Engine, Session
from charlstm.inference.weights import weight_shapes
from charlstm.kernels.lstm_windows import (
    MIDDLE,
    SCALE,
    WIDTH,
    check_products,
    compiled,
    exp,
    meet,
    multiply,
    narrow,
    pack,
    panels,
    tanh,
    unowned,
)
from charlstm.processors import available_processors

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
def _scale(outs: Floats, scales: Floats, width: int) -> None:
    """Turn products of bytes, int32's bits in (N, width), into float32; scales (2, width)."""
    factors, added = scales[0], scales[1]
    for b in range(len(outs)):
        out, sums = outs[b], outs[b].view(np.int32)
        for j in range(width):
            out[j] = np.float32(sums[j]) * factors[j] + added[j]


_OFTEN = 16  # meetings, and one of so many


@compiled
def _write(
    table: Floats,
    packed: NDArray[Any],
    scales: Floats,
    h: NDArray[Any],
    c: Floats,
    outs: Floats,
    divisor: np.float32,
    uniforms: NDArray[np.float64],
    ids: NDArray[np.int64],
    draws: bool,
    counter: NDArray[np.int64],
    first_unit: int,
    parts: int,
    first: int,
    last: int,
) -> int:
    """Draw a character for each uniform number, and read it; a part's share of it.

    Or read characters that are given.

    Args:
        table: (V, GU) for G gates of U units, what the first layer takes of each character.
        packed: each layer's products as panels, one after the other, see `charlstm.kernels`;
            float32, bfloat16's bits or int8.
        scales: of the sums of bytes, (L, 2, width): factors, and what is added. Otherwise empty.
        h: (2, L, N, K), all units', in the rows' kind, this step's and the last one's, with a one
            behind each h; K is H + 1, or a number from there on that the kind of products needs.
        c: (L, N, U).
        outs: (L, N, width), a whole number of panels, what the last step's products gave.
        divisor: the temperature.
        uniforms: (n, N).
        ids: (n, N), filled, or read where nothing is drawn.
        draws: whether characters are drawn; otherwise those in `ids` are read.
        counter: two zeros, for the parts to meet, see `meet`, and to agree to stop.
        first_unit: of this part's.
        parts: how many share a layer's units.
        first, last: the streams from one up to the other.

    Returns:
        How many it has drawn in each stream: fewer, where the others were mostly late.
    """
    table, packed, scales, h = unowned(table), unowned(packed), unowned(scales), unowned(h)
    c, outs = unowned(c), unowned(outs)
    vocab, rows = table.shape
    _, layers, _, depth = h.shape
    units = c.shape[2]
    gates, powers = np.empty(rows, np.float32), np.empty(vocab, np.float32)
    late = 0
    for n in range(len(ids)):
        start = 0
        for layer in range(layers):
            now = h[n % 2, layer]
            for b in range(first, last):
                out = outs[layer, b]
                if layer == 0:
                    if draws:
                        logits = outs[layers - 1, b, rows : rows + vocab]
                        chosen = _draw(logits, divisor, uniforms[n, b], powers)
                        if first_unit == 0:
                            ids[n, b] = chosen
                    else:
                        chosen = ids[n, b]
                    x = table[chosen]
                else:
                    x = outs[layer - 1, b, rows : 2 * rows]
                own = now[b, first_unit : first_unit + units]
                _advance(x, out[:rows], gates, c[layer, b], own)
            if parts > 1:
                meetings = n * layers + layer + 1
                if late >= _OFTEN and late > meetings // _OFTEN:
                    counter[1] = n + 1  # seen by all after this meeting: they stop at this step
                late += meet(counter, meetings * parts)
            width = 2 * rows if layer + 1 < layers else rows + vocab
            count = (width + WIDTH - 1) // WIDTH
            end = start + count * depth * WIDTH
            panels = packed[start:end].reshape(count, depth, WIDTH)
            multiply(now[first:last], panels, outs[layer, first:last])
            start = end
            if packed.itemsize == 1:
                _scale(outs[layer, first:last], scales[layer], width)
        if counter[1] == n + 1:  # one may be a step ahead
            return n + 1
    return len(ids)


_KINDS = {
    name: np.dtype(kind)
    for name, kind in (("float32", np.float32), ("bfloat16", np.uint16), ("int8", np.uint8))
}
"""What h is of, by precision."""


@dataclass(frozen=True)
class _Part:
    """Some of a layer's units, and all that is needed to bring them forward.

    Attributes:
        units: which.
        products: which of each layer's it makes.
        table, packed, scales, c, outs: as for `_write`.
    """

    units: slice
    products: list[NDArray[np.int64]]
    table: Floats
    packed: NDArray[Any]
    scales: Floats
    c: Floats
    outs: Floats


class Writer:
    """Writes on from where a session is, of any number of streams.

    Args:
        session: read and brought forward; what its last step gave is where it begins.
        precision: of products; sums, gates and c stay float32.
    """

    def __init__(self, session: Session, precision: str = "float32") -> None:
        engine, streams = session.engine, session.streams
        self._session, self._kind = session, _KINDS[precision]
        depth = _depth(engine, self._kind)
        self._h = np.zeros((2, engine.num_layers, streams, depth), dtype=self._kind)
        for h, state in zip(self._h[1], session.layers, strict=True):
            rows = _rows(state.h_one, streams).T
            h[:, : rows.shape[1]] = _as_kind(rows, self._kind)
        self._h[0] = self._h[1]  # with its ones
        self._counter = np.zeros(2, dtype=np.int64)
        self._few = streams < 2 * _LEAST_STREAMS
        shares = 1 if self._few else max(1, min(_threads(), streams // _LEAST_STREAMS))
        self._bounds = [streams * n // shares for n in range(shares + 1)]
        self._made: dict[int, list[_Part]] = {}
        self._alone, self._patience = 0, 1  # blocks to write so now, and the next time
        self._divide()

    def _divide(self) -> None:
        """Have as many parts as is best now begin where the session is."""
        engine = self._session.engine
        count = _workers(engine, self._kind) if self._few and not self._alone else 1
        if count not in self._made:
            ends = [engine.hidden_size * n // count for n in range(count + 1)]
            self._made[count] = [self._part(first, last) for first, last in pairwise(ends)]
        self._parts = self._made[count]
        for part in self._parts:
            self._exchange(part, give_back=False)

    def _part(self, first: int, last: int) -> _Part:
        """Units from `first` up to `last`."""
        engine, streams, kind = self._session.engine, self._session.streams, self._kind
        hidden, layers = engine.hidden_size, engine.num_layers
        own = np.arange(engine.rows).reshape(-1, hidden)[:, first:last].reshape(-1)
        products = []  # which of each layer's it makes: for its own units, and all of the softmax's
        for layer in range(layers):
            others = own if layer + 1 < layers else np.arange(engine.vocab_size)
            products.append(np.concatenate([own, engine.rows + others]))
        widest = -(-max(map(len, products)) // WIDTH) * WIDTH
        scales = np.zeros((layers, 2, widest), dtype=np.float32)
        packed = []
        for layer, columns in enumerate(engine.product_columns):
            chosen = products[layer]
            matrix = np.zeros((self._h.shape[3], len(chosen)), dtype=np.float32)
            matrix[: hidden + 1] = columns[:, chosen]
            if kind == np.uint8:
                typed, scales[layer, :, : len(chosen)] = _in_bytes(matrix, hidden)
            else:
                typed = _as_kind(matrix, kind)
            room = panels(len(matrix), len(chosen), typed)
            pack(typed, room, 0, len(room))
            packed.append(room.reshape(-1))
        return _Part(
            units=slice(first, last),
            products=products,
            table=np.ascontiguousarray(engine.table[:, own]),
            packed=np.concatenate(packed),
            scales=scales,
            c=np.zeros((layers, streams, last - first), dtype=np.float32),
            outs=np.zeros((layers, streams, widest), dtype=np.float32),
        )

    def _exchange(self, part: _Part, *, give_back: bool) -> None:
        """What a part has of the session's state: give it back, or else take it."""
        session = self._session
        for layer, (state, out) in enumerate(zip(session.layers, session.outs, strict=True)):
            c, products = _rows(state.parts[1], session.streams), _rows(out, session.streams)
            chosen = part.products[layer]
            if give_back:
                c[part.units] = part.c[layer].T
                products[chosen] = part.outs[layer, :, : len(chosen)].T
            else:
                part.c[layer] = c[part.units].T
                part.outs[layer, :, : len(chosen)] = products[chosen].T

    def write(self, uniforms: NDArray[np.float64], temperature: float) -> NDArray[np.int64]:
        """A character for each uniform number (n, N); the session has then read all of them."""
        ids = np.empty(uniforms.shape, dtype=np.int64)
        self._run(np.ascontiguousarray(uniforms), temperature, ids, draws=True)
        return ids

    def read(self, ids: NDArray[np.int64]) -> None:
        """Read characters (n, N)."""
        self._run(np.empty((0, ids.shape[1])), 1.0, np.ascontiguousarray(ids), draws=False)

    def _run(
        self,
        numbers: NDArray[np.float64],
        temperature: float,
        ids: NDArray[np.int64],
        *,
        draws: bool,
    ) -> None:
        """Draw into `ids`, or read from it."""
        if self._alone:
            self._alone -= 1
            if not self._alone:
                self._divide()
        done = self._advance(numbers, temperature, ids, draws)
        if done < len(ids):  # others kept it waiting
            self._alone, self._patience = self._patience, min(_MOST_ALONE, 2 * self._patience)
            self._divide()
            self._advance(numbers[done:], temperature, ids[done:], draws)
        elif not self._alone:
            self._patience = 1

    def _advance(
        self,
        numbers: NDArray[np.float64],
        temperature: float,
        ids: NDArray[np.int64],
        draws: bool,
    ) -> int:
        """`_run`, as far as it comes; how far."""
        calls = [
            (
                part.table, part.packed, part.scales, self._h, part.c, part.outs,
                np.float32(temperature), numbers, ids, draws, self._counter, part.units.start,
                len(self._parts), first, last,
            )
            for part in self._parts for first, last in pairwise(self._bounds)
        ]  # fmt: skip
        self._counter[:] = 0
        # Parts that meet must run at the same time: two writers' would wait for each other.
        with _together if len(self._parts) > 1 else _ALONE:
            others = [_pool().submit(_write, *call) for call in calls[1:]]
            done = _write(*calls[0])
            for other in others:
                other.result()
        if done:
            last = self._h[(done - 1) % 2]
            self._h[done % 2] = last
            hidden = self._session.engine.hidden_size
            for h, state in zip(last, self._session.layers, strict=True):
                _rows(state.h_one, self._session.streams)[:hidden] = _as_floats(h[:, :hidden]).T
            for part in self._parts:
                self._exchange(part, give_back=True)
        return done


def _rows(values: Floats, streams: int) -> Floats:
    """A view of a session's values as (rows, N)."""
    view: Floats = values.reshape(-1, streams)
    return view


def _depth(engine: Engine, kind: np.dtype[Any]) -> int:
    """H + 1, and what the products need to be whole."""
    each = 4 // kind.itemsize
    return -(-(engine.hidden_size + 1) // each) * each


def _as_kind(values: Floats, kind: np.dtype[Any]) -> NDArray[Any]:
    """float32 as a kind of h, rounded to the nearest, ties to even where it is bfloat16's bits."""
    if kind == np.uint8:
        bytes_: NDArray[Any] = np.floor(values * SCALE + (MIDDLE + 0.5)).astype(kind)
        return bytes_
    if kind == np.uint16:
        bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
        upper: NDArray[Any] = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(kind)
        return upper
    return values


def _as_floats(h: NDArray[Any]) -> Floats:
    """A kind of h as float32."""
    if h.dtype == np.uint8:
        return (h.astype(np.float32) - np.float32(MIDDLE)) / np.float32(SCALE)
    if h.dtype == np.uint16:
        return (h.astype(np.uint32) << 16).view(np.float32)
    return h


def _in_bytes(matrix: Floats, hidden: int) -> tuple[NDArray[np.int8], Floats]:
    """Products' columns, their biases in row `hidden`, as int8; and (2, N), see `_write`.

    Each column has a scale of its own, so that its largest number is 127.
    """
    weights = matrix[:hidden]
    largest = np.abs(weights).max(axis=0, initial=0)
    scale = np.where(largest > 0, largest / 127, 1)
    typed = np.zeros(matrix.shape, dtype=np.int8)
    typed[:hidden] = np.rint(weights / scale)
    factors = scale / SCALE
    added = matrix[hidden] - factors * MIDDLE * typed.sum(axis=0, dtype=np.int64)
    return typed, np.stack([factors, added]).astype(np.float32)


_LEAST_STREAMS = 4  # for a thread of their own
_LEAST_BYTES = 1 << 17  # of weights, for a thread of their own: to meet takes its time
_MOST_PARTS = 4  # that meet
_MOST_ALONE = 128  # blocks that are written without asking whether others can come again

_together, _ALONE = threading.Lock(), nullcontext()


def _workers(engine: Engine, kind: np.dtype[Any]) -> int:
    """How many threads share a layer's units."""
    size = engine.columns.size * kind.itemsize
    return max(1, min(_threads(), _MOST_PARTS, size // _LEAST_BYTES, engine.hidden_size))


def _forget_threads() -> None:
    """Make threads and locks anew in a child process, which has none of its parent's threads."""
    global _together  # noqa: PLW0603 - another thread may have held it at the fork
    _together = threading.Lock()
    _pool.cache_clear()
    _threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), thread_name_prefix="writer")


@cache
def _threads() -> int:
    """As many as this process may use processors; counted once, as the pool has that many."""
    return available_processors()


def warm_up(precision: str = "float32") -> None:
    """Compile, or load what was compiled.

    Raises:
        CompiledCodeError: there are no such products here.
        Exception: whatever numba meets; nothing here works then.
    """
    check_products(precision)
    config = ModelConfig(num_layers=1, hidden_size=1)  # of the types of any other model's
    weights = {
        name: np.zeros(shape, dtype=np.float32) for name, shape in weight_shapes(config, 1).items()
    }
    session = Engine(weights, config, 1).session()
    Writer(session, precision).write(np.zeros((1, 1)), 1.0)
