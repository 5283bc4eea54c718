"""Frozen layers of a fine-tuned run (`--freeze`), with gradual unfreezing (Howard & Ruder 2018).

The weights of a frozen layer stay as they are: its learning rate is 0. Of the N layers that are
frozen at first, the highest is unfrozen first, and all of them after a quarter of the run. The
tables of characters are never frozen, as they have rows of new characters.
"""

from __future__ import annotations

import torch
from torch import nn

from charlstm.nn.network import CharLSTM

_ALL_AFTER = 0.25
"""Progress of the run at which the last layer is unfrozen."""


def frozen_layers(network: nn.Module, layers: int) -> dict[str, int]:
    """The weights that are frozen at first: their names, each with the number of its layer.

    Args:
        network: a `CharLSTM`; of a bidirectional one, layers of both stacks.
        layers: number of layers that are frozen at first; the lowest has the number 1.
    """
    assert isinstance(network, CharLSTM)
    spec, names = network.spec, dict[str, int]()
    stacks = [spec.forward] + ([] if spec.backward is None else [spec.backward])
    for stack in stacks:
        for number, block in enumerate(stack.blocks[:layers], start=1):
            parts = [block.layer] + ([] if block.norm is None else [block.norm])
            names |= {name: number for part in parts for name in part.weight_shapes()}
        if not spec.characters.embedding:  # the input weights are the table of characters
            names.pop(f"{stack.blocks[0].layer.name}.weight_ih", None)
    return names


def is_frozen(number: int, layers: int, done: float) -> bool:
    """Whether a layer is frozen now.

    Args:
        number: the layer's number from the lowest, 1; 0: not a layer that is frozen at first.
        layers: number of layers that are frozen at first.
        done: progress of the run, 0 to 1.
    """
    return number > 0 and done < _ALL_AFTER * (layers - number + 1) / layers


def set_rates(optimizer: torch.optim.Optimizer, rate: float, layers: int, done: float) -> None:
    """Set the learning rate of the next step, 0 for frozen layers.

    Args:
        optimizer: as made by `charlstm.training.optim.make_optimizer`.
        rate: the learning rate.
        layers, done: as for `is_frozen`.
    """
    for group in optimizer.param_groups:
        group["lr"] = 0.0 if is_frozen(group["layer"], layers, done) else rate
