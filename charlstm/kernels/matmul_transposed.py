"""The product of float32 matrices `out[m, n] = sum over k of left[k, m] * right[k, n]`.

It is the gradient of the recurrent weights: k counts all steps of all streams, so the matrices do
not fit into a processor's caches. The product is therefore made in blocks, as by Goto and van de
Geijn (2008): some tiles' part of `left` for a block of k is laid out in the order in which it is
read, and stays in the second-level cache with their sums while all panels of `right` are multiplied
by it. The part of a panel stays in the first-level cache while these tiles are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.kernels.jit import jit
from charlstm.kernels.matmul import PANEL_WIDTH, TILE_ROWS, tile
from charlstm.kernels.team import element_pointer, in_team, run_in_team

_BLOCK = 256  # of k: a panel's part has 16 KiB in classes of 16 columns
_CHUNK = 24  # tiles: 144 KiB of 6 rows

_add_tile = tile(TILE_ROWS, adds=True)


@jit
def multiply_transposed(
    left: NDArray[np.float32],
    packed: NDArray[np.float32],
    out: NDArray[np.float32],
    first: int,
    last: int,
) -> None:
    """Multiply the transpose of a matrix by a packed matrix, for tiles from `first` up to `last`.

    Args:
        left: (K, M).
        packed: the matrix (K, N), see `charlstm.kernels.matmul.pack`.
        out: (tiles * TILE_ROWS, panels * PANEL_WIDTH), filled; tiles * TILE_ROWS >= M.
    """
    depth = len(left)
    panels, width = packed.shape[0], out.shape[1]
    block = np.empty((_CHUNK, _BLOCK, TILE_ROWS), np.float32)
    out[first * TILE_ROWS : last * TILE_ROWS] = 0
    for chunk in range(first, last, _CHUNK):
        tiles = min(_CHUNK, last - chunk)
        for k in range(0, depth, _BLOCK):
            deep = min(_BLOCK, depth - k)
            _copy_tiles(left[k : k + deep], block, chunk, tiles)
            for p in range(panels):
                panel = element_pointer(packed, np.int64((p * depth + k) * PANEL_WIDTH))
                for t in range(tiles):
                    row = (chunk + t) * TILE_ROWS
                    _add_tile(
                        element_pointer(out, np.int64(row * width + p * PANEL_WIDTH)),
                        np.int64(width),
                        element_pointer(block, np.int64(t * _BLOCK * TILE_ROWS)),
                        np.int64(0),
                        panel,
                        np.int64(deep),
                    )


@jit
def _copy_tiles(
    left: NDArray[np.float32], block: NDArray[np.float32], first: int, tiles: int
) -> None:
    """block[t, k, r] = left[k, (first + t) * TILE_ROWS + r], or 0 beyond the last column."""
    depth, columns = left.shape
    for t in range(tiles):
        begin = (first + t) * TILE_ROWS
        rows = min(TILE_ROWS, columns - begin)
        into = block[t]
        if rows == TILE_ROWS:
            for k in range(depth):
                for r in range(TILE_ROWS):
                    into[k, r] = left[k, begin + r]
        else:
            into[:] = 0
            for k in range(depth):
                for r in range(rows):
                    into[k, r] = left[k, begin + r]


@in_team(multiply_transposed)
def _multiply_transposed_in_team(entry: int, threads: int, rows: int, *arguments: Any) -> None:
    run_in_team(entry, threads, rows, multiply_transposed, arguments)
