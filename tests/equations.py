"""Evaluates the equations of a cell's record, as they are written, in float64."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.cells import CellSpec

Doubles = NDArray[np.float64]


def sigma(x: Doubles) -> Doubles:
    return np.asarray(1 / (1 + np.exp(-x)))


def evaluate(
    spec: CellSpec, weights: Mapping[str, Doubles], x: Doubles, state: Sequence[Doubles]
) -> tuple[Doubles, ...]:
    """One step of one stream.

    Args:
        spec: the cell.
        weights: one layer's, by their names in `CellSpec.weight_shapes`.
        x: the input.
        state: (H,) each.

    Returns:
        The next state.
    """
    values: dict[str, Any] = {"x": x, "sigma": sigma, "tanh": np.tanh}
    values |= zip(spec.state, state, strict=True)
    for letter, name in (("W", "weight_ih"), ("U", "weight_hh")):
        blocks = np.split(weights[name], spec.num_gates)
        values |= {letter + gate: block for gate, block in zip(spec.gates, blocks, strict=True)}
    biases = np.split(weights["bias"], spec.num_biases)
    names = [*("b" + gate for gate in spec.gates), *spec.extra_biases]
    values |= zip(names, biases, strict=True)
    if spec.num_gates == 1:
        values |= {letter: values[letter + spec.gates[0]] for letter in "WUb"}
    for name, parts in spec.extra_weights.items():
        values |= zip(parts, np.split(weights[name], len(parts)), strict=True)
    for equation in spec.equations:
        name, _, expression = equation.replace("'", "_new").partition(" = ")
        code = re.sub(r"\b([WU]\w*) (\w+)", r"\1 @ \2", expression)  # a matrix times a vector
        values[name] = eval(code, {}, values)
    return tuple(values[name + "_new"] for name in spec.state)
