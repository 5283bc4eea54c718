"""The network as a list of layer specifications.

`network` makes it from the options. Torch (`charlstm.nn.network`) and numpy
(`charlstm.inference.engine`) interpret it, and the weights of a checkpoint derive from it.
Characters become vectors and pass through a stack of blocks (two stacks, if the model reads both
ways). The head makes logits of what the stacks return.

To add a kind of layer or head, add its specification here and an implementation to each half:
`LAYER_MODULES` and `HEAD_MODULES` in `charlstm.nn.network`, `LAYERS` and `HEADS` in
`charlstm.inference.layers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from charlstm.cells import CELLS, CellSpec
from charlstm.config.model import ModelConfig

Shapes = dict[str, tuple[int, ...]]
"""Names and shapes of weights."""


class Layer(Protocol):
    """A layer with a state, from vectors to vectors; the first may read characters."""

    @property
    def name(self) -> str:
        """Prefix of its weights' names."""

    @property
    def size(self) -> int:
        """Of each vector that it returns."""

    def weight_shapes(self) -> Shapes:
        """Its weights, by their names in a checkpoint."""


class Head(Protocol):
    """From vectors to logits."""

    @property
    def name(self) -> str:
        """Prefix of its weights' names."""

    @property
    def inputs(self) -> int:
        """The size of what it reads."""

    def weight_shapes(self) -> Shapes:
        """Its weights, by their names in a checkpoint."""


@dataclass(frozen=True)
class Characters:
    """Characters to vectors: one-hot, or learned.

    Attributes:
        vocab_size: V.
        embedding: E, the size of a learned vector; 0: one-hot.
        dropout: the probability that a character's vector is zeroed, in training.
    """

    vocab_size: int
    embedding: int
    dropout: float
    name: str = "embedding"

    @property
    def size(self) -> int:
        """Of a vector."""
        return self.embedding or self.vocab_size

    def weight_shapes(self) -> Shapes:
        """The learned vectors, (V, E)."""
        if not self.embedding:
            return {}
        return {f"{self.name}.weight": (self.vocab_size, self.embedding)}


@dataclass(frozen=True)
class Recurrent:
    """A layer of a recurrent cell (`Layer`).

    Attributes:
        name: prefix of its weights' names.
        cell: the cell's record.
        inputs: the size of what it reads.
        size: H.
        zoneout: the probability that a unit keeps its state.
        weight_dropout: the probability that a recurrent weight is zeroed, in training.
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


@dataclass(frozen=True)
class LayerNorm:
    """Normalisation of each vector, with gain and shift (Ba et al. 2016).

    Attributes:
        name: prefix of its weights' names.
        size: of a vector.
    """

    name: str
    size: int

    def weight_shapes(self) -> Shapes:
        """Gain and shift."""
        return {f"{self.name}.weight": (self.size,), f"{self.name}.bias": (self.size,)}


@dataclass(frozen=True)
class Dropout:
    """Zeroed activations in training (Srivastava et al. 2014).

    Attributes:
        rate: the probability of each activation, with a new mask for each step.
        locked_rate: the same, with one mask for all steps of a window.
    """

    rate: float
    locked_rate: float


@dataclass(frozen=True)
class Block:
    """`layer(dropout(norm(x)))`, plus x in a residual block.

    Attributes:
        layer: its layer.
        norm, dropout: None: left out.
        is_residual: whether x is added.
    """

    layer: Layer
    norm: LayerNorm | None
    dropout: Dropout | None
    is_residual: bool


@dataclass(frozen=True)
class Stack:
    """Blocks, each reading what the one below returns.

    Attributes:
        blocks: the lowest first.
        is_dense: whether the stack returns the outputs of all blocks side by side, not only the
            last one's.
    """

    blocks: tuple[Block, ...]
    is_dense: bool

    @property
    def size(self) -> int:
        """Of each vector that it returns."""
        sizes = [block.layer.size for block in self.blocks]
        return sum(sizes) if self.is_dense else sizes[-1]

    def weight_shapes(self) -> Shapes:
        """The weights of all blocks."""
        shapes: Shapes = {}
        for block in self.blocks:
            if block.norm is not None:
                shapes |= block.norm.weight_shapes()
            shapes |= block.layer.weight_shapes()
        return shapes


@dataclass(frozen=True)
class LinearHead:
    """A linear layer (`Head`).

    Attributes:
        inputs: the size of what it reads.
        outputs: V.
        scale: multiplies the logits, except in training.
        name: prefix of its weights' names.
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


@dataclass(frozen=True)
class Network:
    """All layers.

    Attributes:
        characters: the input.
        forward: reads from left to right.
        backward: reads from right to left, if the model reads both ways.
        dropout: of what the head reads.
        head: reads what both stacks return, side by side, forward first.
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
    """The network that the options describe."""
    characters = Characters(vocab_size, config.embedding, config.input_dropout)
    forward = _stack(config, characters.size, "")
    backward = _stack(config, characters.size, "backward_") if config.direction == "both" else None
    width = forward.size + (0 if backward is None else backward.size)
    head = LinearHead(width, vocab_size, config.logit_scale)
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
