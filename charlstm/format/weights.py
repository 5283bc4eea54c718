"""Names and shapes of a model's weights in a checkpoint, from its configuration.

H is the hidden size and V the size of the vocabulary. I is the size of a layer's input: V, or the
size of the embedding, for the first layer, and H for the others. The G gates of a cell are in the
order of its specification in `charlstm.cells`.

- `layers.l.weight_ih` (G*H, I), `layers.l.weight_hh` (G*H, H)
- `layers.l.bias` (G*H,), followed by the cell's `extra_biases`
- `layers.l.NAME` for each of the cell's `extra_weights`
- `norms.l.weight`, `norms.l.bias` (H,): between layer l and layer l+1
- `backward_layers.l...`, `backward_norms.l...`: the stack that reads backward
- `embedding.weight` (V, E)
- `head.weight` (V, W), `head.bias` (V,): W is H, times the layers with dense output, times two
  with both directions (forward first)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import ModelConfig
from charlstm.errors import CheckpointError
from charlstm.layers import network

_LARGEST = 1e30  # sums of larger weights over a layer might not be finite


def weight_shapes(config: ModelConfig, vocab_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each weight by name."""
    return network(config, vocab_size).weight_shapes()


def check_weights(
    weights: Mapping[str, NDArray[Any]], config: ModelConfig, vocab_size: int
) -> None:
    """Check names, shapes, dtypes and values of weights against the configuration.

    Raises:
        CheckpointError: they differ, or a weight is not finite or too large.
    """
    expected = weight_shapes(config, vocab_size)
    if set(weights) != set(expected):
        odd = sorted(set(weights) ^ set(expected))[0]
        raise CheckpointError(f"the weights do not fit the configuration: {odd!r}.")
    for name, shape in expected.items():
        array = weights[name]
        if not isinstance(array, np.ndarray):
            raise CheckpointError(f"the weight {name!r} is not an array, but {type(array)}.")
        if array.shape != shape or array.dtype != np.float32:
            raise CheckpointError(
                f"the weights do not fit the configuration: {name!r} is {array.dtype} "
                f"{array.shape}, not float32 {shape}."
            )
        if not (np.abs(array) < _LARGEST).all():
            raise CheckpointError(f"the weight {name!r} is not finite, or beyond {_LARGEST:g}.")
