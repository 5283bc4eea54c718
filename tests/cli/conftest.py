"""Models with random weights, for tests of texts in and out."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Program, run_program
from tests.models import make_model, save_model


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """Models: play; lower, in lower case; code, with backslashes; both, for `fill`."""
    folder = tmp_path_factory.mktemp("inputs")
    save_model(folder / "play", make_model(text))
    save_model(folder / "lower", make_model(text, lowercase=True))
    save_model(folder / "code", make_model('puts("a\\n");\n\tgo();\n'))
    save_model(folder / "both", make_model(text, "both", lowercase=True))
    return folder


@pytest.fixture
def run(place: Path) -> Program:
    def call(*arguments: object, **keywords: Any) -> subprocess.CompletedProcess[str]:
        return run_program(*arguments, cwd=place, **keywords)

    return call
