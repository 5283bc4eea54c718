"""Where streams start from a zero state inside a window, as packed documents do.

With k = 0 for a stream that starts at a step and 1 for the others, a step reads k h and k c in
place of h and c. Row masks commute with the recurrent product: (k h) U^T = k (h U^T), and in the
backward pass dh = k (da U). So windows multiply all streams as before and clear rows of what
results. The gradient of U takes the cleared h.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Segments:
    """The parts of a window between starts, as packed sequences (`torch.nn.utils.rnn`).

    The S segments are ordered by length, the longest first. Packed rows are ordered by the step
    within the segment, then by segment.

    Attributes:
        places: the position t * B + b of each packed row, (T * B,).
        rows: the packed row of each position, (T * B,).
        batch_sizes: how many segments have each step, on the CPU; the first is S.
        carried: segments that go on with a stream's carried state, (C,).
        streams: their streams, (C,).
        last: the last segment of each stream, (B,).
    """

    places: Tensor
    rows: Tensor
    batch_sizes: Tensor
    carried: Tensor
    streams: Tensor
    last: Tensor


class Starts:
    """The positions of a window before which a stream's state is set to zero.

    Args:
        mask: (T, B), bool, on the CPU.
        device: where the window is computed.
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
        """The same window read from its end: targets T-1 to 1, (T - 1, B).

        The target at t is the input at t + 1. So it starts a stream where that input does; the
        last one is read from a zero state in any case.
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
        places = key.argsort()
        rows = torch.empty_like(places)
        rows[places] = torch.arange(len(places))
        goes_on = (times == 0) & ~self.mask[0, streams]
        device = self.device
        return Segments(
            places=places.to(device),
            rows=rows.to(device),
            batch_sizes=torch.bincount(step.flatten()),
            carried=rank[goes_on].to(device),
            streams=streams[goes_on].to(device),
            last=rank[segment[:, -1]].to(device),
        )
