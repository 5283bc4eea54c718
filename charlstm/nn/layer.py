"""`Layer`, the interface of a layer with a state in torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from charlstm.nn.dropout import Masks
from charlstm.nn.starts import Starts

State = tuple[Tensor, ...]
"""The state of a layer between two time steps, each part (B, H)."""


class Layer(nn.Module, ABC):
    """A layer with a state.

    Attributes:
        takes_ids: whether the layer accepts ids instead of vectors, which is faster on a CPU.
    """

    takes_ids: ClassVar[bool] = False

    @property
    @abstractmethod
    def state_names(self) -> tuple[str, ...]:
        """Names of the parts of the state in checkpoints."""

    @abstractmethod
    def initialize(self, generator: torch.Generator) -> None:
        """Initialise the weights."""

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
        """The outputs for a window.

        Args:
            xs: (T, B, inputs); or ids (T, B), int64, if `takes_ids`.
            state: state of the B streams; not changed.
            masks: dropout of weights, and the dtype of the products.
            vectors: with ids, the embedding (V, inputs); None: one-hot vectors.
            starts: where streams start from the zero state; None: nowhere.

        Returns:
            Outputs (T, B, size) and the next state.
        """
