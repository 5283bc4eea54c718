"""`Cell`, the base class of recurrent layers in torch: weights, products, and windows by steps."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from charlstm.cells import CellSpec
from charlstm.nn.dropout import Masks, Shard
from charlstm.nn.layer import Layer, State
from charlstm.nn.rows import rows_of
from charlstm.nn.starts import Starts


class Cell(Layer):
    """A recurrent layer.

    A subclass defines `spec` and `equations`, and may override `window` with a faster one.

    Attributes:
        spec: specification of the cell.
        compiled: whether `window` may use compiled kernels (`charlstm.nn.kernel_ops`), on a CPU.
        weight_ih: (G * H, inputs).
        weight_hh: (G * H, H).
        bias: the blocks of the gates, then those of `extra_biases`.
        zoneout: the zoneout probability, for cells that support it.
        weight_dropout: probability that an element of `weight_hh` is zeroed in training.
        generator: random generator of zoneout masks.
        shard: the streams of the batch that this process reads; None: all.
    """

    spec: ClassVar[CellSpec]

    def __init__(self, inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.compiled = False
        self.zoneout = 0.0
        self.weight_dropout = 0.0
        self.generator: torch.Generator | None = None
        self.shard: Shard | None = None
        for name, shape in self.spec.weight_shapes(inputs, hidden_size).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    if TYPE_CHECKING:
        weight_ih: nn.Parameter
        weight_hh: nn.Parameter
        bias: nn.Parameter

    def initialize(self, generator: torch.Generator) -> None:
        """Initialise the weights: inputs uniform within 1/sqrt(H), recurrent blocks orthogonal.

        An orthogonal block preserves the norm of what it multiplies (Saxe et al. 2014). The bias of
        a forget gate is 1 (Jozefowicz et al. 2015); other biases and extra weights are 0.
        """
        bound = 1.0 / math.sqrt(self.hidden_size)
        spec = self.spec
        with torch.no_grad():
            self.weight_ih.uniform_(-bound, bound, generator=generator)
            for block in self.weight_hh.chunk(spec.num_gates):
                nn.init.orthogonal_(block, generator=generator)
            self.bias.zero_()
            if spec.forget_gate is not None:
                self.bias.view(spec.num_biases, -1)[spec.gates.index(spec.forget_gate)] = 1.0
            for name in spec.extra_weights:
                self.get_parameter(name).zero_()

    @property
    def state_names(self) -> tuple[str, ...]:
        """The state's names in `spec`."""
        return self.spec.state

    def initial_state(self, batch_size: int) -> State:
        """Zeros."""
        zeros = self.bias.new_zeros(batch_size, self.hidden_size)
        return tuple(zeros for _ in self.spec.state)

    def forward(
        self,
        xs: Tensor,
        state: State,
        masks: Masks,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        """`window`, with dropout of `weight_hh`."""
        if self.zoneout:
            self.generator, self.shard = masks.generator, masks.shard
        weight_hh = masks.weights(self.weight_hh, self.weight_dropout)
        return self.window(xs, state, weight_hh, vectors, starts)

    @abstractmethod
    def equations(self, wx: Tensor, uh: Tensor, state: State) -> State:
        """One time step by the cell's equations.

        Args:
            wx: W x, (B, G * H).
            uh: U h, (B, G * H).
            state: (B, H) each, in the order of `spec.state`.

        Returns:
            The next state.
        """

    def window(
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        """A window, computed by the fastest implementation of the cell.

        Args:
            xs: (T, B, inputs); or ids (T, B), int64, if `takes_ids`.
            state: state of the B streams; not changed.
            weight_hh: the recurrent weights after weight dropout, in the dtype of the products.
            vectors: with ids, the embedding (V, inputs); None: one-hot vectors.
            starts: where streams start from the zero state; None: nowhere.

        Returns:
            Outputs (T, B, H) and the next state.
        """
        return self.step_window(xs, state, weight_hh, vectors, starts)

    def step_window(
        self,
        xs: Tensor,
        state: State,
        weight_hh: Tensor | None = None,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        """`window`, computed step by step from `equations`; weight_hh None: `self.weight_hh`."""
        weight_hh = self.weight_hh if weight_hh is None else weight_hh
        dtype, exact = weight_hh.dtype, state[0].dtype
        outputs = []
        products = input_products(xs, self.weight_ih, None, dtype, vectors)
        for t, wx in enumerate(products):
            if starts is not None:
                state = tuple(starts.keep[t].to(exact) * part for part in state)
            uh = functional.linear(state[0].to(dtype), weight_hh)
            state = self.equations(wx.to(exact), uh.to(exact), state)
            outputs.append(state[0])
        return torch.stack(outputs), state

    def step(self, x: Tensor, state: State) -> State:
        """One time step from `equations`: inputs (B, inputs) and a state -> the next state."""
        return self.step_window(x[None], state)[1]


def product_table(weight: Tensor, vectors: Tensor | None) -> Tensor:
    """W x for each id, (V, G * H); with one-hot vectors, the columns of W."""
    return weight.T if vectors is None else vectors.to(weight.dtype) @ weight.T


def input_products(
    xs: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, vectors: Tensor | None
) -> Tensor:
    """W x + b for a whole window, (T, B, G * H): one product for vectors, a lookup for ids."""
    if xs.dtype == torch.int64:
        table = product_table(weight, vectors)
        return rows_of((table if bias is None else table + bias).to(dtype), xs)
    added = None if bias is None else bias.to(dtype)
    return functional.linear(xs.to(dtype), weight.to(dtype), added)


def one_hot(ids: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """One-hot vectors of ids of any shape, along a new last axis."""
    rows = torch.zeros(*ids.shape, size, dtype=dtype, device=ids.device)
    return rows.scatter_(-1, ids[..., None], 1.0)
