"""Weights -> logits, one character at a time, for N streams at once, in numpy.

What makes it fast, layer by layer:

- The first layer's input is a character, so `W x + b` is a row of a (V, G*H) table; an embedding
  is multiplied into the table beforehand.
- The products that read h(l) are stacked into one: `[U(l) | W(l+1) | head]` h(l)`. The `U` part
  is the next character's recurrent term, kept till then. (With residual layers or norms between
  layers, what a layer reads is not its lower neighbour's h alone; then W is a product apart.)
- What a cell does with its gates: see `charlstm/inference/cells.py`.

Layout: a stream's values are a row; a single stream drops that axis, which spares numpy work.
The readable form of the same equations is in `charlstm/nn/`; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import ModelConfig
from charlstm.inference.cells import CELL_STATES, CellWeights, Floats
from charlstm.inference.weights import check_weights

_NORM_EPSILON = np.float32(1e-5)  # as torch's LayerNorm


class Engine:
    """A model's weights, laid out for stepping.

    Args:
        weights: arrays by name, see `charlstm.inference.weights`.
        config: the network's shape.
        vocab_size: V.
        direction: which stack of a network that reads both ways; its logits are the sum of
            both engines' (the forward one's have the bias).

    Raises:
        CheckpointError: the weights are not those of such a model.
    """

    def __init__(
        self,
        weights: Mapping[str, NDArray[Any]],
        config: ModelConfig,
        vocab_size: int,
        *,
        direction: str = "forward",
    ) -> None:
        check_weights(weights, config, vocab_size)
        self.config = config
        self.hidden_size = hidden = config.hidden_size
        self.num_layers = config.num_layers
        self.vocab_size = vocab_size
        self.state_type = CELL_STATES[config.cell]
        prefix = "" if direction == "forward" else "backward_"
        layers = []
        self.extras: list[Floats] = []  # peepholes, or the GRU's inner bias
        for number in range(config.num_layers):
            name = f"{prefix}layers.{number}."
            bias = weights[name + "bias"].astype(np.float32)
            outer, inner = np.split(bias, [self.state_type.gates * hidden])
            layers.append(
                CellWeights(
                    self.state_type.layout,
                    weights[name + "weight_ih"],
                    weights[name + "weight_hh"],
                    outer,
                )
            )
            self.extras.append(weights.get(name + "peephole", inner).astype(np.float32))
        columns = layers[0].weight_ih  # (G*H, V) or (G*H, E)
        if config.embedding:
            columns = columns @ weights["embedding.weight"].T
        self.table = np.ascontiguousarray(columns.T + layers[0].bias)  # (V, G*H)
        self.biases = [layer.bias for layer in layers]
        self.head_bias = weights["head.bias"].astype(np.float32)
        width = config.stack_width
        head = weights["head.weight"]
        if direction == "forward":
            head = head[:, :width]
        else:
            head = head[:, width:]
            self.head_bias = np.zeros_like(self.head_bias)
        self.norms = [
            (
                weights[f"{prefix}norms.{n}.weight"].astype(np.float32),
                weights[f"{prefix}norms.{n}.bias"].astype(np.float32),
            )
            for n in range(config.num_layers - 1 if config.layer_norm else 0)
        ]
        # Whether what layer l+1 reads is h(l) itself, so that its product can be stacked.
        self.stacked = not (config.layer_norm or config.residual)
        self.rows = self.state_type.gates * hidden
        # Rows: the recurrent term; then what the layer above takes; then the softmax's share.
        self.products: list[Floats] = []
        self.inputs: list[Floats | None] = [None] * config.num_layers
        heads = np.split(head, width // hidden, axis=1)
        for number, own in enumerate(layers):
            parts = [own.weight_hh]
            if number + 1 < len(layers) and self.stacked:
                parts.append(layers[number + 1].weight_ih)
            if number and not self.stacked:
                self.inputs[number] = own.weight_ih
            if self.stacked and (config.dense_output or number + 1 == len(layers)):
                parts.append(heads[number if config.dense_output else 0].astype(np.float32))
            self.products.append(np.concatenate(parts))
        self.head = np.ascontiguousarray(head, dtype=np.float32)  # (V, width)

    def session(self, streams: int = 1) -> Session:
        """Streams that start from the zero state."""
        return Session(self, streams)


class Session:
    """Streams of characters in step, each with its own state.

    Attributes:
        streams: N.
        layers: the state of each layer.
    """

    def __init__(self, engine: Engine, streams: int) -> None:
        self.engine = engine
        self.streams = streams
        config, hidden = engine.config, engine.hidden_size
        lead = () if streams == 1 else (streams,)

        def zeros(size: int) -> Floats:
            return np.zeros((*lead, size), dtype=np.float32)

        self.layers = [
            engine.state_type(lead, hidden, extra, config.zoneout) for extra in engine.extras
        ]
        self._outs = [zeros(product.shape[0]) for product in engine.products]
        rows, vocab = engine.rows, engine.vocab_size
        self._recurrent = [out[..., :rows] for out in self._outs]
        # What the layer above receives, and the softmax.
        self._up = [out[..., rows : 2 * rows] for out in self._outs]
        feeds = [out for n, out in enumerate(self._outs) if self._feeds_head(n)]
        self._head_parts = [out[..., -vocab:] for out in feeds]
        self._x = zeros(rows)
        self._logits = zeros(vocab)
        self._concat = zeros(engine.head.shape[1])
        # What a step does, layer by layer, looked up once: state, the terms it adds, and the
        # product that follows.
        single = streams == 1
        self._plan = [
            (
                state.advance,
                recurrent,
                self._up[layer - 1] if layer else None,
                engine.biases[layer],
                *((product, state.h) if single else (state.h, product.T)),
                out,
            )
            for layer, (state, recurrent, product, out) in enumerate(
                zip(self.layers, self._recurrent, engine.products, self._outs, strict=True)
            )
        ]

    def _feeds_head(self, layer: int) -> bool:
        engine = self.engine
        return engine.config.dense_output or layer + 1 == engine.num_layers

    def step(self, ids: Any) -> Floats:
        """Read one character in each stream.

        Args:
            ids: an int for a single stream, otherwise an integer array (N,).

        Returns:
            Logits for the next character, (V,) or (N, V); overwritten by the next step.
        """
        engine = self.engine
        if not engine.stacked:
            return self._step_apart(ids)
        add, dot, scratch = np.add, np.dot, self._x
        x = engine.table[ids]
        for advance, recurrent, up, bias, left, right, out in self._plan:
            if up is not None:
                x = add(up, bias, out=scratch)
            advance(x, recurrent)
            dot(left, right, out=out)
        logits = add(self._head_parts[-1], engine.head_bias, out=self._logits)
        for part in self._head_parts[:-1]:
            add(logits, part, out=logits)
        return logits

    def _step_apart(self, ids: Any) -> Floats:
        """A step where what a layer reads is not its lower neighbour's h alone."""
        engine, config, hidden = self.engine, self.engine.config, self.engine.hidden_size
        x = engine.table[ids]
        below: Floats = self.layers[0].h
        for layer, state in enumerate(self.layers):
            weight = engine.inputs[layer]
            if weight is not None:
                read = below
                if config.layer_norm:
                    read = _normalised(below, *engine.norms[layer - 1])
                x = self._multiply(weight, read, self._x)
                np.add(x, engine.biases[layer], out=x)
            state.advance(x, self._recurrent[layer])
            self._multiply(engine.products[layer], state.h, self._outs[layer])
            below = state.h + below if config.residual and layer else state.h
            if config.dense_output:
                self._concat[..., layer * hidden : (layer + 1) * hidden] = below
        if not config.dense_output:
            self._concat[...] = below
        logits = self._multiply(engine.head, self._concat, self._logits)
        return np.add(logits, engine.head_bias, out=logits)

    def _multiply(self, weight: Floats, values: Floats, out: Floats) -> Floats:
        if self.streams == 1:
            return np.dot(weight, values, out=out)
        return np.dot(values, weight.T, out=out)

    def reset(self, stream: int) -> None:
        """Send one stream back to the zero state."""
        for array in self._carried():
            array.reshape(self.streams, -1)[stream] = 0.0

    def spread(self, streams: int) -> Session:
        """`streams` copies of a single stream."""
        copy = Session(self.engine, streams)
        for target, source in zip(copy._carried(), self._carried(), strict=True):
            target[...] = source
        return copy

    def _carried(self) -> list[Floats]:
        return [part for state in self.layers for part in state.parts] + self._outs


def _normalised(values: Floats, gain: Floats, shift: Floats) -> Floats:
    """Layer normalisation (Ba et al. 2016) of (..., H)."""
    centred = values - values.mean(axis=-1, keepdims=True)
    variance = np.mean(centred * centred, axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + _NORM_EPSILON) * gain + shift)
