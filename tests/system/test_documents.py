"""Training on documents that is killed, by one process and by two: real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.cli.test_train import assert_same_run
from tests.system.conftest import MANY_STEPS, begin
from tests.system.test_processes import finish, reached, workers
from tests.zygote import wait_until

KINDS = [
    ["--cell", "gru"],
    ["--cell", "coupled", "--direction", "both"],
    ["--stateless", "--grow", "0.9", "--batch-size", "5"],
]


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A file of short lines."""
    path = tmp_path / "names.txt"
    firsts = ("anna", "bob", "eve", "ida", "jon", "max", "noel")
    lasts = ("fox", "lang", "li", "ott", "smith", "weber")
    path.write_text("".join(f"{a} {b} {n}\n" for n in range(12) for a in firsts for b in lasts))
    return path


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("options", KINDS, ids=str)
def test_killed_and_resumed(
    names: Path, tmp_path: Path, options: list[str], processes: int
) -> None:
    runs = tmp_path / "checkpoints"
    train = [
        "train", names.name, *MANY_STEPS, "--documents", "line", "--epochs", "1",
        "--save-every", "25", "--log-every", "10", "--precision", "float32",
        "--processes", str(processes), *options,
    ]  # fmt: skip
    whole = begin(tmp_path, *train, "--name", "whole")
    said = finish(whole)
    assert whole.returncode == 0, said
    assert "504 documents, " in said
    for step in (60, 130):
        name = f"killed-{step}"
        killed = begin(tmp_path, *train, "--name", name)
        wait_until(lambda: reached(runs / name, step))  # noqa: B023 - called at once
        victims = workers(tmp_path) if processes > 1 else [killed.pid]
        os.kill(victims[-1], signal.SIGKILL)
        finish(killed)
        assert killed.returncode != 0
        resumed = begin(tmp_path, "train", "--resume", name)
        said = finish(resumed)
        assert resumed.returncode == 0, said
        assert_same_run(runs / "whole", runs / name)
