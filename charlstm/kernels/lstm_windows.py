"""Windows of LSTM for training, forward and backward.

A step of a window is one product with the recurrent weights and some work on each unit. torch's
kernel divides each product among the processor's threads, which wait for each other at every step.
Here each thread takes some of the streams through the whole window, and waits once, at its end.

The equations, with a = W x + b computed before for all steps, and gates as in `charlstm.cells`:

    lstm:     c' = f c + i g                coupled:  c' = f c + (1 - f) g
    u = tanh(c'), h' = o u

Backward, from dh' (of this step's output and of the step after) and dc':

    da_o = dh' u o (1 - o)      ds = dc' + dh' o (1 - u^2)      dc = ds f
    lstm:     da_i = ds g i (1 - i)      da_f = ds c f (1 - f)          da_g = ds i (1 - g^2)
    coupled:                             da_f = ds (c - g) f (1 - f)    da_g = ds (1 - f)(1 - g^2)
    dh = U^T da

A stream that starts at a step has c = 0 and U h = 0 there, and dc = 0 and dh = 0 (see
`charlstm.nn.starts`).

Gates and `u` may be stored in bfloat16 for the backward pass; the state is float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.kernels.elementary import from_float32, sigmoid, tanh, to_float32
from charlstm.kernels.jit import jit
from charlstm.kernels.matmul import PANEL_WIDTH, multiply
from charlstm.kernels.team import in_team, run_in_team

_ONE = np.float32(1)


@jit
def _gates(
    x: NDArray[Any],
    bias: NDArray[np.float32],
    sums: NDArray[np.float32],
    acts: NDArray[np.float32],
) -> None:
    """One stream's gates (i,) f, g, o from W x, b and U h: all but the last of acts (G + 1, H)."""
    count, hidden = acts.shape
    for gate in range(count - 1):
        first = gate * hidden
        inputs, products = x[first : first + hidden], sums[first : first + hidden]
        added, out = bias[first : first + hidden], acts[gate]
        if gate == count - 3:
            for j in range(hidden):
                out[j] = tanh(to_float32(inputs[j]) + added[j] + products[j])
        else:
            for j in range(hidden):
                out[j] = sigmoid(to_float32(inputs[j]) + added[j] + products[j])


@jit
def _cell_state(
    acts: NDArray[np.float32], c: NDArray[np.float32], new_c: NDArray[np.float32]
) -> None:
    """One stream's c' (H,)."""
    count, hidden = acts.shape
    f, g = acts[count - 4], acts[count - 3]
    if count == 4:
        for j in range(hidden):
            new_c[j] = g[j] + f[j] * (c[j] - g[j])
    else:
        i = acts[0]
        for j in range(hidden):
            new_c[j] = f[j] * c[j] + i[j] * g[j]


@jit
def _clear(starts: NDArray[np.bool_], one: NDArray[np.float32], other: NDArray[np.float32]) -> None:
    """Set the rows of streams that start to zero, in two arrays."""
    for b in range(len(starts)):
        if starts[b]:
            one[b] = 0
            other[b] = 0


@jit
def forward(
    table: NDArray[Any],
    places: NDArray[np.int64],
    bias: NDArray[np.float32],
    packed: NDArray[Any],
    hs: NDArray[Any],
    cs: NDArray[np.float32],
    acts: NDArray[np.float32],
    starts: NDArray[np.bool_],
    first: int,
    last: int,
) -> None:
    """A window's forward pass, for streams from `first` up to `last`.

    Args:
        table: rows W x, (N, G H), G = 4 gates i, f, g, o or 3 gates f, g, o.
        places: which row each stream reads at each step, (T, B). A table of characters is small
            and stays in the processor's cache, where copies of its rows would not.
        bias: b, (G H,).
        packed: U^T of (H, G H), see `pack`.
        hs: (T + 1, B, H); the first is given, the others are filled.
        cs: the same, in float32; c is 0 where a stream starts.
        acts: gates and u, (T, B, G + 1, H), filled; (0, B, G + 1, H) without a backward pass.
        starts: where streams start from the zero state, (T, B); (0, 0): nowhere.
    """
    steps, hidden = len(places), hs.shape[2]
    sums = np.empty((last - first, packed.shape[0] * PANEL_WIDTH), np.float32)
    # float32, as the state needs; the backward pass does with gates rounded like the products.
    own = np.empty(acts.shape[2:], np.float32)
    u, o, flat = own[len(own) - 1], own[len(own) - 2], own.reshape(own.size)
    for t in range(steps):
        multiply(hs[t, first:last], packed, sums)
        if len(starts) > 0:
            _clear(starts[t, first:last], sums, cs[t, first:last])
        for b in range(first, last):
            new_c, new_h = cs[t + 1, b], hs[t + 1, b]
            _gates(table[places[t, b]], bias, sums[b - first], own)
            _cell_state(own, cs[t, b], new_c)
            for j in range(hidden):
                u[j] = tanh(new_c[j])
            for j in range(hidden):
                new_h[j] = from_float32(o[j] * u[j], new_h[j])
            if len(acts) > 0:
                saved = acts[t, b].reshape(own.size)
                for j in range(own.size):
                    saved[j] = from_float32(flat[j], saved[j])


