"""Losses that are copied from the device some steps later, so that steps do not wait for a GPU."""

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
    """A step whose loss is still on the device; fields as in `DeferredLosses.add`."""

    step: int
    loss: Tensor
    norm: Tensor
    chars: int


class DeferredLosses:
    """Losses and gradient norms of steps, copied from the device and checked later.

    Args:
        train: the configuration; error messages name its values.
        late: whether to copy losses only when `take` is called; otherwise `add` copies them.

    Attributes:
        latest: mean loss of the last counted step, in nats per character; nan before the first.
    """

    def __init__(self, train: TrainConfig, *, late: bool) -> None:
        self._train = train
        self.late = late
        self.latest = math.nan
        self._unread: list[_Unread] = []
        self._nats: list[float] = []  # of this process, not counted yet
        self._chars: list[int] = []  # of all processes, not counted yet

    def __len__(self) -> int:
        """Number of losses that are still on the device."""
        return len(self._unread)

    def add(self, step: int, loss: Tensor, norm: Tensor, chars: int, total_chars: int) -> None:
        """Add a step.

        Args:
            step: its number, from 1.
            loss: this process's mean loss, in nats per character.
            norm: the gradient norm before clipping.
            chars: this process's number of predicted characters; 0 if it had no stream.
            total_chars: number of predicted characters of all processes.

        Raises:
            DivergenceError: not `late`, and the loss or the norm is not finite.
        """
        self._unread.append(_Unread(step, loss, norm, chars))
        self._chars.append(total_chars)
        if not self.late:
            self._read()

    def take(self) -> list[float]:
        """The losses of uncounted steps, in order: nats summed over this process's characters.

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
            nats: the losses that `take` returned, summed over all processes.
            progress: updated.
        """
        for total, chars in zip(nats, self._chars, strict=True):
            self.latest = total / chars
            progress.add_loss(total, chars)
        self._chars = []

    def _read(self) -> None:
        unread, self._unread = self._unread, []
        values = torch.stack([x for step in unread for x in (step.loss, step.norm)]).tolist()
        for step, loss, norm in zip(unread, values[::2], values[1::2], strict=True):
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise self._divergence("gradient" if math.isfinite(loss) else "loss", step.step)
            self._nats.append(loss * step.chars)

    def _divergence(self, what: str, step: int) -> DivergenceError:
        train = self._train
        rest = "what was saved is intact" if self.late else "the weights were not updated"
        return DivergenceError(
            f"the {what} is no longer finite at step {step}; {rest}.\n"
            f"Lower --lr (it is {train.lr:g})"
            + (
                f" or --clip-norm (it is {train.clip_norm:g})."
                if train.clip_norm
                else ", or give a --clip-norm such as 1."
            )
        )
