"""CharLSTM: ids -> logits, by the layer specifications of `charlstm.layers` (torch)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from charlstm import layers as specs
from charlstm.config import ModelConfig
from charlstm.nn.cell import Cell, one_hot
from charlstm.nn.cells import CELL_MODULES
from charlstm.nn.dropout import Masks, Shard
from charlstm.nn.layer import Layer, State
from charlstm.nn.starts import Starts

NetworkState = list[State]
"""One state for each layer of the forward stack, the lowest first."""


class LinearHead(nn.Linear):
    """A linear layer that makes the logits."""

    def __init__(self, spec: specs.LinearHead) -> None:
        super().__init__(spec.inputs, spec.outputs)
        self.scale = spec.scale

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the weight uniform within 1/sqrt(inputs); the bias is 0."""
        bound = 1.0 / math.sqrt(self.in_features)
        with torch.no_grad():
            self.weight.uniform_(-bound, bound, generator=generator)
            self.bias.zero_()

    def logits(self, ys: Tensor) -> Tensor:
        """(T, B, inputs) -> (T, B, V) in float32; scaled, except in training."""
        weight, bias = self.weight.to(ys.dtype), self.bias.to(ys.dtype)
        logits = functional.linear(ys, weight, bias).float()
        if not self.training and self.scale != 1:
            logits = logits * self.scale
        return logits


def _recurrent(spec: specs.Recurrent) -> Cell:
    cell = CELL_MODULES[spec.cell.name](spec.inputs, spec.size)
    cell.zoneout, cell.weight_dropout = spec.zoneout, spec.weight_dropout
    return cell


LAYER_MODULES: Mapping[type, Callable[[Any], Layer]] = {specs.Recurrent: _recurrent}
"""What makes a layer's module, by the type of its specification."""

HEAD_MODULES: Mapping[type, Callable[[Any], LinearHead]] = {specs.LinearHead: LinearHead}
"""What makes a head's module, by the type of its specification."""


