"""Buffers and in-place functions for windows with hand-written backward passes.

The loops compute tanh(x) as 2 sigma(2 x) - 1, as torch's sigmoid takes a fifth of the time of its
tanh.

Matrix products have the dtype of the recurrent weights (float32, bfloat16 or float64). Sums, gates
and states have at least float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input  # d s (1 - s)
tanh_backward = torch.ops.aten.tanh_backward.grad_input  # d (1 - t^2)


class Buffers:
    """A pool of tensors for reuse: allocating new memory takes longer than the arithmetic.

    A tensor from `take` is in use until it is passed to `give`.
    """

    _MOST_BYTES = 1 << 29  # a larger pool is emptied, as its shapes are no longer used

    def __init__(self) -> None:
        self._free: dict[tuple[Any, ...], list[Tensor]] = {}
        self._bytes = 0

    def take(self, shape: tuple[int, ...], like: Tensor, dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor on the device of `like`."""
        free = self._free.get((shape, dtype, like.device))
        if not free:
            return torch.empty(shape, dtype=dtype, device=like.device)
        tensor = free.pop()
        self._bytes -= tensor.nbytes
        return tensor

    def give(self, *tensors: Tensor) -> None:
        """Return tensors to the pool."""
        for tensor in tensors:
            if tensor.is_inference():
                continue  # training may not write into it
            if self._bytes + tensor.nbytes > self._MOST_BYTES:
                self._free.clear()
                self._bytes = 0
            key = (tuple(tensor.shape), tensor.dtype, tensor.device)
            self._free.setdefault(key, []).append(tensor)
            self._bytes += tensor.nbytes


buffers = Buffers()


class Saved:
    """Tensors saved for the backward pass; returned to the pool with the graph."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors

    def __del__(self) -> None:
        buffers.give(*self.tensors)


def state_type(weight: Tensor) -> torch.dtype:
    """The dtype of sums, gates and states: at least float32."""
    return torch.promote_types(weight.dtype, torch.float32)


def tanh_of(sigmoid: Tensor) -> None:
    """Replace sigma(2 y) by tanh(y) = 2 sigma(2 y) - 1."""
    sigmoid.mul_(2).sub_(1)
