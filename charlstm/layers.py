"""Specifications of the layers of a network, independent of torch and numpy.

`network` makes the specification of a network from its options. `charlstm.nn.network` (torch) and
`charlstm.inference.engine` (numpy) implement it, and it determines the weights in a checkpoint.
Characters are embedded and pass through a stack of blocks, or through two stacks in a bidirectional
network. The head computes logits from the outputs of the stacks.

To add a kind of layer or head, add its specification here. Add its implementations in torch to
`LAYER_MODULES` or `HEAD_MODULES` in `charlstm.nn.network`, and in numpy to `LAYERS` or `HEADS` in
`charlstm.inference.layers`.

The specifications are named tuples, which Python makes six times as fast as dataclasses; every
command that loads a model imports them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from charlstm.cells import CELLS, CellSpec
from charlstm.config.model import ModelConfig

Shapes = dict[str, tuple[int, ...]]
"""Names and shapes of weights."""


class Layer(Protocol):
    """A layer with a state that maps a sequence of vectors to a sequence of vectors."""

    @property
    def name(self) -> str:
        """Prefix of the names of its weights."""

    @property
    def size(self) -> int:
        """Size of each output vector."""

    def weight_shapes(self) -> Shapes:
        """Shapes of its weights, by their names in a checkpoint."""


class Head(Protocol):
    """A map from vectors to logits."""

    @property
    def name(self) -> str:
        """Prefix of the names of its weights."""

    @property
    def inputs(self) -> int:
        """Size of each input vector."""

    def weight_shapes(self) -> Shapes:
        """Shapes of its weights, by their names in a checkpoint."""


class Characters(NamedTuple):
    """The input layer: characters as one-hot vectors or learned embeddings.

    Attributes:
        vocab_size: V.
        embedding: E, the size of an embedding; 0: one-hot vectors.
        dropout: probability that a character's vector is zeroed in training.
    """

    vocab_size: int
    embedding: int
    dropout: float
    name: str = "embedding"

    @property
    def size(self) -> int:
        """Size of each vector."""
        return self.embedding or self.vocab_size

    def weight_shapes(self) -> Shapes:
        """The embedding, (V, E); empty for one-hot vectors."""
        if not self.embedding:
            return {}
        return {f"{self.name}.weight": (self.vocab_size, self.embedding)}


class Recurrent(NamedTuple):
    """A recurrent layer (`Layer`).

    Attributes:
        name: prefix of the names of its weights.
        cell: specification of the cell.
        inputs: size of each input vector.
        size: H.
        zoneout: probability that a unit keeps its state.
        weight_dropout: probability that a recurrent weight is zeroed in training.
    """

    name: str
    cell: CellSpec
    inputs: int
    size: int
    zoneout: float
    weight_dropout: float

    def weight_shapes(self) -> Shapes:
        """See `CellSpec.weight_shapes`."""
        shapes = self.cell.weight_shapes(self.inputs, self.size)
        return {f"{self.name}.{name}": shape for name, shape in shapes.items()}


class LayerNorm(NamedTuple):
    """Layer normalisation with gain and shift (Ba et al. 2016).

    Attributes:
        name: prefix of the names of its weights.
        size: size of each vector.
    """

    name: str
    size: int

    def weight_shapes(self) -> Shapes:
        """Gain and shift."""
        return {f"{self.name}.weight": (self.size,), f"{self.name}.bias": (self.size,)}


class Dropout(NamedTuple):
    """Dropout of activations in training (Srivastava et al. 2014).

    Attributes:
        rate: probability that an activation is zeroed, with a new mask for each time step.
        locked_rate: the same probability, with one mask for all time steps of a window.
    """

    rate: float
    locked_rate: float


class Block(NamedTuple):
    """`layer(dropout(norm(x)))`, plus x in a residual block.

    Attributes:
        layer: the layer.
        norm, dropout: applied to the input of the layer; None: not applied.
        is_residual: whether x is added.
    """

    layer: Layer
    norm: LayerNorm | None
    dropout: Dropout | None
    is_residual: bool


class Stack(NamedTuple):
    """A sequence of blocks, each of which reads the output of the previous one.

    Attributes:
        blocks: the blocks, from input to output.
        is_dense: whether the stack's output is the concatenation of the outputs of all blocks;
            otherwise it is the output of the last block.
    """

    blocks: tuple[Block, ...]
    is_dense: bool

    @property
    def size(self) -> int:
        """Size of each output vector."""
        sizes = [block.layer.size for block in self.blocks]
        return sum(sizes) if self.is_dense else sizes[-1]

    def weight_shapes(self) -> Shapes:
        """Shapes of the weights of all blocks."""
        shapes: Shapes = {}
        for block in self.blocks:
            if block.norm is not None:
                shapes |= block.norm.weight_shapes()
            shapes |= block.layer.weight_shapes()
        return shapes


class LinearHead(NamedTuple):
    """A linear layer (`Head`).

    Attributes:
        inputs: size of each input vector.
        outputs: V.
        scale: factor of the logits, except in training.
        name: prefix of the names of its weights.
    """

    inputs: int
    outputs: int
    scale: float
    name: str = "head"

    def weight_shapes(self) -> Shapes:
        """Weight and bias."""
        return {
            f"{self.name}.weight": (self.outputs, self.inputs),
            f"{self.name}.bias": (self.outputs,),
        }


class Network(NamedTuple):
    """The specification of a network.

    Attributes:
        characters: the input layer.
        forward: the stack that reads from left to right.
        backward: the stack that reads from right to left; None unless bidirectional.
        dropout: applied to the input of the head.
        head: reads the outputs of the forward and the backward stack, concatenated.
    """

    characters: Characters
    forward: Stack
    backward: Stack | None
    dropout: Dropout
    head: Head

    def weight_shapes(self) -> Shapes:
        """Names and shapes of all weights."""
        shapes = self.characters.weight_shapes() | self.forward.weight_shapes()
        if self.backward is not None:
            shapes |= self.backward.weight_shapes()
        return shapes | self.head.weight_shapes()


def network(config: ModelConfig, vocab_size: int) -> Network:
    """The specification of the configured network."""
    characters = Characters(vocab_size, config.embedding, config.input_dropout)
    forward = _stack(config, characters.size, "")
    backward = _stack(config, characters.size, "backward_") if config.direction == "both" else None
    inputs = forward.size + (0 if backward is None else backward.size)
    head = LinearHead(inputs, vocab_size, config.logit_scale)
    return Network(characters, forward, backward, _dropout(config), head)


def _dropout(config: ModelConfig) -> Dropout:
    return Dropout(config.dropout, config.locked_dropout)


def _stack(config: ModelConfig, inputs: int, prefix: str) -> Stack:
    blocks = []
    for number in range(config.num_layers):
        layer = Recurrent(
            name=f"{prefix}layers.{number}",
            cell=CELLS[config.cell],
            inputs=config.hidden_size if number else inputs,
            size=config.hidden_size,
            zoneout=config.zoneout,
            weight_dropout=config.recurrent_dropout,
        )
        has_norm = config.layer_norm and number > 0
        blocks.append(
            Block(
                layer=layer,
                norm=LayerNorm(f"{prefix}norms.{number - 1}", layer.inputs) if has_norm else None,
                dropout=_dropout(config) if number else None,
                is_residual=config.residual and number > 0,
            )
        )
    return Stack(tuple(blocks), config.dense_output)