@jit
def _gate_gradients(
    acts: NDArray[Any],
    c: NDArray[np.float32],
    dh: NDArray[np.float32],
    dc: NDArray[np.float32],
    da: NDArray[Any],
) -> None:
    """One stream's da (G H,) from dh'; dc' (H,) becomes dc."""
    count, hidden = acts.shape
    u, o, g, f = acts[count - 1], acts[count - 2], acts[count - 3], acts[count - 4]
    da_f, da_g, da_o = da[-3 * hidden : -2 * hidden], da[-2 * hidden : -hidden], da[-hidden:]
    for j in range(hidden):
        dc[j] += dh[j] * to_float32(o[j]) * (_ONE - to_float32(u[j]) * to_float32(u[j]))
    for j in range(hidden):
        da_o[j] = from_float32(
            dh[j] * to_float32(u[j]) * to_float32(o[j]) * (_ONE - to_float32(o[j])), da_o[j]
        )
    if count == 4:
        for j in range(hidden):
            forget = to_float32(f[j])
            da_f[j] = from_float32(
                dc[j] * (c[j] - to_float32(g[j])) * forget * (_ONE - forget), da_f[j]
            )
        for j in range(hidden):
            new = to_float32(g[j])
            da_g[j] = from_float32(dc[j] * (_ONE - to_float32(f[j])) * (_ONE - new * new), da_g[j])
    else:
        i, da_i = acts[0], da[:hidden]
        for j in range(hidden):
            taken = to_float32(i[j])
            da_i[j] = from_float32(dc[j] * to_float32(g[j]) * taken * (_ONE - taken), da_i[j])
        for j in range(hidden):
            forget = to_float32(f[j])
            da_f[j] = from_float32(dc[j] * c[j] * forget * (_ONE - forget), da_f[j])
        for j in range(hidden):
            new = to_float32(g[j])
            da_g[j] = from_float32(dc[j] * to_float32(i[j]) * (_ONE - new * new), da_g[j])
    for j in range(hidden):
        dc[j] *= to_float32(f[j])


@jit
def backward(
    d_outputs: NDArray[Any],
    packed: NDArray[Any],
    cs: NDArray[np.float32],
    acts: NDArray[np.float32],
    dh: NDArray[np.float32],
    dc: NDArray[np.float32],
    das: NDArray[Any],
    starts: NDArray[np.bool_],
    first: int,
    last: int,
) -> None:
    """A window's backward pass, for streams from `first` up to `last`.

    Args:
        d_outputs: (T, B, H).
        packed: U of (G H, H), see `pack`.
        cs, acts: of the forward pass.
        dh, dc: gradients of the last state, (B, H); they become those of the first.
        das: (T, B, G H), filled.
        starts: as in the forward pass.
    """
    steps, _, hidden = d_outputs.shape
    sums = np.empty((last - first, packed.shape[0] * PANEL_WIDTH), np.float32)
    for t in range(steps - 1, -1, -1):
        for b in range(first, last):
            own_dh, d_out = dh[b], d_outputs[t, b]
            for j in range(hidden):
                own_dh[j] += to_float32(d_out[j])
            _gate_gradients(acts[t, b], cs[t, b], own_dh, dc[b], das[t, b])
        multiply(das[t, first:last], packed, sums)
        for b in range(first, last):
            own_dh, products = dh[b], sums[b - first]
            for j in range(hidden):
                own_dh[j] = products[j]
        if len(starts) > 0:
            _clear(starts[t, first:last], dh[first:last], dc[first:last])


@jit
def add_rows(
    rows: NDArray[Any], places: NDArray[np.int64], out: NDArray[np.float32], first: int, last: int
) -> None:
    """out[places[n]] += rows[n], for columns from `first` up to `last`.

    Args:
        rows: (N, C).
        places: (N,).
        out: (M, C).
    """
    for n in range(len(rows)):
        given, into = rows[n, first:last], out[places[n], first:last]
        for j in range(last - first):
            into[j] += to_float32(given[j])


@in_team(forward)
def _forward_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
    run_in_team(entry, threads, rows, forward, arguments)


@in_team(backward)
def _backward_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
    run_in_team(entry, threads, rows, backward, arguments)


@in_team(add_rows)
def _add_rows_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
    run_in_team(entry, threads, rows, add_rows, arguments)
