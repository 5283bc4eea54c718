"""Recurrent cells: each by its equations, one step at a time, and as a fast window.

sigma is the logistic function, * is elementwise; gates stand in the order i, f, g, o along the
first axis of the weights, with one bias for each gate.

lstm (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000):

    i = sigma(Wi x + Ui h + bi)        f = sigma(Wf x + Uf h + bf)
    g = tanh(Wg x + Ug h + bg)         o = sigma(Wo x + Uo h + bo)
    c' = f*c + i*g                     h' = o*tanh(c')

`step` is the form to hold against a paper; `window` is the one that training uses, and a test
holds the two equal, gradients included.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
"""What a cell carries from one character to the next, each (B, H)."""


class Cell(nn.Module, ABC):
    """One layer of recurrence.

    Attributes:
        gates: how many blocks of H rows the weights have.
        state_names: what the state's parts are called; the first is the output.
        weight_ih: (gates * H, inputs).
        weight_hh: (gates * H, H).
        bias: (gates * H,).
    """

    gates: ClassVar[int]
    state_names: ClassVar[tuple[str, ...]]

    def __init__(self, inputs: int, hidden_size: int) -> None:
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden_size, inputs))
        self.weight_hh = nn.Parameter(torch.empty(self.gates * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(self.gates * hidden_size))

    def initialize(self, generator: torch.Generator) -> None:
        """Draw weights: inputs uniform within 1/sqrt(H), each recurrent block orthogonal.

        An orthogonal block neither grows nor shrinks what it passes on (Saxe et al. 2014).
        """
        bound = 1.0 / math.sqrt(self.hidden_size)
        with torch.no_grad():
            self.weight_ih.uniform_(-bound, bound, generator=generator)
            for block in self.weight_hh.chunk(self.gates):
                nn.init.orthogonal_(block, generator=generator)
            self.bias.zero_()

    @abstractmethod
    def step(self, x: Tensor, state: State) -> State:
        """The equations: inputs (B, inputs) and a state -> the next state."""

    @abstractmethod
    def window(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """A whole window: (T, B, inputs) and a state -> outputs (T, B, H) and the next state.

        Weights are used in the type of `xs`.
        """

    def step_window(self, xs: Tensor, state: State) -> tuple[Tensor, State]:
        """The readable twin of `window`: one step after the other."""
        outputs = []
        for x in xs:
            state = self.step(x, state)
            outputs.append(state[0])
        return torch.stack(outputs), state


class LSTMCell(Cell):
    """Long short-term memory, as in the module's head."""

    gates = 4
    state_names = ("h", "c")
    no_bias: Tensor

    def __init__(self, inputs: int, hidden_size: int) -> None:
        super().__init__(inputs, hidden_size)
        # torch's kernel adds two biases; the second stays zero and is not a weight.
        self.register_buffer("no_bias", torch.zeros(4 * hidden_size), persistent=False)

    def initialize(self, generator: torch.Generator) -> None:
        """As every cell, with the forget gate open: its bias is 1 (Jozefowicz et al. 2015)."""
        super().initialize(generator)
        with torch.no_grad():
            self.bias[self.hidden_size : 2 * self.hidden_size] = 1.0

    def step(self, x: Tensor, state: State) -> State:  # noqa: D102 - see Cell
        h, c = state
        gates = x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias  # (B, 4H)
        i, f, g, o = gates.chunk(4, dim=1)  # each (B, H)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def window(self, xs: Tensor, state: State) -> tuple[Tensor, State]:  # noqa: D102
        weights = [
            weight.to(xs.dtype)
            for weight in (self.weight_ih, self.weight_hh, self.bias, self.no_bias)
        ]
        h, c = state
        outputs, h, c = torch.lstm(
            xs,
            (h[None], c[None]),  # (1, B, H)
            weights,
            has_biases=True,
            num_layers=1,
            dropout=0.0,
            train=self.training,
            bidirectional=False,
            batch_first=False,
        )
        return outputs, (h[0], c[0])


CELLS: dict[str, type[Cell]] = {"lstm": LSTMCell}
