"""Weights -> logits, one character at a time, for N streams at once, in numpy.

What makes it fast, layer by layer:

- The first layer's input is a character, so `W x + b` is a row of a (V, G*H) table; an embedding
  is multiplied into the table beforehand.
- The products that read h(l) are stacked into one: `[U(l) | W(l+1) | head]` h(l)`. The `U` part
  is the next character's recurrent term, kept till then. (With residual layers or norms between
  layers, what a layer reads is not its lower neighbour's h alone; then W is a product apart.)
- Biases are the products' last column, which a row of ones below h is multiplied with.
- What a cell does with its gates: see `charlstm/inference/cells.py`.

Layout: a stream's values are a column, so that products are `W @ h`, which BLAS does faster than
`h @ W.T`, and each gate's rows lie together. A single stream drops that axis, which spares numpy
work, and reads its weights transposed: a sum of columns is faster than a product for each row.
The readable form of the same equations is in `charlstm/nn/`; a test holds the two equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import ModelConfig
from charlstm.inference.cells import CELL_STATES, CellWeights, Floats
from charlstm.inference.weights import check_weights

_NORM_EPSILON = np.float32(1e-5)  # as torch's LayerNorm


def no_underflow() -> np.errstate:
    """A context in which results too small for a float are 0, whatever the caller's `np.seterr`.

    Gates, probabilities and losses of very unlikely characters are meant to become 0.
    """
    return np.errstate(under="ignore")


class Engine:
    """A model's weights, laid out for stepping.

    Args:
        weights: arrays by name, see `charlstm.inference.weights`.
        config: the network's shape.
        vocab_size: V.
        direction: which stack of a network that reads both ways; its logits are the sum of
            both engines' (the forward one's have the bias).
        compiled: whether one stream is written by compiled code, see
            `charlstm.inference.fast_writer`; None: where it is installed and worth loading.

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
        compiled: bool | None = None,
    ) -> None:
        check_weights(weights, config, vocab_size)
        with no_underflow():
            self._lay_out(weights, config, vocab_size, direction)
        self.compiled = compiled

    def _lay_out(
        self,
        weights: Mapping[str, NDArray[Any]],
        config: ModelConfig,
        vocab_size: int,
        direction: str,
    ) -> None:
        self.config = config
        self.hidden_size = hidden = config.hidden_size
        self.num_layers = config.num_layers
        self.vocab_size = vocab_size
        self.state_type = CELL_STATES[config.cell]
        spec = self.state_type.spec
        prefix = "" if direction == "forward" else "backward_"
        layers = []
        for number in range(config.num_layers):
            name = f"{prefix}layers.{number}."
            layers.append(
                CellWeights(spec, {key: weights[name + key] for key in spec.weight_shapes(0, 0)})
            )
        self.extras = [layer.extra for layer in layers]
        columns = layers[0].weight_ih  # (G*H, V) or (G*H, E)
        if config.embedding:
            columns = columns @ weights["embedding.weight"].T
        self.table = np.ascontiguousarray(columns.T + layers[0].bias)  # (V, G*H)
        self.biases = [layer.bias for layer in layers]
        self.head_bias = weights["head.bias"].astype(np.float32) * np.float32(config.logit_scale)
        width = config.stack_width
        head = weights["head.weight"] * np.float32(config.logit_scale)
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
        self.rows = spec.num_gates * hidden
        # (rows, H + 1). Rows: the recurrent term; then what the layer above takes; then the
        # softmax's share.
        products: list[Floats] = []
        self.inputs: list[Floats | None] = [None] * config.num_layers
        heads = np.split(head, width // hidden, axis=1)
        for number, own in enumerate(layers):
            last = number + 1 == len(layers)
            parts = [_with_bias(own.weight_hh)]
            if self.stacked and not last:
                above = layers[number + 1]
                parts.append(_with_bias(above.weight_ih, above.bias))
            if number and not self.stacked:
                self.inputs[number] = own.weight_ih
            if self.stacked and (config.dense_output or last):
                share = heads[number if config.dense_output else 0]
                parts.append(_with_bias(share, self.head_bias if last else None))
            products.append(np.concatenate(parts))
        # As a single stream reads them, (H + 1, rows), one after the other in one array.
        self.columns = np.concatenate([product.T.reshape(-1) for product in products])
        ends = np.cumsum([product.size for product in products])
        self.product_columns = [
            part.reshape(hidden + 1, -1) for part in np.split(self.columns, ends[:-1])
        ]
        self.head = np.ascontiguousarray(head, dtype=np.float32)  # (V, width)

    @property
    def plain_lstm(self) -> bool:
        """Whether compiled code knows it."""
        known = self.state_type.spec.has_sampling_kernel
        return known and self.stacked and not self.config.dense_output

    @cached_property
    def table_columns(self) -> Floats:
        """The table as many streams read it, (G*H, V)."""
        return np.ascontiguousarray(self.table.T)

    @cached_property
    def products(self) -> list[Floats]:
        """The products as many streams read them, (rows, H + 1)."""
        return [np.ascontiguousarray(product.T) for product in self.product_columns]

    def session(self, streams: int = 1) -> Session:
        """Streams that start from the zero state."""
        return Session(self, streams)


class Session:
    """Streams of characters in step, each with its own state.

    Attributes:
        streams: N.
        layers: the state of each layer.
        outs: what each layer's product gave in the last step, (rows, N).
    """

    def __init__(self, engine: Engine, streams: int) -> None:
        self.engine = engine
        self.streams = streams
        config, hidden = engine.config, engine.hidden_size
        tail = () if streams == 1 else (streams,)

        def zeros(size: int) -> Floats:
            return np.zeros((size, *tail), dtype=np.float32)

        def columns(vectors: list[Floats]) -> list[Floats]:
            return [vector.reshape(-1, *(1 for _ in tail)) for vector in vectors]

        self.layers = [
            engine.state_type(tail, hidden, extra, config.zoneout) for extra in engine.extras
        ]
        self.outs = [zeros(product.shape[1]) for product in engine.product_columns]
        rows, vocab = engine.rows, engine.vocab_size
        feeds = [out for n, out in enumerate(self.outs) if self._feeds_head(n)]
        self._head_parts = [out[-vocab:] for out in feeds]
        self._head = self._head_parts[-1].T  # (N, V)
        self._x = zeros(rows)
        self._logits = zeros(vocab)
        # What a step does, layer by layer, looked up once: the layer's state, its recurrent term,
        # the product that follows, and what the layer above then receives.
        self._plan = [
            (
                state.advance,
                out[:rows],
                state.h_one.dot if streams == 1 else engine.products[layer].dot,
                engine.product_columns[layer] if streams == 1 else state.h_one,
                out,
                out[rows : 2 * rows],
            )
            for layer, (state, out) in enumerate(zip(self.layers, self.outs, strict=True))
        ]
        self._rows = list(engine.table) if streams == 1 else []
        # Of a step where what a layer reads is not its lower neighbour's h alone.
        self._concat = zeros(engine.head.shape[1])
        self._biases = columns(engine.biases)
        self._head_bias = columns([engine.head_bias])[0]
        self._norms = [columns(list(norm)) for norm in engine.norms]

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
        x = self._rows[ids] if self._rows else self.engine.table_columns.take(ids, axis=1)
        if not self.engine.stacked:
            return self._step_apart(x)
        for advance, recurrent, product, factor, out, up in self._plan:
            advance(x, recurrent)
            product(factor, out)
            x = up
        if len(self._head_parts) == 1:
            return self._head
        return np.add.reduce(self._head_parts, axis=0, out=self._logits).T

    def _step_apart(self, x: Floats) -> Floats:
        """A step where what a layer reads is not its lower neighbour's h alone."""
        engine, config, hidden = self.engine, self.engine.config, self.engine.hidden_size
        below: Floats = self.layers[0].h
        for layer, (advance, recurrent, product, factor, out, _) in enumerate(self._plan):
            weight = engine.inputs[layer]
            if weight is not None:
                read = below
                if config.layer_norm:
                    read = _normalised(below, *self._norms[layer - 1])
                x = np.dot(weight, read, out=self._x)
                np.add(x, self._biases[layer], out=x)
            advance(x, recurrent)
            product(factor, out)
            h = self.layers[layer].h
            below = h + below if config.residual and layer else h
            if config.dense_output:
                self._concat[layer * hidden : (layer + 1) * hidden] = below
        if not config.dense_output:
            self._concat[...] = below
        logits = np.dot(engine.head, self._concat, out=self._logits)
        return np.add(logits, self._head_bias, out=logits).T

    @property
    def logits(self) -> Floats:
        """What the last step has returned, where compiled code took it (see `plain_lstm`)."""
        return self._head

    def reset(self, stream: int) -> None:
        """Send one stream back to the zero state."""
        for array in self._carried():
            array.reshape(-1, self.streams)[:, stream] = 0.0

    def spread(self, streams: int) -> Session:
        """`streams` copies of a single stream."""
        copy = Session(self.engine, streams)
        for target, source in zip(copy._carried(), self._carried(), strict=True):
            target.T[...] = source  # a row for each stream
        return copy

    def _carried(self) -> list[Floats]:
        return [part for state in self.layers for part in state.parts] + self.outs


def _normalised(values: Floats, gain: Floats, shift: Floats) -> Floats:
    """Layer normalisation (Ba et al. 2016) of each column."""
    centred = values - values.mean(axis=0)
    variance = np.mean(centred * centred, axis=0)
    return np.asarray(centred / np.sqrt(variance + _NORM_EPSILON) * gain + shift)


def _with_bias(weight: NDArray[Any], bias: NDArray[Any] | None = None) -> Floats:
    """[W | b] of (rows, H) and (rows,): (rows, H + 1); without a bias, b is zero."""
    column = np.zeros(len(weight)) if bias is None else bias
    return np.column_stack((weight, column)).astype(np.float32)
