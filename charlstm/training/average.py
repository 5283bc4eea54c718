"""The average of a network's weights over the end of a run (Izmailov et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from torch.optim.swa_utils import get_swa_multi_avg_fn

EVERY = 8
"""Interval in steps. Averaging every step takes eight times the time and is not better."""


class WeightAverage:
    """The mean of the weights after several steps (stochastic weight averaging).

    Args:
        parameters: the network's parameters.

    Attributes:
        means: one tensor for each parameter; empty before the first call of `take`.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = parameters
        self.means: list[Tensor] = []

    def __bool__(self) -> bool:
        return bool(self.means)

    def take(self, count: int) -> None:
        """Add the current weights; `count` is the number of weights averaged so far."""
        if not self.means:
            self.means = [parameter.detach().clone() for parameter in self._parameters]
            return
        update = get_swa_multi_avg_fn()  # type: ignore[no-untyped-call]
        update(self.means, self._parameters, count)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """A context in which the network's weights are the means."""
        own = [parameter.data for parameter in self._parameters]
        try:
            for parameter, mean in zip(self._parameters, self.means, strict=True):
                parameter.data = mean
            yield
        finally:
            for parameter, values in zip(self._parameters, own, strict=True):
                parameter.data = values
