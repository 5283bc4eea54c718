"""Windows with starts computed by torch's recurrent functions, as packed sequences.

These functions do not support starts. A window is therefore divided into segments that begin at
starts, and the segments are computed as a batch of sequences of different lengths. This takes fewer
time steps, with more rows each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from charlstm.nn.layer import State
from charlstm.nn.starts import Starts

Run = Callable[[Tensor, Tensor, State], tuple[Any, ...]]


def packed_window(run: Run, xs: Tensor, state: State, starts: Starts) -> tuple[Tensor, State]:
    """A window with starts.

    Args:
        run: function of the packed rows of `xs`, (T * B, ...), the batch sizes, and the segments'
            initial states, (1, S, H) each. Returns the packed outputs (T * B, H), and the final
            states, (1, S, H) each.
        xs: (T, B, inputs), or ids (T, B).
        state: state of the B streams.
        starts: where streams start from the zero state.

    Returns:
        Outputs (T, B, H) and the next state.
    """
    segments = starts.segments
    steps, batch = xs.shape[:2]
    count = int(segments.batch_sizes[0])
    first = tuple(
        part.new_zeros(count, part.shape[1]).index_copy(
            0, segments.carried, part.index_select(0, segments.streams)
        )[None]
        for part in state
    )
    packed = xs.flatten(0, 1).index_select(0, segments.positions)
    outputs, *final = run(packed, segments.batch_sizes, first)
    outputs = outputs.index_select(0, segments.rows).view(steps, batch, -1)
    return outputs, tuple(part[0].index_select(0, segments.last) for part in final)
