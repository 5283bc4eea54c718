"""Dropout of activations, characters and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from charlstm.layers import Dropout

Shard = tuple[slice, int]
"""The streams of a batch that this process reads, and the number of all streams."""


@dataclass(frozen=True)
class Masks:
    """Applies dropout during one window.

    Attributes:
        generator: random generator of all masks.
        shard: the streams of the batch that this process reads; None: all. Masks are drawn for all
            streams, so that they do not depend on the number of processes.
        dtype: the dtype of the products.
        is_training: whether dropout is applied.
        uses_kernels: whether a compiled kernel computes dropout, on a CPU.
    """

    generator: torch.Generator
    shard: Shard | None
    dtype: torch.dtype
    is_training: bool
    uses_kernels: bool

    def characters(self, xs: Tensor, rate: float) -> Tensor:
        """Apply dropout to whole characters: (T, B, ...) -> (T, B, ...)."""
        if not self.is_training or not rate:
            return xs
        return xs * dropout_mask(xs[:, :, :1], rate, self.generator, self.shard)

    def activations(self, xs: Tensor, dropout: Dropout | None) -> Tensor:
        """Apply dropout to activations: (T, B, H) -> (T, B, H)."""
        if not self.is_training or dropout is None:
            return xs
        if dropout.rate:
            xs = self._dropped(xs, dropout.rate, self.shard)
        if dropout.locked_rate:
            xs = xs * dropout_mask(xs[:1], dropout.locked_rate, self.generator, self.shard)
        return xs

    def weights(self, weight: Tensor, rate: float) -> Tensor:
        """Apply dropout to a weight matrix (Wan et al. 2013), in the dtype of the products."""
        if not self.is_training or not rate:
            return weight.to(self.dtype)
        return self._dropped(weight[:, None], rate)[:, 0]

    def _dropped(self, values: Tensor, rate: float, shard: Shard | None = None) -> Tensor:
        """Apply dropout to values (A, B, C), in the dtype of the products."""
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
    """A mask of shape and dtype of `like`: 0 with probability `rate`, otherwise 1 / (1 - rate).

    With a shard, `like` is (T, B, ...) for the shard's streams, and the mask is drawn for all
    streams.

    The rate is rounded to a multiple of 1/65536. Each element uses 16 random bits, drawn 64 at a
    time, which takes a third of the time of `bernoulli_`.
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
