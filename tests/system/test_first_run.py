"""What a newcomer meets: the first training after an installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")


def test_the_first_run_after_an_installation(tmp_path: Path, text: str) -> None:
    """Nothing is compiled yet: the run does as many steps as the next one."""
    (tmp_path / "x.txt").write_text(text)
    command = [
        sys.executable, "-m", "charlstm", "train", "x.txt", "--minutes", "0.2", "--size", "small",
        "--kernel", "compiled", "--precision", "float32", "--sample-every", "0", "--json",
    ]  # fmt: skip
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "numba")}
    steps = []
    for number in range(2):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        assert ("compiling" in done.stderr) == (number == 0), done.stderr
        steps.append(json.loads(done.stdout)["step"])
    assert steps[0] > steps[1] / 3, steps  # other programs may have run meanwhile
