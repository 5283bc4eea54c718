"""What the steps' losses were, once it is known: a GPU's are read some steps later."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from charlstm.config import TrainConfig
from charlstm.errors import DivergenceError


class Readings:
    """Losses and gradient norms of steps that were started and not waited for.

    Args:
        train: named in errors.
        late: whether weights have changed by the time a loss is read.
    """

    def __init__(self, train: TrainConfig, *, late: bool) -> None:
        self._train = train
        self._late = late
        self._unread: list[tuple[Tensor, Tensor]] = []
        self._chars: list[int] = []

    def __len__(self) -> int:
        return len(self._unread)

    def add(self, loss: Tensor, norm: Tensor, chars: int) -> None:
        """Add a step.

        Args:
            loss: this process's mean, in nats per character.
            norm: the gradient's, before clipping.
            chars: characters that the mean is over; 0 where another process's count instead.
        """
        self._unread.append((loss, norm))
        self._chars.append(chars)

    def read(self, next_step: int) -> list[float]:
        """Wait for all of them: each step's nats, summed over its characters, in order.

        Args:
            next_step: the number of the step after the last one that was added, from 1.

        Raises:
            DivergenceError: one of them is not finite, or a gradient.
        """
        values = torch.stack([value for pair in self._unread for value in pair]).tolist()
        first = next_step - len(self._unread)
        chars, self._unread, self._chars = self._chars, [], []
        for number, (nats, norm) in enumerate(zip(values[::2], values[1::2], strict=True)):
            if not (math.isfinite(nats) and math.isfinite(norm)):
                raise self._divergence(
                    "gradient" if math.isfinite(nats) else "loss", first + number
                )
        return [mean * count for mean, count in zip(values[::2], chars, strict=True)]

    def _divergence(self, what: str, step: int) -> DivergenceError:
        train = self._train
        unchanged = (
            "what was saved is whole" if self._late else "the weights were not changed by it"
        )
        return DivergenceError(
            f"the {what} is no longer finite at step {step}; {unchanged}.\n"
            f"Lower --lr (it is {train.lr:g})"
            + (
                f" or --clip-norm (it is {train.clip_norm:g})."
                if train.clip_norm
                else ", or give a --clip-norm such as 1."
            )
        )
