"""`--json`: what each command prints is JSON, whatever the model."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.cli import output
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import TINY, run_program

DEEP = ["--layers", "2", "--embedding", "4", "--layer-norm"]


def strictly(line: str) -> Any:
    """The JSON of a line, without what only Python takes for JSON."""
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} in {line}"))


def test_no_number_that_json_lacks(capfd: pytest.CaptureFixture[str]) -> None:
    record = {"a": math.inf, "b": [1.5, -math.inf, {"c": math.nan}], "d": (0, "nan", None, True)}
    output.json_line(record)
    line = capfd.readouterr().out
    assert strictly(line) == {"a": None, "b": [1.5, None, {"c": None}], "d": [0, "nan", None, True]}
    assert line.count("\n") == 1
    with pytest.raises(TypeError):  # nothing else is made up for
        output.json_line({"a": object()})


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A folder with a run, and copies of it with weights that are far too large.

    Those of `broken` make losses infinite, those of `overflow` make logits that are not numbers.
    """
    folder = tmp_path_factory.mktemp("broken")
    (folder / "play.txt").write_text(text, "utf-8")
    result = run_program("train", "play.txt", *TINY, *DEEP, "--epochs", "1", "--json", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert strictly(result.stdout)["epoch"] == 1
    for name, part, scale in (("broken", "model/head", 1e25), ("overflow", "model/", 1e29)):
        run = folder / "checkpoints" / name
        shutil.copytree(folder / "checkpoints" / "play", run)
        for path in run.glob("*.npz"):
            whole = load_checkpoint(path)
            arrays = {
                key: np.clip(array * np.float32(scale), -9e29, 9e29) if part in key else array
                for key, array in whole.arrays.items()
            }
            save_checkpoint(path, {k: v for k, v in whole.meta.items() if k != "entries"}, arrays)
    return folder


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["eval", "broken"], ["perplexity"]),  # infinity
        (
            ["eval", "overflow"],
            ["nats_per_char", "bits_per_char", "bits_per_byte", "perplexity"],
        ),
        (  # and what is not a number
            ["eval", "broken", "--dynamic"],
            [
                "perplexity",
                "dynamic_nats_per_char",
                "dynamic_bits_per_char",
                "dynamic_bits_per_byte",
                "dynamic_perplexity",
            ],
        ),
    ],
    ids=["infinity", "overflow", "not a number"],
)
def test_a_broken_model_s_figures_are_null(
    broken: Path, arguments: list[str], absent: list[str]
) -> None:
    result = run_program(*arguments, "--json", cwd=broken)
    assert result.returncode == 0, result.stderr
    record = strictly(result.stdout)
    assert [name for name, value in record.items() if value is None] == absent
    assert all(name in result.stderr for name in absent)


@pytest.mark.parametrize(
    "arguments",
    [
        ["info", "broken"],
        ["runs"],
        ["sample", "broken", "--length", "5", "-n", "2"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_every_command_prints_json(broken: Path, arguments: list[str]) -> None:
    result = run_program(*arguments, "--json", cwd=broken)
    assert result.returncode == 0, result.stderr
    assert result.stdout
    assert all(isinstance(strictly(line), dict) for line in result.stdout.splitlines())