class CharLSTM(nn.Module):
    """A stack of layers between characters and logits, or two that read in both directions.

    Args:
        config: the shape.
        vocab_size: V.
        seed: of the initial weights and of dropout.
        dtype: of the products; weights, state and logits are float32 in any case.
        compiled: whether to run kernels on a CPU, for the layers that have them.

    Attributes:
        spec: the layers.
        cells: the layers of the forward stack.
        generator: draws all dropout; a checkpoint holds its state.
        shard: which of the batch's streams are read here; None: all. Dropout is drawn for the whole
            batch in any case, so that a batch divided among processes drops what it drops
            undivided.
    """

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        *,
        seed: int = 1,
        dtype: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.dtype = dtype
        self.compiled = compiled
        self.shard: Shard | None = None
        self.spec = spec = specs.network(config, vocab_size)
        characters = spec.characters
        self.embedding = (
            nn.Embedding(vocab_size, characters.embedding) if characters.embedding else None
        )
        self._modules_by_name: dict[str, nn.Module] = {}
        # The norm of all gradients is summed in the order of the parameters. Another order rounds
        # otherwise, and runs would not resume exactly.
        self._add_layers(spec.forward)
        self._add_norms(spec.forward)
        if spec.backward is not None:
            self._add_norms(spec.backward)
            self._add_layers(spec.backward)
        self.cells = self._layers_of(spec.forward)
        self.head = HEAD_MODULES[type(spec.head)](spec.head)
        self.generator = torch.Generator().manual_seed(seed)
        self._initialize(self.generator)

    def _add_layers(self, stack: specs.Stack) -> None:
        for block in stack.blocks:
            self._add(block.layer.name, LAYER_MODULES[type(block.layer)](block.layer))

    def _add_norms(self, stack: specs.Stack) -> None:
        for block in stack.blocks:
            if block.norm is not None:
                self._add(block.norm.name, nn.LayerNorm(block.norm.size))

    def _add(self, name: str, module: nn.Module) -> None:
        """Register a module under its specification's name, such as `layers.0`."""
        list_name, _, _number = name.partition(".")
        if not hasattr(self, list_name):
            self.add_module(list_name, nn.ModuleList())
        cast(nn.ModuleList, getattr(self, list_name)).append(module)
        self._modules_by_name[name] = module

    def _layers_of(self, stack: specs.Stack) -> list[Layer]:
        return [cast(Layer, self._modules_by_name[b.layer.name]) for b in stack.blocks]

    def _initialize(self, generator: torch.Generator) -> None:
        for module in self._modules_by_name.values():
            if isinstance(module, Layer):
                module.initialize(generator)
                if isinstance(module, Cell):
                    module.compiled = self.compiled
        self.head.initialize(generator)
        if self.embedding is not None:
            with torch.no_grad():
                self.embedding.weight.normal_(generator=generator)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def initial_state(self, batch_size: int) -> NetworkState:
        """The state of B streams before the first character, in float32."""
        return [layer.initial_state(batch_size) for layer in self.cells]

    def forward(
        self,
        ids: Tensor,
        state: NetworkState,
        *,
        targets: Tensor | None = None,
        last_only: bool = False,
        starts: Starts | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Read a window.

        Args:
            ids: (T, B), int64.
            state: of B streams; not changed.
            targets: the characters after each, (T, B), int64; needed by a network that reads
                both ways. The one at t is predicted from `ids` up to t and from `targets` after
                t, never from itself.
            last_only: give the logits after the last character alone.
            starts: the inputs before which a stream's state is set to zero; None: nowhere. What
                comes after a target ends where the next input that is a start begins.

        Returns:
            Logits (T, B, V) in float32, or (1, B, V); and the next state. Except in training,
            logits are the head's times the configuration's `logit_scale`.
        """
        masks = self.masks()
        # (T, B, stack's size)
        ys, next_state = self._read(self.spec.forward, ids, state, masks, starts)
        if self.spec.backward is not None:
            assert targets is not None, "a network that reads both ways needs what comes after"
            after = self._read_backward(self.spec.backward, targets, masks, starts)
            ys = torch.cat([ys, after], dim=2)
        if last_only:
            ys = ys[-1:]
        return self.head.logits(masks.activations(ys, self.spec.dropout)), next_state

    def masks(self) -> Masks:
        """Dropout of the next window."""
        return Masks(self.generator, self.shard, self.dtype, self.training, self.compiled)

    def _read_backward(
        self, stack: specs.Stack, targets: Tensor, masks: Masks, starts: Starts | None
    ) -> Tensor:
        """What the backward stack returns for each target, from those after it: (T, B, ...)."""
        state = [layer.initial_state(targets.shape[1]) for layer in self._layers_of(stack)]
        after = targets[1:].flip(0)  # the window's last character first
        reversed_starts = None if starts is None else starts.before_the_end()
        ys, _ = self._read(stack, after, state, masks, reversed_starts)
        ys = ys.flip(0)
        if starts is not None:  # nothing comes after a target that ends a document
            ys = ys * starts.keep[1:].to(ys.dtype)
        # After the last target nothing was read: there the state is still zero.
        return functional.pad(ys, (0, 0, 0, 0, 0, 1))

    def _read(
        self,
        stack: specs.Stack,
        ids: Tensor,
        state: NetworkState,
        masks: Masks,
        starts: Starts | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Run one stack over a window: its outputs (T, B, size), and its next state."""
        next_state: NetworkState = []
        outputs: list[Tensor] = []
        if not len(ids):  # a window of one character has nothing after it
            size = stack.size
            return torch.zeros(0, ids.shape[1], size, dtype=self.dtype, device=ids.device), state
        layers = self._layers_of(stack)
        below, vectors = self._characters(ids, masks, takes_ids=layers[0].takes_ids)
        for block, layer, layer_state in zip(stack.blocks, layers, state, strict=True):
            xs = below
            if block.norm is not None:
                xs = self._modules_by_name[block.norm.name](xs.float()).to(self.dtype)
            xs = masks.activations(xs, block.dropout)
            ys, new_state = layer(xs, layer_state, masks, vectors, starts)
            vectors = None
            ys = ys.to(self.dtype)  # (T, B, H)
            below = ys + below if block.is_residual else ys
            next_state.append(new_state)
            outputs.append(below)
        return torch.cat(outputs, dim=2) if stack.is_dense else below, next_state

    def _characters(
        self, ids: Tensor, masks: Masks, *, takes_ids: bool
    ) -> tuple[Tensor, Tensor | None]:
        """What the first layer reads: vectors (T, B, E) or (T, B, V); or ids, and their vectors.

        With ids there is one product for each character of the alphabet, not for each of the
        window.
        """
        dropout = self.spec.characters.dropout
        vectors = None if self.embedding is None else self.embedding.weight
        if takes_ids and not (dropout and self.training) and ids.device.type == "cpu":
            return ids, vectors
        if vectors is not None:
            xs = functional.embedding(ids, vectors).to(self.dtype)
        else:
            xs = one_hot(ids, self.vocab_size, self.dtype)
        return masks.characters(xs, dropout), None
