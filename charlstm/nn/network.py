"""`CharLSTM`, the network in torch: ids -> logits, as `charlstm.layers` specifies it."""

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
"""The state of each layer of the forward stack, from input to output."""


class LinearHead(nn.Linear):
    """The linear layer that computes the logits."""

    def __init__(self, spec: specs.LinearHead) -> None:
        super().__init__(spec.inputs, spec.outputs)
        self.scale = spec.scale

    def initialize(self, generator: torch.Generator) -> None:
        """Initialise the weight uniformly within 1/sqrt(inputs), and the bias with 0."""
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
"""The constructor of each layer, by the type of its specification."""

HEAD_MODULES: Mapping[type, Callable[[Any], LinearHead]] = {specs.LinearHead: LinearHead}
"""The constructor of each head, by the type of its specification."""


class CharLSTM(nn.Module):
    """A character-level recurrent network, forward or bidirectional.

    Args:
        config: the architecture.
        vocab_size: V.
        seed: seed of the initial weights and of dropout.
        dtype: dtype of matrix products; weights, state and logits are float32.
        compiled: whether to use compiled kernels on a CPU, for the layers that have them.

    Attributes:
        spec: specification of the network.
        cells: the layers of the forward stack.
        generator: random generator of dropout; its state is part of a checkpoint.
        shard: the streams of the batch that this process reads; None: all. Dropout masks are drawn
            for all streams, so that they do not depend on the number of processes.
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
        # The gradient norm is summed in the order of the parameters. Another order would round
        # differently, and runs of earlier versions would not resume exactly.
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
        """The device of the weights."""
        return self.head.weight.device

    def initial_state(self, batch_size: int) -> NetworkState:
        """The zero state of B streams, float32."""
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
        """The logits for a window.

        Args:
            ids: (T, B), int64.
            state: state of the B streams; not changed.
            targets: the next character for each of `ids`, (T, B), int64; required by a
                bidirectional network. The target at t is predicted from `ids` up to t and from
                `targets` after t, never from itself.
            last_only: whether to return only the logits after the last character.
            starts: inputs before which a stream's state is set to zero; None: none. The backward
                stack starts from the zero state there, too.

        Returns:
            Logits (T, B, V), or (1, B, V) with `last_only`, float32; and the next state. Except in
            training, the logits are multiplied by the configuration's `logit_scale`.
        """
        masks = self.masks()
        # (T, B, stack's size)
        ys, next_state = self._read(self.spec.forward, ids, state, masks, starts)
        if self.spec.backward is not None:
            assert targets is not None, "a bidirectional network requires targets"
            after = self._read_backward(self.spec.backward, targets, masks, starts)
            ys = torch.cat([ys, after], dim=2)
        if last_only:
            ys = ys[-1:]
        return self.head.logits(masks.activations(ys, self.spec.dropout)), next_state

    def masks(self) -> Masks:
        """The dropout masks of the next window."""
        return Masks(self.generator, self.shard, self.dtype, self.training, self.compiled)

    def _read_backward(
        self, stack: specs.Stack, targets: Tensor, masks: Masks, starts: Starts | None
    ) -> Tensor:
        """Output of the backward stack for each target, from the targets after it: (T, B, ...)."""
        state = [layer.initial_state(targets.shape[1]) for layer in self._layers_of(stack)]
        after = targets[1:].flip(0)  # the window's last character first
        reversed_starts = None if starts is None else starts.before_the_end()
        ys, _ = self._read(stack, after, state, masks, reversed_starts)
        ys = ys.flip(0)
        if starts is not None:  # nothing comes after a target that ends a document
            ys = ys * starts.keep[1:].to(ys.dtype)
        # For the last target, the backward stack is still in the zero state.
        return functional.pad(ys, (0, 0, 0, 0, 0, 1))

    def _read(
        self,
        stack: specs.Stack,
        ids: Tensor,
        state: NetworkState,
        masks: Masks,
        starts: Starts | None = None,
    ) -> tuple[Tensor, NetworkState]:
        """Outputs of one stack for a window, (T, B, size), and its next state."""
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
        """The input of the first layer: vectors (T, B, E) or (T, B, V); or ids and the embedding.

        With ids, the first layer computes one product for each character of the vocabulary, not for
        each character of the window.
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
