"""Weights -> logits, one character at a time, for N streams at once, in numpy.

What makes it fast, layer by layer:

- The first layer's input is one-hot, so `W x` is a row of a (V, 4H) table with the bias added in.
- The products that read h(l) are stacked into one: `[U(l) | W(l+1)] h(l)`, and `[U(L) | head]`
  for the last layer. The `U` part is the next character's recurrent term, kept till then.
- sigma(x) = (tanh(x/2) + 1) / 2: with the logistic gates' rows halved beforehand, one tanh over
  all 4H values serves every gate.
- Gates are laid out i, f, o, g with c behind g, so i*g and f*c are one product of 2H values.

Layout: a stream's values are a row; a single stream drops that axis, which spares numpy work.
The readable form of the same equations is in `charlstm/nn/cells.py`; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import ModelConfig
from charlstm.errors import CheckpointError

Floats = NDArray[np.float32]


class Engine:
    """A model's weights, laid out for stepping.

    Args:
        weights: arrays by name: for each layer l `layers.l.weight_ih` (4H, V or H),
            `layers.l.weight_hh` (4H, H) and `layers.l.bias` (4H,), gates in the order i, f, g, o;
            `head.weight` (V, H), `head.bias` (V,).
        config: the network's shape.
        vocab_size: V.

    Raises:
        CheckpointError: the weights are not those of such a model.
    """

    def __init__(
        self, weights: Mapping[str, NDArray[Any]], config: ModelConfig, vocab_size: int
    ) -> None:
        check_weights(weights, config, vocab_size)
        self.hidden_size = config.hidden_size
        self.num_layers = config.num_layers
        self.vocab_size = vocab_size
        layers = [
            [_reorder(weights[f"layers.{layer}.{part}"]) for part in _LAYER_PARTS]
            for layer in range(config.num_layers)
        ]
        self.table = np.ascontiguousarray(layers[0][0].T + layers[0][2])  # (V, 4H)
        self.biases = [bias for _, _, bias in layers]  # each (4H,)
        self.head_bias = weights["head.bias"].astype(np.float32)
        readers = [w_ih for w_ih, _, _ in layers[1:]] + [weights["head.weight"]]
        # Each (4H + 4H, H); the last (4H + V, H).
        self.products = [
            np.concatenate([w_hh, reader]).astype(np.float32)
            for (_, w_hh, _), reader in zip(layers, readers, strict=True)
        ]

    def session(self, streams: int = 1) -> Session:
        """Streams that start from the zero state."""
        return Session(self, streams)


_LARGEST = 1e30
_LAYER_PARTS = ("weight_ih", "weight_hh", "bias")


def weight_shapes(config: ModelConfig, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """Every weight's name and shape."""
    hidden = config.hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.num_layers):
        inputs = hidden if layer else vocab_size
        shapes[f"layers.{layer}.weight_ih"] = (4 * hidden, inputs)
        shapes[f"layers.{layer}.weight_hh"] = (4 * hidden, hidden)
        shapes[f"layers.{layer}.bias"] = (4 * hidden,)
    return shapes | {"head.weight": (vocab_size, hidden), "head.bias": (vocab_size,)}


def check_weights(
    weights: Mapping[str, NDArray[Any]], config: ModelConfig, vocab_size: int
) -> None:
    """Compare names, shapes and types with what the configuration asks for.

    Raises:
        CheckpointError: they differ, or a weight is not finite.
    """
    expected = weight_shapes(config, vocab_size)
    if set(weights) != set(expected):
        odd = sorted(set(weights) ^ set(expected))[0]
        raise CheckpointError(f"the weights do not fit the configuration: {odd!r}.")
    for name, shape in expected.items():
        array = weights[name]
        if array.shape != shape or array.dtype != np.float32:
            raise CheckpointError(
                f"the weights do not fit the configuration: {name!r} is {array.dtype} "
                f"{array.shape}, not float32 {shape}."
            )
        # Not finite, or so large that sums over a layer might not be.
        if not (np.abs(array) < _LARGEST).all():
            raise CheckpointError(f"the weight {name!r} is not finite.")


