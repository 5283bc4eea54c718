"""The fixture of tests that train."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.common import Start, starter


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`start("name", lr=0.1)` sets up a run over a short text."""
    return starter(tmp_path, "the light is low and the wind is from the north\n" * 14)
