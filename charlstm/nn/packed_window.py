"""Windows with starts by torch's own recurrent functions, as packed sequences.

These functions know nothing of starts. So a window is divided into segments that each begin at a
start, and they read the segments as sequences of different lengths, side by side. There are fewer
steps then, each of more rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from charlstm.nn.layer import State
from charlstm.nn.starts import Starts

Run = Callable[[Tensor, Tensor, State], tuple[Any, ...]]


def packed_window(run: Run, xs: Tensor, state: State, starts: Starts) -> tuple[Tensor, State]:
    """A whole window with starts.

    Args:
        run: of packed rows (T * B, ...) of `xs`, batch sizes, and the segments' initial states,
            (1, S, H) each: the packed outputs (T * B, H), and the final states, (1, S, H) each.
        xs: (T, B, inputs), or ids (T, B).
        state: B streams' state.
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
    packed = xs.flatten(0, 1).index_select(0, segments.places)
    outputs, *final = run(packed, segments.batch_sizes, first)
    outputs = outputs.index_select(0, segments.rows).view(steps, batch, -1)
    return outputs, tuple(part[0].index_select(0, segments.last) for part in final)
