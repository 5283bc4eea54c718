"""What every layer of the network has in common (torch)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from charlstm.nn.dropout import Masks
from charlstm.nn.starts import Starts

State = tuple[Tensor, ...]
"""What a layer passes from one step to the next, each (B, H)."""


class Layer(nn.Module, ABC):
    """A layer with a state.

    Attributes:
        takes_ids: whether it computes faster from ids than from their vectors, on a CPU.
    """

    takes_ids: ClassVar[bool] = False

    @property
    @abstractmethod
    def state_names(self) -> tuple[str, ...]:
        """Names of the parts of its state, for checkpoints."""

    @abstractmethod
    def initialize(self, generator: torch.Generator) -> None:
        """Draw its weights."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state of B streams before the first character."""

    @abstractmethod
    def forward(
        self,
        xs: Tensor,
        state: State,
        masks: Masks,
        vectors: Tensor | None = None,
        starts: Starts | None = None,
    ) -> tuple[Tensor, State]:
        """Read a window.

        Args:
            xs: (T, B, inputs). Or, if the layer takes ids, ids (T, B), int64.
            state: B streams' state; not changed.
            masks: dropout of weights, and the type of the products.
            vectors: with ids: what they stand for, (V, inputs); None: one-hot rows.
            starts: where streams start from the zero state; None: nowhere.

        Returns:
            Outputs (T, B, size) and the next state.
        """
