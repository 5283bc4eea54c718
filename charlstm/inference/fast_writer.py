"""Text generation by the kernels of `charlstm.kernels.lstm_sampling` (extra `charlstm[fast]`).

A `FastWriter` computes what `Sampler.choose`, `Session.step` and `cross_entropy` compute, for a
stack of LSTM layers whose input gate may be coupled. Importing this module imports numba, which
takes most of a second, and compiles where nothing compiled is cached.
`charlstm.inference.generation` imports it only for texts that are long enough. A test holds both
loops equal.

Threads share the work. With many streams, each thread computes some streams. With few, each thread
computes some units of every layer from its own copy of their weights, and all threads wait at a
barrier once a layer. h is double-buffered, as other threads may still read that of the last step.
If other programs use the processor, a few waits can take longer than the computation. A writer
whose threads had to wait uses one thread if that is faster, and tries several again after a second
at most.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import ModelConfig
from charlstm.format.weights import weight_shapes
from charlstm.inference.cells import Floats
from charlstm.inference.engine import Engine, Session
from charlstm.inference.number_formats import quantize, to_float32, to_type
from charlstm.kernels.lstm_sampling import generate
from charlstm.kernels.matmul import PANEL_WIDTH, empty_panels, pack
from charlstm.kernels.products import BYTE_TYPE
from charlstm.processors import available_processors

_TYPES = {
    name: np.dtype(dtype)
    for name, dtype in (("float32", np.float32), ("bfloat16", np.uint16), ("int8", BYTE_TYPE))
}
"""The dtype of h for each precision."""


@dataclass(frozen=True)
class _Part:
    """The units of each layer that one thread computes.

    Attributes:
        units: their indices.
        products: the rows of each layer's product that the thread computes.
        table, packed, scales, c, outs: as for `generate`.
    """

    units: slice
    products: list[NDArray[np.int64]]
    table: Floats
    packed: NDArray[Any]
    scales: Floats
    c: Floats
    outs: Floats


class FastWriter:
    """Continues the streams of a session.

    Args:
        session: updated. It has read at least one character before `write`.
        precision: of the products; sums, gates and c are float32.
    """

    def __init__(self, session: Session, precision: str = "float32") -> None:
        engine, streams = session.engine, session.streams
        self._session, self._dtype = session, _TYPES[precision]
        depth = _depth(engine, self._dtype)
        self._h = np.zeros((2, engine.num_layers, streams, depth), dtype=self._dtype)
        for h, state in zip(self._h[1], session.cells, strict=True):
            rows = _rows(state.h_one, streams).T
            h[:, : rows.shape[1]] = to_type(rows, self._dtype)
        self._h[0] = self._h[1]  # with its ones
        self._counter = np.zeros(2, dtype=np.int64)
        self._has_few_streams = streams < 2 * _MIN_STREAMS
        groups = (
            1 if self._has_few_streams else max(1, min(_max_threads(), streams // _MIN_STREAMS))
        )
        self._bounds = [streams * n // groups for n in range(groups + 1)]
        self._parts_by_count: dict[int, list[_Part]] = {}
        self._is_alone, self._until = False, 0.0  # with one thread, until when
        self._patience = _MIN_ALONE  # seconds with one thread, the next time
        self._alone_rate = float("inf")  # steps per second with one thread, the last time
        self._divide()

    def _divide(self) -> None:
        """Choose the number of threads for a layer, and load the session's state into each."""
        engine = self._session.engine
        count = (
            _unit_threads(engine, self._dtype)
            if self._has_few_streams and not self._is_alone
            else 1
        )
        if count not in self._parts_by_count:
            ends = [engine.hidden_size * n // count for n in range(count + 1)]
            self._parts_by_count[count] = [
                self._part(first, last) for first, last in pairwise(ends)
            ]
        self._parts = self._parts_by_count[count]
        for part in self._parts:
            self._exchange(part, store=False)

    def _part(self, first: int, last: int) -> _Part:
        """The partition with units `first` to `last` - 1."""
        engine, streams, dtype = self._session.engine, self._session.streams, self._dtype
        hidden, layers = engine.hidden_size, engine.num_layers
        own = np.arange(engine.rows).reshape(-1, hidden)[:, first:last].reshape(-1)
        products = []  # for its own units, and all of the softmax layer
        for layer in range(layers):
            others = own if layer + 1 < layers else np.arange(engine.vocab_size)
            products.append(np.concatenate([own, engine.rows + others]))
        widest = -(-max(map(len, products)) // PANEL_WIDTH) * PANEL_WIDTH
        scales = np.zeros((layers, 2, widest), dtype=np.float32)
        packed = []
        for layer, columns in enumerate(engine.product_columns):
            chosen = products[layer]
            matrix = np.zeros((self._h.shape[3], len(chosen)), dtype=np.float32)
            matrix[: hidden + 1] = columns[:, chosen]
            if dtype.itemsize == 1:
                converted, scales[layer, :, : len(chosen)] = quantize(matrix, hidden, dtype)
            else:
                converted = to_type(matrix, dtype)
            room = empty_panels(len(matrix), len(chosen), converted)
            pack(converted, room, 0, len(room))
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

    def _exchange(self, part: _Part, *, store: bool) -> None:
        """Copy a partition's state to the session, or from it."""
        session = self._session
        for layer, (state, out) in enumerate(zip(session.cells, session.outs, strict=True)):
            c, products = _rows(state.parts[1], session.streams), _rows(out, session.streams)
            chosen = part.products[layer]
            if store:
                c[part.units] = part.c[layer].T
                products[chosen] = part.outs[layer, :, : len(chosen)].T
            else:
                part.c[layer] = c[part.units].T
                part.outs[layer, :, : len(chosen)] = products[chosen].T

    def write(self, uniforms: NDArray[np.float64], temperature: float) -> NDArray[np.int64]:
        """Sample a character for each uniform number (n, N), and read it."""
        none = _nothing(uniforms)
        ids = np.empty(uniforms.shape, dtype=np.int64)
        self._run(temperature, np.ascontiguousarray(uniforms), ids, none.astype(np.int64), none)
        return ids

    def read(self, ids: NDArray[np.int64]) -> None:
        """Read characters (n, N)."""
        none = _nothing(ids)
        self._run(1.0, none, np.ascontiguousarray(ids), none.astype(np.int64), none)

    def score(self, ids: NDArray[np.int64], targets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Read characters (n, N); returns the cross-entropy of the targets, in nats (n, N)."""
        nats = np.empty(ids.shape)
        rows = np.ascontiguousarray(ids), np.ascontiguousarray(targets)
        self._run(1.0, _nothing(ids), *rows, nats)
        return nats

    def _run(self, temperature: float, *arrays: NDArray[Any]) -> None:
        """Compute all steps: uniforms, ids, targets and nats, as for `generate`."""
        steps = len(arrays[1])
        done = 0
        while done < steps:
            if self._is_alone and monotonic() >= self._until:
                self._is_alone = False
                self._divide()
            end = min(steps, done + _PIECE) if self._is_alone else steps
            start = monotonic()
            count = self._advance(temperature, *(array[done:end] for array in arrays))
            now = monotonic()
            rate = count / max(now - start, 1e-9)
            done += count
            if self._is_alone:
                self._alone_rate = rate
            elif done == end:
                self._patience = _MIN_ALONE
            elif rate < self._alone_rate:  # threads had to wait for each other
                self._is_alone, self._until = True, now + self._patience
                self._patience = min(_MAX_ALONE, 2 * self._patience)
                self._divide()

    def _advance(self, temperature: float, *arrays: NDArray[Any]) -> int:
        """`_run` until other threads delay it; returns the number of steps done."""
        calls = [
            (
                part.table, part.packed, part.scales, self._h, part.c, part.outs,
                np.float32(temperature), *arrays, self._counter, part.units.start,
                len(self._parts), first, last,
            )
            for part in self._parts for first, last in pairwise(self._bounds)
        ]  # fmt: skip
        self._counter[:] = 0
        # Threads that wait for each other must run at the same time; two writers' might not.
        with _parallel_lock if len(self._parts) > 1 else _NO_LOCK:
            others = [_pool().submit(generate, *call) for call in calls[1:]]
            done = generate(*calls[0])
            for other in others:
                other.result()
        if done:
            last = self._h[(done - 1) % 2]
            self._h[done % 2] = last
            hidden = self._session.engine.hidden_size
            for h, state in zip(last, self._session.cells, strict=True):
                _rows(state.h_one, self._session.streams)[:hidden] = to_float32(h[:, :hidden]).T
            for part in self._parts:
                self._exchange(part, store=True)
        return done


def _rows(values: Floats, streams: int) -> Floats:
    """A view of a session's values as (rows, N)."""
    view: Floats = values.reshape(-1, streams)
    return view


def _nothing(like: NDArray[Any]) -> NDArray[np.float64]:
    """No steps of N streams."""
    return np.empty((0, like.shape[1]))


def _depth(engine: Engine, dtype: np.dtype[Any]) -> int:
    """H + 1, rounded up to a whole number of words."""
    values_per_word = 4 // dtype.itemsize
    return -(-(engine.hidden_size + 1) // values_per_word) * values_per_word


_MIN_STREAMS = 4  # for each thread
_MIN_BYTES = 1 << 17  # of weights for each thread: a barrier takes time
_MAX_PARTS = 4  # that share a layer's units
_MIN_ALONE, _MAX_ALONE = 0.06, 1.0  # seconds with one thread before several are tried again
_PIECE = 256  # characters in one call with one thread

_parallel_lock, _NO_LOCK = threading.Lock(), nullcontext()


def _unit_threads(engine: Engine, dtype: np.dtype[Any]) -> int:
    """The number of threads for a layer's units, at least 1."""
    size = engine.columns.size * dtype.itemsize
    return max(1, min(_max_threads(), _MAX_PARTS, size // _MIN_BYTES, engine.hidden_size))


def _reset_threads() -> None:
    """Replace threads and locks in a child process, which has none of its parent's threads."""
    global _parallel_lock  # noqa: PLW0603 - another thread may have held it at the fork
    _parallel_lock = threading.Lock()
    _pool.cache_clear()
    _max_threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_threads)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_max_threads(), thread_name_prefix="writer")


@cache
def _max_threads() -> int:
    """The number of available processors, determined once, as for the thread pool."""
    return available_processors()


def warm_up(precision: str = "float32") -> None:
    """Compile the kernels for a precision, or load them from disk.

    Raises:
        Exception: any, where numba does not work on this machine.
    """
    config = ModelConfig(num_layers=1, hidden_size=1)  # types do not depend on sizes
    weights = {
        name: np.zeros(shape, dtype=np.float32) for name, shape in weight_shapes(config, 1).items()
    }
    session = Engine(weights, config, 1).session()
    FastWriter(session, precision).write(np.zeros((1, 1)), 1.0)
