"""The engine's logits are torch's, for every cell, option and number of layers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.inference.test_engine import CASES, check_logits


@pytest.mark.parametrize(("cell", "layers", "options"), CASES, ids=str)
def test_logits_equal_torch_s_over_1000_steps(
    cell: str, layers: int, options: dict[str, Any]
) -> None:
    check_logits(cell, layers, options)
