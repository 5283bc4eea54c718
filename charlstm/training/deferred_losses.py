"""The losses of steps, read from the device some steps later: a GPU need not be waited for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from charlstm.config import TrainConfig
from charlstm.errors import DivergenceError
from charlstm.format.progress import Progress


@dataclass(frozen=True)
class _Unread:
    """A step whose loss is still on the device; see `DeferredLosses.add`."""

    step: int
    loss: Tensor
    norm: Tensor
    chars: int


class DeferredLosses:
    """Losses and gradient norms of steps, checked when they are read, and counted in order.

    Args:
        train: its options are named in errors.
        late: read losses only when asked, after the weights have changed; otherwise at once.

    Attributes:
        latest: the mean loss, in nats, of the last step that was counted; nan before the first.
    """

    def __init__(self, train: TrainConfig, *, late: bool) -> None:
        self._train = train
        self.late = late
        self.latest = math.nan
        self._unread: list[_Unread] = []
        self._nats: list[float] = []  # of this process, not counted yet
        self._chars: list[int] = []  # of all processes, not counted yet

    def __len__(self) -> int:
        """How many losses are not read yet."""
        return len(self._unread)

    def add(self, step: int, loss: Tensor, norm: Tensor, chars: int, total_chars: int) -> None:
        """Add a step.

        Args:
            step: its number, from 1.
            loss: this process's mean, in nats per character.
            norm: the gradient's norm before clipping.
            chars: characters that the mean is over; 0 if only other processes' count.
            total_chars: characters of all processes.

        Raises:
            DivergenceError: the loss or the norm is not finite, and is read at once.
        """
        self._unread.append(_Unread(step, loss, norm, chars))
        self._chars.append(total_chars)
        if not self.late:
            self._read()

    def take(self) -> list[float]:
        """Each uncounted step's nats, summed over this process's characters, in order.

        Raises:
            DivergenceError: a loss or a gradient norm is not finite.
        """
        if self._unread:
            self._read()
        nats, self._nats = self._nats, []
        return nats

    def count(self, nats: list[float], progress: Progress) -> None:
        """Add steps to the training losses of `progress`.

        Args:
            nats: of the steps that `take` returned, summed over all processes' characters.
            progress: its sums are changed.
        """
        for total, chars in zip(nats, self._chars, strict=True):
            self.latest = total / chars
            progress.add_loss(total, chars)
        self._chars = []

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        values = torch.stack([value for one in unread for value in (one.loss, one.norm)]).tolist()
        for one, loss, norm in zip(unread, values[::2], values[1::2], strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise self._divergence("gradient" if math.isfinite(loss) else "loss", one.step)
            self._nats.append(loss * one.chars)

    def _divergence(self, what: str, step: int) -> DivergenceError:
        train = self._train
        unchanged = "what was saved is whole" if self.late else "the weights were not changed by it"
        return DivergenceError(
            f"the {what} is no longer finite at step {step}; {unchanged}.\n"
            f"Lower --lr (it is {train.lr:g})"
            + (
                f" or --clip-norm (it is {train.clip_norm:g})."
                if train.clip_norm
                else ", or give a --clip-norm such as 1."
            )
        )