def _reorder(gates: NDArray[Any]) -> Floats:
    """Rows i, f, g, o -> i, f, o, g, the logistic gates (i, f, o) halved."""
    i, f, g, o = np.split(gates.astype(np.float32), 4)
    return np.concatenate([0.5 * i, 0.5 * f, 0.5 * o, g])


class Session:
    """Streams of characters in step, each with its own state.

    Attributes:
        streams: N.
        h, c: the state of each layer, each (N, H); (H,) for a single stream.
    """

    def __init__(self, engine: Engine, streams: int) -> None:
        self.engine = engine
        self.streams = streams
        hidden = engine.hidden_size
        lead = () if streams == 1 else (streams,)

        def zeros(size: int) -> Floats:
            return np.zeros((*lead, size), dtype=np.float32)

        self._outs = [zeros(product.shape[0]) for product in engine.products]
        self._gates = [zeros(5 * hidden) for _ in engine.products]  # i, f, o, g, c
        self.h = [zeros(hidden) for _ in engine.products]
        self.c = [gates[..., 4 * hidden :] for gates in self._gates]
        self._pair = zeros(2 * hidden)
        self._tanh_c = zeros(hidden)
        self._logits = zeros(engine.vocab_size)
        self._views = [self._views_of(layer) for layer in range(engine.num_layers)]
        # What the layer above, or the head, receives.
        self._up = [out[..., 4 * hidden :] for out in self._outs]

    def _views_of(self, layer: int) -> tuple[NDArray[Any], ...]:
        """Slices used at each step, made once."""
        hidden = self.engine.hidden_size
        gates, out = self._gates[layer], self._outs[layer]
        product = self.engine.products[layer]
        return (
            gates[..., : 4 * hidden],  # all gates
            gates[..., : 3 * hidden],  # the logistic ones
            gates[..., : 2 * hidden],  # i, f
            gates[..., 2 * hidden : 3 * hidden],  # o
            gates[..., 3 * hidden :],  # g, c
            self.c[layer],
            self.h[layer],
            out[..., : 4 * hidden],  # the recurrent term
            out,
            product if self.streams == 1 else product.T,
        )

    def step(self, ids: Any) -> Floats:
        """Read one character in each stream.

        Args:
            ids: an int for a single stream, otherwise an integer array (N,).

        Returns:
            Logits for the next character, (V,) or (N, V); overwritten by the next step.
        """
        half = np.float32(0.5)
        engine, tanh, add, multiply = self.engine, np.tanh, np.add, np.multiply
        pair, tanh_c = self._pair, self._tanh_c
        hidden = engine.hidden_size
        ig, fc = pair[..., :hidden], pair[..., hidden:]
        single = self.streams == 1
        for layer, views in enumerate(self._views):
            gates, logistic, i_f, o, g_c, c, h, recurrent, out, product = views
            if layer == 0:
                add(engine.table[ids], recurrent, out=gates)
            else:
                add(self._up[layer - 1], recurrent, out=gates)
                add(gates, engine.biases[layer], out=gates)
            tanh(gates, out=gates)
            multiply(logistic, half, out=logistic)
            add(logistic, half, out=logistic)
            multiply(i_f, g_c, out=pair)
            add(ig, fc, out=c)
            tanh(c, out=tanh_c)
            multiply(o, tanh_c, out=h)
            if single:
                np.dot(product, h, out=out)
            else:
                np.dot(h, product, out=out)
        return add(self._up[-1], engine.head_bias, out=self._logits)

    def reset(self, stream: int) -> None:
        """Send one stream back to the zero state."""
        for array in (*self.h, *self.c, *self._outs):
            array.reshape(self.streams, -1)[stream] = 0.0

    def spread(self, streams: int) -> Session:
        """`streams` copies of a single stream."""
        copy = Session(self.engine, streams)
        for name in ("h", "c", "_outs"):
            for target, source in zip(getattr(copy, name), getattr(self, name), strict=True):
                target[...] = source
        return copy
