"""Dropout of activations, characters and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from charlstm.layers import Dropout

Shard = tuple[slice, int]
"""The streams of a batch that this process reads, and how many streams there are in all."""


@dataclass(frozen=True)
class Masks:
    """Applies dropout during one window.

    Attributes:
        generator: draws all masks.
        shard: which of the batch's streams are read here; None: all. Masks are drawn for all
            streams, so that a batch divided among processes drops what it drops undivided.
        dtype: of the products.
        is_training: whether anything is dropped.
        uses_kernels: whether a kernel computes dropout, on a CPU.
    """

    generator: torch.Generator
    shard: Shard | None
    dtype: torch.dtype
    is_training: bool
    uses_kernels: bool

    def characters(self, xs: Tensor, rate: float) -> Tensor:
        """(T, B, ...) with some characters' vectors zeroed."""
        if not self.is_training or not rate:
            return xs
        return xs * dropout_mask(xs[:, :, :1], rate, self.generator, self.shard)

    def activations(self, xs: Tensor, dropout: Dropout | None) -> Tensor:
        """(T, B, H) with some activations zeroed."""
        if not self.is_training or dropout is None:
            return xs
        if dropout.rate:
            xs = self._dropped(xs, dropout.rate, self.shard)
        if dropout.locked_rate:
            xs = xs * dropout_mask(xs[:1], dropout.locked_rate, self.generator, self.shard)
        return xs

    def weights(self, weight: Tensor, rate: float) -> Tensor:
        """A matrix in the type of the products, with some weights zeroed (Wan et al. 2013)."""
        if not self.is_training or not rate:
            return weight.to(self.dtype)
        return self._dropped(weight[:, None], rate)[:, 0]

    def _dropped(self, values: Tensor, rate: float, shard: Shard | None = None) -> Tensor:
        """Values (A, B, C) with some zeroed, in the type of the products."""
        if self.uses_kernels and values.device.type == "cpu" and self.dtype != torch.float64:
            from charlstm.nn import kernel_ops  # noqa: PLC0415 - imports numba

            seed = int(torch.empty((), dtype=torch.int64).random_(generator=self.generator))
            own, total = shard or (slice(0, 0), values.shape[1])
            return kernel_ops.dropout(values, self.dtype, rate, seed, total, own.start)
        dropped: Tensor = values * dropout_mask(values, rate, self.generator, shard)
        return dropped.to(self.dtype)


def dropout_mask(
    like: Tensor, rate: float, generator: torch.Generator, shard: Shard | None = None
) -> Tensor:
    """Zeros with probability `rate`, otherwise 1 / (1 - rate); shaped and typed as `like`.

    With a shard, `like` is (T, B, ...) of its streams; the mask is drawn for all.

    It is scaled in training so that inference needs no change. The rate is rounded to a 65536th:
    sixteen random bits for each element, drawn 64 at a time, take a third of the time of
    `bernoulli_`.
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
