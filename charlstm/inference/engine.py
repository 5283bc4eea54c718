"""The forward pass in numpy: logits for N parallel streams, one character at a time.

Optimisations:

- The first layer's input is a character, so `W x + b` is a row of a (V, G*H) table. An embedding
  is multiplied into the table beforehand.
- All products with h(l) are stacked into one: `[U(l) | W(l+1) | head] h(l)`. The `U` part is the
  recurrent term of the next step. This requires that each recurrent layer reads only the h of the
  layer below. With norms or residual blocks between layers, each layer computes its own products,
  see `charlstm.inference.layers`.
- Biases are the last column of the stacked matrix; h has a row of ones below for it.
- The gates are computed as `charlstm.inference.cells` describes.

Layout: a stream is a column. Products are then `W @ h`, which BLAS computes faster than `h @ W.T`,
and the rows of each gate are contiguous. A single stream drops that axis, which reduces numpy's
overhead, and uses transposed weights, for which the matrix-vector product is faster.

`charlstm.nn.network` is the same network in torch; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm import layers as specs
from charlstm.config import ModelConfig
from charlstm.format.weights import check_weights
from charlstm.inference.cells import CellState, Floats
from charlstm.inference.layers import (
    HEADS,
    LAYERS,
    LayerNorm,
    LayerState,
    LinearHead,
    RecurrentLayer,
    with_bias,
)


def no_underflow() -> np.errstate:
    """A context in which floating-point underflow gives 0, whatever the caller's `np.seterr`.

    Gates, probabilities and losses of very unlikely characters may underflow.
    """
    return np.errstate(under="ignore")


class Engine:
    """A model's weights, in the layout for inference.

    Args:
        weights: arrays by name, see `charlstm.format.weights`.
        config: the network's architecture.
        vocab_size: V.
        direction: the stack to compute, `forward` or `backward`. The logits of a bidirectional
            network are the sum of both engines' logits; the forward engine has the bias.
        compiled: whether to generate with compiled code, see `charlstm.inference.fast_writer`;
            None: only if it is installed and the text is long enough.

    Raises:
        CheckpointError: the weights do not fit the configuration.
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
        network = specs.network(config, vocab_size)
        self.hidden_size = config.hidden_size
        self.num_layers = config.num_layers
        self.vocab_size = vocab_size
        stack, first = network.forward, 0
        if direction == "backward":
            assert network.backward is not None
            stack, first = network.backward, network.forward.size
        self.stack = stack
        self.layers = [LAYERS[type(block.layer)](block.layer, weights) for block in stack.blocks]
        self.norms = [
            None if block.norm is None else LayerNorm(block.norm, weights) for block in stack.blocks
        ]
        self.table = self.layers[0].table(weights.get("embedding.weight"))  # (V, rows)
        self.rows = self.table.shape[1]
        head = HEADS[type(network.head)](network.head, weights, first, stack.size)
        self.head = head
        recurrent = [layer for layer in self.layers if isinstance(layer, RecurrentLayer)]
        # Products can be stacked if each layer reads the h of the layer below unchanged.
        self.stacked = len(recurrent) == len(self.layers) and not any(
            block.norm or block.is_residual for block in stack.blocks
        )
        products = self._stacked_products(recurrent, head) if self.stacked else []
        # Transposed for a single stream, (H + 1, rows), concatenated in one array.
        columns = [product.T.reshape(-1) for product in products]
        self.columns = np.concatenate(columns) if columns else np.empty(0, dtype=np.float32)
        ends = np.cumsum([product.size for product in products])
        parts = np.split(self.columns, ends[:-1]) if products else []
        self.product_columns = [part.reshape(self.hidden_size + 1, -1) for part in parts]

    def _stacked_products(self, layers: list[RecurrentLayer], head: LinearHead) -> list[Floats]:
        """The stacked matrix of each layer, multiplied by its h: (rows, H + 1).

        Rows, in order: the layer's recurrent weights, the input weights of the layer above, and
        the head's columns for this layer.
        """
        products = []
        heads = np.split(head.weight, head.weight.shape[1] // self.hidden_size, axis=1)
        for number, layer in enumerate(layers):
            is_last = number + 1 == len(layers)
            parts = [with_bias(layer.weights.weight_hh)]
            if not is_last:
                above = layers[number + 1].weights
                parts.append(with_bias(above.weight_ih, above.bias))
            if self.stack.is_dense or is_last:
                weight = heads[number if self.stack.is_dense else 0]
                parts.append(with_bias(weight, head.bias if is_last else None))
            products.append(np.concatenate(parts))
        return products

    @property
    def has_sampling_kernel(self) -> bool:
        """Whether `charlstm.kernels.lstm_sampling` supports this network."""
        cells = [layer.spec.cell for layer in self.layers if isinstance(layer, RecurrentLayer)]
        known = all(cell.has_sampling_kernel for cell in cells)
        return self.stacked and known and not self.stack.is_dense

    @cached_property
    def table_columns(self) -> Floats:
        """The table, transposed for several streams: (G*H, V)."""
        return np.ascontiguousarray(self.table.T)

    @cached_property
    def products(self) -> list[Floats]:
        """The stacked matrices for several streams, (rows, H + 1) each."""
        return [np.ascontiguousarray(product.T) for product in self.product_columns]

    def session(self, streams: int = 1) -> Session:
        """A session of N streams in the zero state."""
        return Session(self, streams)


class Session:
    """The state of N parallel streams.

    Attributes:
        streams: N.
        cells: the state of each layer; empty if products are not stacked.
        outs: each layer's stacked product of the last step, (rows, N); empty if products are not
            stacked.
    """

    def __init__(self, engine: Engine, streams: int) -> None:
        self.engine = engine
        self.streams = streams
        self._tail = () if streams == 1 else (streams,)
        self._rows = list(engine.table) if streams == 1 else []
        self.cells: list[CellState] = []
        self.outs: list[Floats] = []
        self._states: list[LayerState] = []
        self._logits = self._zeros(engine.vocab_size)
        if engine.stacked:
            self._start_stacked()
        else:
            self._start_by_block()

    def _zeros(self, size: int) -> Floats:
        return np.zeros((size, *self._tail), dtype=np.float32)

    def _start_stacked(self) -> None:
        engine, streams, rows = self.engine, self.streams, self.engine.rows
        self.cells = [
            layer.cell_state(self._tail)
            for layer in engine.layers
            if isinstance(layer, RecurrentLayer)
        ]
        self.outs = [self._zeros(product.shape[1]) for product in engine.product_columns]
        feeds = self.outs if engine.stack.is_dense else self.outs[-1:]
        self._head_parts = [out[-engine.vocab_size :] for out in feeds]
        self._head = self._head_parts[-1].T  # (N, V)
        # The operations and buffers of a step, one tuple for each layer: the cell's step, its
        # recurrent term, the stacked product with both factors, and the input of the layer above.
        self._plan = [
            (
                state.advance,
                out[:rows],
                state.h_one.dot if streams == 1 else engine.products[layer].dot,
                engine.product_columns[layer] if streams == 1 else state.h_one,
                out,
                out[rows : 2 * rows],
            )
            for layer, (state, out) in enumerate(zip(self.cells, self.outs, strict=True))
        ]

    def _start_by_block(self) -> None:
        engine, tail = self.engine, self._tail
        self._states = [layer.state(tail) for layer in engine.layers]
        self._outputs = self._zeros(engine.stack.size)  # of all blocks
        self._blocks = [
            (
                None if norm is None else norm.of(tail),
                state.read if number else state.read_character,
                block.is_residual,
                block.layer.size,
            )
            for number, (block, norm, state) in enumerate(
                zip(engine.stack.blocks, engine.norms, self._states, strict=True)
            )
        ]

    def step(self, ids: Any) -> Floats:
        """Read one character in each stream.

        Args:
            ids: an int for a single stream, otherwise an integer array (N,).

        Returns:
            Logits for the next character, (V,) or (N, V); overwritten by the next step.
        """
        x = self._rows[ids] if self._rows else self.engine.table_columns.take(ids, axis=1)
        if not self.engine.stacked:
            return self._step_by_block(x)
        for advance, recurrent, product, factor, out, up in self._plan:
            advance(x, recurrent)
            product(factor, out)
            x = up
        if len(self._head_parts) == 1:
            return self._head
        return np.add.reduce(self._head_parts, axis=0, out=self._logits).T

    def _step_by_block(self, below: Floats) -> Floats:
        """A step without stacked products."""
        is_dense, first = self.engine.stack.is_dense, 0
        for norm, read, is_residual, size in self._blocks:
            out = read(below if norm is None else norm(below))
            below = out + below if is_residual else out
            if is_dense:
                self._outputs[first : first + size] = below
                first += size
        return self.engine.head.read(self._outputs if is_dense else below, self._logits).T

    @property
    def logits(self) -> Floats:
        """The logits of the last step, if products are stacked; compiled code writes them here."""
        return self._head

    def reset(self, stream: int) -> None:
        """Reset one stream to the zero state."""
        for array in self._carried():
            array.reshape(-1, self.streams)[:, stream] = 0.0

    def spread(self, streams: int) -> Session:
        """A session with `streams` copies of this session's single stream."""
        copy = Session(self.engine, streams)
        for target, source in zip(copy._carried(), self._carried(), strict=True):
            target.T[...] = source  # a row for each stream
        return copy

    def _carried(self) -> list[Floats]:
        parts = [state.parts for state in self.cells] + [state.parts for state in self._states]
        return [part for layer_parts in parts for part in layer_parts] + self.outs
