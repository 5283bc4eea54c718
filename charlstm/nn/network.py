"""CharLSTM: ids -> logits; one-hot characters, layers of a cell, a linear layer to the softmax."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from charlstm.config import ModelConfig
from charlstm.nn.cells import CELLS, Cell, State

NetworkState = list[State]
"""One state for each layer, the lowest first."""


class CharLSTM(nn.Module):
    """A stack of recurrent layers between one-hot characters and logits.

    Args:
        config: the shape.
        vocab_size: V.
        seed: of the initial weights and of dropout.
        dtype: the type of the products; weights and logits are float32 whatever it is.
    """

    layers: nn.ModuleList

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        *,
        seed: int = 1,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.config = config
        self.vocab_size = vocab_size
        self.dtype = dtype
        cell = CELLS[config.cell]
        inputs = [vocab_size] + [config.hidden_size] * (config.num_layers - 1)
        self.cells: list[Cell] = [cell(size, config.hidden_size) for size in inputs]
        self.layers = nn.ModuleList(self.cells)
        self.head = nn.Linear(config.hidden_size, vocab_size)
        generator = torch.Generator().manual_seed(seed)
        for layer in self.cells:
            layer.initialize(generator)
        bound = 1.0 / math.sqrt(config.hidden_size)
        with torch.no_grad():
            self.head.weight.uniform_(-bound, bound, generator=generator)
            self.head.bias.zero_()
        # Dropout has a generator of its own, which a checkpoint can hold.
        self.generator = generator

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def initial_state(self, batch_size: int) -> NetworkState:
        """The zero state of B streams."""
        zeros = torch.zeros(
            batch_size, self.config.hidden_size, dtype=self.dtype, device=self.device
        )
        return [tuple(zeros for _ in cell.state_names) for cell in self.cells]

    def forward(
        self, ids: Tensor, state: NetworkState, *, last_only: bool = False
    ) -> tuple[Tensor, NetworkState]:
        """Read a window.

        Args:
            ids: (T, B), int64.
            state: of B streams; not changed.
            last_only: give the logits after the last character alone.

        Returns:
            Logits (T, B, V) in float32, or (1, B, V); and the next state.
        """
        xs = one_hot(ids, self.vocab_size, self.dtype)  # (T, B, V)
        next_state: NetworkState = []
        for cell, cell_state in zip(self.cells, state, strict=True):
            if next_state:
                xs = self._drop(xs)
            xs, cell_state = cell.window(xs, cell_state)  # noqa: PLW2901  (T, B, H)
            next_state.append(cell_state)
        if last_only:
            xs = xs[-1:]
        xs = self._drop(xs)
        weight, bias = self.head.weight.to(self.dtype), self.head.bias.to(self.dtype)
        logits = nn.functional.linear(xs, weight, bias)  # (T, B, V)
        return logits.float(), next_state

    def _drop(self, xs: Tensor) -> Tensor:
        rate = self.config.dropout
        if not self.training or rate == 0:
            return xs
        return xs * dropout_mask(xs, rate, self.generator)


def one_hot(ids: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """Ids of any shape -> rows of zeros with a single one, along a new last axis."""
    rows = torch.zeros(*ids.shape, size, dtype=dtype, device=ids.device)
    return rows.scatter_(-1, ids[..., None], 1.0)


def dropout_mask(like: Tensor, rate: float, generator: torch.Generator) -> Tensor:
    """Zeros with probability `rate`, otherwise 1 / (1 - rate); shaped and typed as `like`.

    Srivastava et al. 2014, scaled in training so that inference needs no change. The rate is
    rounded to a 65536th: sixteen random bits an element, drawn 64 at a time, take a third of the
    time of `bernoulli_`.
    """
    dropped = round(rate * 65536)
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None, generator=generator)
    bits = words.view(torch.int16)[: like.numel()].view(like.shape)  # uniform, -32768..32767
    return (bits >= dropped - 32768).to(like.dtype).mul_(65536 / max(1, 65536 - dropped))
