"""Positions inside a window where streams start from the zero state, such as document boundaries.

Let k be 0 for a stream that starts at a time step, otherwise 1. The step reads k h and k c instead
of h and c. Row masks commute with the recurrent product: (k h) U^T = k (h U^T), and in the backward
pass dh = k (da U). Windows therefore compute the product for all streams, and set rows of its
result to zero. The gradient of U uses the masked h.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """The parts of a window between starts, as packed sequences (`torch.nn.utils.rnn`).

    The S segments are ordered by length, the longest first. Packed rows are ordered by the time
    step within the segment, then by segment.

    Attributes:
        positions: the position t * B + b of each packed row, (T * B,).
        rows: the packed row of each position, (T * B,).
        batch_sizes: number of segments with each time step, on the CPU; the first is S.
        carried: segments that start from the carried state of a stream, (C,).
        streams: the streams of these segments, (C,).
        last: the last segment of each stream, (B,).
    """

    positions: Tensor
    rows: Tensor
    batch_sizes: Tensor
    carried: Tensor
    streams: Tensor
    last: Tensor


class Starts:
    """The positions of a window before which a stream's state is set to zero.

    Args:
        mask: (T, B), bool, on the CPU.
        device: the device of the window.
    """

    def __init__(self, mask: Tensor, device: torch.device | None = None) -> None:
        self.mask = mask
        self.device = device or mask.device

    @cached_property
    def rows(self) -> list[Tensor | None]:
        """The streams that start at each of the T steps; None where there are none."""
        times, streams = self.mask.nonzero(as_tuple=True)
        counts = torch.bincount(times, minlength=len(self.mask)).tolist()
        found = torch.split(streams.to(self.device), counts)
        return [rows if len(rows) else None for rows in found]

    @cached_property
    def keep(self) -> Tensor:
        """0 where a stream starts, otherwise 1: (T, B, 1), float32, on the device."""
        return (~self.mask).to(self.device, torch.float32)[:, :, None]

    def before_the_end(self) -> Starts:
        """The starts for the backward stack, which reads targets T-1 to 1: (T - 1, B).

        The target at t is the input at t + 1, so it is a start if that input is one. The last
        target is always read from the zero state.
        """
        mask = torch.zeros_like(self.mask[1:])
        mask[1:] = self.mask[2:].flip(0)
        return Starts(mask, self.device)

    @cached_property
    def segments(self) -> Segments:
        """The window's segments."""
        steps, batch = self.mask.shape
        begins = self.mask.clone()
        begins[0] = True
        by_stream = begins.t()  # (B, T): segments are numbered stream by stream
        segment = by_stream.flatten().cumsum(0).view(batch, steps) - 1
        streams, times = by_stream.nonzero(as_tuple=True)
        lengths = torch.bincount(segment.flatten())
        order = lengths.argsort(descending=True, stable=True)
        rank = torch.empty_like(order)
        rank[order] = torch.arange(len(order))
        step = torch.arange(steps)[None, :] - times[segment]  # within the segment
        key = (step * len(order) + rank[segment]).t().flatten()  # (T * B,)
        positions = key.argsort()
        rows = torch.empty_like(positions)
        rows[positions] = torch.arange(len(positions))
        goes_on = (times == 0) & ~self.mask[0, streams]
        device = self.device
        return Segments(
            positions=positions.to(device),
            rows=rows.to(device),
            batch_sizes=torch.bincount(step.flatten()),
            carried=rank[goes_on].to(device),
            streams=streams[goes_on].to(device),
            last=rank[segment[:, -1]].to(device),
        )
