"""CharLSTM: ids -> logits; characters, layers of a cell, a linear layer to the softmax."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from charlstm.config import ModelConfig
from charlstm.nn.cells import CELL_MODULES, Cell, Shard, State, one_hot

NetworkState = list[State]
"""One state for each layer that reads forward, the lowest first."""


class CharLSTM(nn.Module):
    """A stack of recurrent layers between characters and logits, or two that meet.

    Args:
        config: the shape.
        vocab_size: V.
        seed: of the initial weights and of dropout.
        dtype: the type of the products; weights, state and logits are float32 whatever it is.
        compiled: whether windows are compiled code on a CPU, for the cells that have it.

    Attributes:
        shard: which of the batch's streams are read here; None: all. Dropout is drawn for the
            whole batch whatever it is, so that a batch divided drops what it drops undivided.
    """

    layers: nn.ModuleList

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
        self.embedding = nn.Embedding(vocab_size, config.embedding) if config.embedding else None
        self.cells = self._make_cells()
        self.layers = nn.ModuleList(self.cells)
        self.norms = self._make_norms()
        self.backward_cells: list[Cell] = []
        self.backward_norms = nn.ModuleList()
        width = config.stack_width
        if config.direction == "both":
            width *= 2
            self.backward_cells = self._make_cells()
            self.backward_norms = self._make_norms()
        self.backward_layers = nn.ModuleList(self.backward_cells)
        for cell in (*self.cells, *self.backward_cells):
            cell.compiled = compiled
        self.head = nn.Linear(width, vocab_size)
        # Dropout goes on with the generator, which a checkpoint can hold.
        self.generator = torch.Generator().manual_seed(seed)
        self._initialize(self.generator)

    def _make_cells(self) -> list[Cell]:
        config = self.config
        first = config.embedding or self.vocab_size
        sizes = [first] + [config.hidden_size] * (config.num_layers - 1)
        cells = [CELL_MODULES[config.cell](size, config.hidden_size) for size in sizes]
        for cell in cells:
            cell.zoneout = config.zoneout
        return cells

    def _make_norms(self) -> nn.ModuleList:
        config = self.config
        count = config.num_layers - 1 if config.layer_norm else 0
        return nn.ModuleList(nn.LayerNorm(config.hidden_size) for _ in range(count))

    def _initialize(self, generator: torch.Generator) -> None:
        for cell in (*self.cells, *self.backward_cells):
            cell.initialize(generator)
        bound = 1.0 / math.sqrt(self.head.in_features)
        with torch.no_grad():
            self.head.weight.uniform_(-bound, bound, generator=generator)
            self.head.bias.zero_()
            if self.embedding is not None:
                self.embedding.weight.normal_(generator=generator)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.head.weight.device

    def initial_state(self, batch_size: int) -> NetworkState:
        """The zero state of B streams, in float32."""
        return [self._zero_state(cell, batch_size) for cell in self.cells]

    def _zero_state(self, cell: Cell, batch_size: int) -> State:
        zeros = torch.zeros(batch_size, self.config.hidden_size, device=self.device)
        return tuple(zeros for _ in cell.spec.state)

    def forward(
        self,
        ids: Tensor,
        state: NetworkState,
        *,
        targets: Tensor | None = None,
        last_only: bool = False,
    ) -> tuple[Tensor, NetworkState]:
        """Read a window.

        Args:
            ids: (T, B), int64.
            state: of B streams; not changed.
            targets: the characters after each, (T, B), int64; needed by a network that reads
                both ways. The one at t is predicted from `ids` up to t and from `targets` after
                t, never from itself.
            last_only: give the logits after the last character alone.

        Returns:
            Logits (T, B, V) in float32, or (1, B, V); and the next state. Unless it is training,
            logits are what the softmax layer gives times the configuration's `logit_scale`.
        """
        ys, next_state = self._read(ids, self.cells, self.norms, state)  # (T, B, H or L*H)
        if self.backward_cells:
            assert targets is not None, "a network that reads both ways needs what comes after"
            ys = torch.cat([ys, self._read_backward(targets)], dim=2)
        if last_only:
            ys = ys[-1:]
        ys = self._drop(ys)
        weight, bias = self.head.weight.to(self.dtype), self.head.bias.to(self.dtype)
        logits = functional.linear(ys, weight, bias).float()  # (T, B, V)
        if not self.training and self.config.logit_scale != 1:
            logits = logits * self.config.logit_scale
        return logits, next_state

    def _read_backward(self, targets: Tensor) -> Tensor:
        """What the backward stack knows of each target from those after it: (T, B, ...)."""
        state = [self._zero_state(cell, targets.shape[1]) for cell in self.backward_cells]
        after = targets[1:].flip(0)  # the window's last character first
        ys, _ = self._read(after, self.backward_cells, self.backward_norms, state)
        # After the last target nothing was read: there the state is still zero.
        return functional.pad(ys.flip(0), (0, 0, 0, 0, 0, 1))

    def _read(
        self, ids: Tensor, cells: list[Cell], norms: nn.ModuleList, state: NetworkState
    ) -> tuple[Tensor, NetworkState]:
        """Take one stack over a window; what it gives to the softmax, and its next state."""
        config = self.config
        next_state: NetworkState = []
        collected: list[Tensor] = []
        if not len(ids):  # a window of one character has nothing after it
            width = config.stack_width
            return torch.zeros(0, ids.shape[1], width, dtype=self.dtype, device=ids.device), state
        xs = below = ids
        for number, (cell, cell_state) in enumerate(zip(cells, state, strict=True)):
            vectors = None
            if number == 0:
                xs, vectors = self._characters(ids, cell)
            else:
                xs = below
                if config.layer_norm:
                    xs = norms[number - 1](xs.float()).to(self.dtype)
                xs = self._drop(xs)
            if cell.spec.has_zoneout:
                cell.generator, cell.shard = self.generator, self.shard
            weight_hh = self._drop_weights(cell.weight_hh)
            ys, cell_state = cell.window(xs, cell_state, weight_hh, vectors)  # noqa: PLW2901
            ys = ys.to(self.dtype)  # (T, B, H)
            if config.residual and number:
                ys = ys + below
            below = ys
            next_state.append(cell_state)
            collected.append(ys)
        return torch.cat(collected, dim=2) if config.dense_output else below, next_state

    def _characters(self, ids: Tensor, cell: Cell) -> tuple[Tensor, Tensor | None]:
        """What the first layer reads: rows (T, B, E) or (T, B, V); or ids, and what they stand for.

        Ids need no rows made of them, and in their place a product of each window's characters
        one of each of the alphabet's.
        """
        dropped = self.config.input_dropout if self.training else 0.0
        vectors = None if self.embedding is None else self.embedding.weight
        if cell.takes_ids and not dropped and ids.device.type == "cpu":
            return ids, vectors
        if vectors is not None:
            xs = functional.embedding(ids, vectors).to(self.dtype)
        else:
            xs = one_hot(ids, self.vocab_size, self.dtype)
        if dropped:
            xs = xs * dropout_mask(xs[:, :, :1], dropped, self.generator, self.shard)
        return xs, None

    def _drop_weights(self, weight: Tensor) -> Tensor:
        """The weights that a window computes with, some of them dropped (Wan et al. 2013)."""
        rate = self.config.recurrent_dropout
        if not self.training or rate == 0:
            return weight.to(self.dtype)
        return self._dropout(weight[:, None], rate)[:, 0]

    def _dropout(self, values: Tensor, rate: float, shard: Shard | None = None) -> Tensor:
        """Values (A, B, C) with some dropped, by the fast way where there is one."""
        if self.compiled and values.device.type == "cpu" and self.dtype != torch.float64:
            from charlstm.nn import kernel_ops  # noqa: PLC0415 - numba takes its time

            seed = int(torch.empty((), dtype=torch.int64).random_(generator=self.generator))
            own, total = shard or (slice(0, 0), values.shape[1])
            return kernel_ops.dropout(values, self.dtype, rate, seed, total, own.start)
        kept: Tensor = values * dropout_mask(values, rate, self.generator, shard)
        return kept.to(self.dtype)

    def _drop(self, xs: Tensor) -> Tensor:
        config = self.config
        if not self.training:
            return xs
        if config.dropout:
            xs = self._dropout(xs, config.dropout, self.shard)
        if config.locked_dropout:
            xs = xs * dropout_mask(xs[:1], config.locked_dropout, self.generator, self.shard)
        return xs


def dropout_mask(
    like: Tensor, rate: float, generator: torch.Generator, shard: Shard | None = None
) -> Tensor:
    """Zeros with probability `rate`, otherwise 1 / (1 - rate); shaped and typed as `like`.

    With a shard, `like` is (T, B, ...) of those streams; the mask is drawn for all.

    Srivastava et al. 2014, scaled in training so that inference needs no change. The rate is
    rounded to a 65536th: sixteen random bits an element, drawn 64 at a time, take a third of the
    time of `bernoulli_`.
    """
    dropped = round(rate * 65536)
    shape = list(like.shape)
    if shard is not None:
        shape[1] = shard[1]
    count = math.prod(shape)
    words = torch.empty(-(-count // 4), dtype=torch.int64, device=like.device)
    words.random_(-(2**63), None, generator=generator)
    bits = words.view(torch.int16)[:count].view(shape)  # uniform, -32768..32767
    if shard is not None:
        bits = bits[:, shard[0]]
    return (bits >= dropped - 32768).to(like.dtype).mul_(65536 / max(1, 65536 - dropped))
