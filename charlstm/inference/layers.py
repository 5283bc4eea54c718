"""Layers and heads in numpy, as `charlstm.layers` specifies them.

`charlstm.inference.engine` uses their weights. It calls their steps for models whose products
cannot be stacked. A stream is a column, (size, N); a single stream drops that axis.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm import layers as specs
from charlstm.inference.cells import CELL_STATES, CellState, CellWeights, Floats

Weights = Mapping[str, NDArray[Any]]
_NORM_EPSILON = np.float32(1e-5)  # as torch's LayerNorm


class LayerState(ABC):
    """The state of one layer's streams.

    Attributes:
        parts: all arrays that are carried to the next step, (size, N) each.
    """

    parts: list[Floats]

    @abstractmethod
    def read_character(self, values: Floats) -> Floats:
        """One time step of the first layer: columns of `Layer.table` -> output (size, N)."""

    @abstractmethod
    def read(self, values: Floats) -> Floats:
        """One time step: output of the layer below (inputs, N) -> output (size, N)."""


class Layer(ABC):
    """The weights of a layer, in the layout for inference."""

    @abstractmethod
    def table(self, vectors: NDArray[Any] | None) -> Floats:
        """The part of the layer's step that depends only on the character: (V, any size).

        Args:
            vectors: the embedding, (V, inputs); None: one-hot vectors.
        """

    @abstractmethod
    def state(self, tail: tuple[int, ...]) -> LayerState:
        """The zero state; tail: () for one stream, (N,) for more."""


class RecurrentLayer(Layer):
    """A layer of a recurrent cell.

    Attributes:
        spec: the specification.
        weights: in the layout for inference.
    """

    def __init__(self, spec: specs.Recurrent, weights: Weights) -> None:
        self.spec = spec
        names = spec.cell.weight_shapes(0, 0)
        self.weights = CellWeights(
            spec.cell, {name: weights[f"{spec.name}.{name}"] for name in names}
        )

    def table(self, vectors: NDArray[Any] | None) -> Floats:
        """W x + b for each character, (V, G * H)."""
        columns = self.weights.weight_ih  # (G*H, V) or (G*H, E)
        if vectors is not None:
            columns = columns @ vectors.T
        return np.ascontiguousarray(columns.T + self.weights.bias)

    def state(self, tail: tuple[int, ...]) -> RecurrentState:  # noqa: D102
        return RecurrentState(self, tail)

    def cell_state(self, tail: tuple[int, ...]) -> CellState:
        """The state of the cell; the caller computes the products."""
        spec = self.spec
        return CELL_STATES[spec.cell.name](tail, spec.size, self.weights.extra, spec.zoneout)

    @cached_property
    def product_columns(self) -> Floats:
        """U, transposed for a single stream, with a row of zeros: (H + 1, G * H)."""
        return np.ascontiguousarray(with_bias(self.weights.weight_hh).T)

    @cached_property
    def product(self) -> Floats:
        """U for several streams, with a column of zeros: (G * H, H + 1)."""
        return np.ascontiguousarray(self.product_columns.T)


class RecurrentState(LayerState):
    """The state of a recurrent layer's streams."""

    def __init__(self, layer: RecurrentLayer, tail: tuple[int, ...]) -> None:
        self._cell = layer.cell_state(tail)
        rows = layer.product_columns.shape[1]
        self._recurrent = np.zeros((rows, *tail), dtype=np.float32)
        self.parts = [*self._cell.parts, self._recurrent]
        self._x = np.zeros_like(self._recurrent)
        self._bias = layer.weights.bias.reshape(-1, *(1 for _ in tail))
        self._weight_ih = layer.weights.weight_ih
        # The recurrent product: h U^T for one stream, U h for more.
        if tail:
            self._product, self._factor = layer.product.dot, self._cell.h_one
        else:
            self._product, self._factor = self._cell.h_one.dot, layer.product_columns

    def read_character(self, values: Floats) -> Floats:  # noqa: D102
        self._cell.advance(values, self._recurrent)
        self._product(self._factor, self._recurrent)
        return self._cell.h

    def read(self, values: Floats) -> Floats:  # noqa: D102
        x = np.dot(self._weight_ih, values, out=self._x)
        return self.read_character(np.add(x, self._bias, out=x))


class LayerNorm:
    """Layer normalisation (Ba et al. 2016) over each column."""

    def __init__(self, spec: specs.LayerNorm, weights: Weights) -> None:
        self._gain = weights[f"{spec.name}.weight"].astype(np.float32)
        self._shift = weights[f"{spec.name}.bias"].astype(np.float32)

    def of(self, tail: tuple[int, ...]) -> Callable[[Floats], Floats]:
        """The normalisation as a function (size, N) -> (size, N).

        Args:
            tail: () for one stream, (N,) for more.
        """
        gain, shift = (v.reshape(-1, *(1 for _ in tail)) for v in (self._gain, self._shift))

        def normalised(values: Floats) -> Floats:
            centred = values - values.mean(axis=0)
            variance = np.mean(centred * centred, axis=0)
            return np.asarray(centred / np.sqrt(variance + _NORM_EPSILON) * gain + shift)

        return normalised


class LinearHead:
    """The linear layer from outputs to logits, for one stack of the network.

    Args:
        spec: the specification; its scale is multiplied into the weights.
        weights: the model's weights.
        first, size: the first input and the number of inputs that the stack provides. The logits
            of all stacks are added; the stack whose first input is 0 has the bias.

    Attributes:
        weight: (V, size).
        bias: (V,).
    """

    def __init__(self, spec: specs.LinearHead, weights: Weights, first: int, size: int) -> None:
        scale = np.float32(spec.scale)
        weight = (weights[f"{spec.name}.weight"] * scale)[:, first : first + size]
        self.weight = np.ascontiguousarray(weight, dtype=np.float32)
        self.bias = weights[f"{spec.name}.bias"].astype(np.float32) * scale
        if first:
            self.bias = np.zeros_like(self.bias)

    def read(self, values: Floats, out: Floats) -> Floats:
        """Outputs (size, N) -> logits (V, N), written to `out`."""
        np.dot(self.weight, values, out=out)
        bias = self.bias if out.ndim == 1 else self.bias[:, None]
        np.add(out, bias, out=out)
        return out


LAYERS: Mapping[type, Callable[[Any, Weights], Layer]] = {specs.Recurrent: RecurrentLayer}
"""The class of each layer, by the type of its specification."""

HEADS: Mapping[type, Callable[[Any, Weights, int, int], LinearHead]] = {
    specs.LinearHead: LinearHead
}
"""The class of each head, by the type of its specification."""


def with_bias(weight: NDArray[Any], bias: NDArray[Any] | None = None) -> Floats:
    """[W | b]: weight (rows, H) and bias (rows,) -> (rows, H + 1); without a bias, b is 0."""
    column = np.zeros(len(weight)) if bias is None else bias
    return np.column_stack((weight, column)).astype(np.float32)
