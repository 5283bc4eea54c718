"""Sampling from a stack of LSTM layers, without the interpreter between two characters.

It computes the same as `charlstm.inference.engine.Session.step`,
`charlstm.inference.sampling.Sampler.choose` and `charlstm.inference.scoring.cross_entropy`, for
LSTM layers with or without a coupled input gate.
Products are made in float32, bfloat16 or bytes. `charlstm.inference.fast_writer` lays out the
weights and starts the threads.

Threads that share the units of a layer wait for each other once a layer, when all of its h is
there. Each then makes the products that its own units need: the recurrent ones and those of the
layer above. Each makes all products of the softmax layer and draws the character itself: to draw
takes less time than to wait for another thread's draw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.kernels.elementary import exp, from_float32, tanh
from charlstm.kernels.jit import jit
from charlstm.kernels.matmul import PANEL_WIDTH, multiply
from charlstm.kernels.team import barrier, borrowed

Floats = NDArray[np.float32]
_HALF, _ONE = np.float32(0.5), np.float32(1)


@jit
def _advance(x: Floats, recurrent: Floats, gates: Floats, c: Floats, h: NDArray[Any]) -> None:
    """One step of one layer of one stream.

    Args:
        x, recurrent: W x + b and U h, (GU,) for gates (i,) f, o, g, all but g halved, so that one
            tanh serves every gate: sigma(a) = (tanh(a / 2) + 1) / 2.
        gates: scratch memory, (GU,).
        c: (U,), updated.
        h: (U,), filled.
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
        h[j] = from_float32(_HALF * (o[j] + _ONE) * tanh(c[j]), h[j])


@jit
def _sample(logits: Floats, divisor: np.float32, uniform: float, powers: Floats) -> int:
    """A character by inverse cumulative distribution; `powers` is scratch memory, (V,)."""
    top = logits[0]
    for logit in logits:
        top = max(top, logit)
    factor = _ONE / divisor
    for j in range(len(logits)):
        powers[j] = exp((logits[j] - top) * factor)
    total = np.float32(0)
    for power in powers:
        total += power
    # Added up below in the same order, so that the last sum equals the total.
    threshold = np.float32(uniform * total)
    chosen, cumulative = 0, powers[0]
    while chosen < len(logits) - 1 and cumulative <= threshold:
        chosen += 1
        cumulative += powers[chosen]
    return chosen


@jit
def _cross_entropy(
    logits: Floats, targets: NDArray[np.int64], nats: NDArray[np.float64], powers: Floats
) -> None:
    """-log softmax(logits)[target] of N streams, in nats.

    Args:
        logits: (N, V).
        targets: (N,).
        nats: (N,), filled.
        powers: scratch memory, (V,).
    """
    for b in range(len(logits)):
        row, top = logits[b], logits[b, 0]
        for logit in row:
            top = max(top, logit)
        for j in range(len(row)):
            powers[j] = exp(row[j] - top)
        total = np.float32(0)
        for power in powers:
            total += power
        nats[b] = np.log(np.float64(total)) + np.float64(top - row[targets[b]])


@jit
def _dequantize(outs: Floats, scales: Floats, width: int) -> None:
    """Products of bytes, int32's bits in (N, width), to float32; scales (2, width)."""
    factors, offsets = scales[0], scales[1]
    for b in range(len(outs)):
        out, sums = outs[b], outs[b].view(np.int32)
        for j in range(width):
            out[j] = np.float32(sums[j]) * factors[j] + offsets[j]


@jit
def _multiply(
    h: NDArray[Any], packed: NDArray[Any], scales: Floats, width: int, outs: Floats
) -> None:
    """The first `width` columns of a product, as float32."""
    multiply(h, packed, outs)
    if packed.itemsize == 1:
        _dequantize(outs, scales, width)


# All threads stop after so many waits of one, which then take more time than anything else.
_TOO_MANY_WAITS = 8


@jit
def generate(
    table: Floats,
    packed: NDArray[Any],
    scales: Floats,
    h: NDArray[Any],
    c: Floats,
    outs: Floats,
    divisor: np.float32,
    uniforms: NDArray[np.float64],
    ids: NDArray[np.int64],
    targets: NDArray[np.int64],
    nats: NDArray[np.float64],
    counter: NDArray[np.int64],
    first_unit: int,
    parts: int,
    first: int,
    last: int,
) -> int:
    """One thread's part of drawing a character for each uniform number, and reading it.

    Or of reading characters that are given, with the cross-entropy of those that follow.

    Args:
        table: W x + b of the first layer for each character, (V, GU) for G gates of U units.
        packed: the weights of each layer's products, see `pack`, one after the other; float32,
            bfloat16's bits or int8.
        scales: factors and offsets of the sums of bytes, (L, 2, width); not used otherwise.
        h: this step's and the last step's h of all units, (2, L, N, K), each followed by a one; in
            the number format of the products. K is H + 1, rounded up as `pack` requires.
        c: (L, N, U).
        outs: results of the last step's products, (L, N, width), a whole number of panels.
        divisor: the temperature.
        uniforms: (n, N) when sampling, otherwise (0, N).
        ids: (n, N), filled when sampling, otherwise read.
        targets: the characters to predict, (n, N), or (0, N).
        nats: the cross-entropy of the targets, of the same shape, filled.
        counter: two zeros: the count of `barrier`, and the step at which all threads stop.
        first_unit: of this thread's U units.
        parts: how many threads share a layer's units.
        first, last: computes the streams from `first` up to `last`.

    Returns:
        How many characters of each stream are done: fewer where other threads kept it waiting.
    """
    table, packed, scales, h = borrowed(table), borrowed(packed), borrowed(scales), borrowed(h)
    c, outs = borrowed(c), borrowed(outs)
    vocab, rows = table.shape
    _, layers, _, depth = h.shape
    units = c.shape[2]
    gates, powers = np.empty(rows, np.float32), np.empty(vocab, np.float32)
    waits, is_sampling = 0, len(uniforms) > 0
    for n in range(len(ids)):
        start = 0
        for layer in range(layers):
            now = h[n % 2, layer]
            for b in range(first, last):
                out = outs[layer, b]
                if layer == 0:
                    if is_sampling:
                        own_logits = outs[layers - 1, b, rows : rows + vocab]
                        chosen = _sample(own_logits, divisor, uniforms[n, b], powers)
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
                if waits >= _TOO_MANY_WAITS:
                    counter[1] = n + 1  # visible to all after the barrier: they stop at this step
                waits += barrier(counter, (n * layers + layer + 1) * parts)
            width = 2 * rows if layer + 1 < layers else rows + vocab
            count = (width + PANEL_WIDTH - 1) // PANEL_WIDTH
            end = start + count * depth * PANEL_WIDTH
            panels = packed[start:end].reshape(count, depth, PANEL_WIDTH)
            _multiply(now[first:last], panels, scales[layer], width, outs[layer, first:last])
            start = end
        if len(targets) > 0 and first_unit == 0:
            logits = outs[layers - 1, first:last, rows : rows + vocab]
            _cross_entropy(logits, targets[n, first:last], nats[n, first:last], powers)
        if counter[1] == n + 1:  # another thread may be a step ahead
            return n + 1
    return len(ids)
