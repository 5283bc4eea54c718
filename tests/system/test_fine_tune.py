"""A fine-tuned run that is killed, and one of several processes: real processes, signals."""

from __future__ import annotations

from pathlib import Path

import pytest

from charlstm.format.checkpoint import load_checkpoint
from tests.conftest import Program
from tests.system.conftest import SHAPE, check_kills_change_nothing, lively
from tests.zygote import Zygote


@pytest.fixture
def base(program: Program, corpus_file: Path) -> str:
    """A model of two layers; another text with more characters is `new.txt`."""
    result = program("train", corpus_file.name, *SHAPE, "--layers", 2, "--epochs", 1)
    assert result.returncode == 0, result.stderr
    text = corpus_file.read_text("utf-8")[:3000].replace("e", "\u00e9", 40) + "\u4e2d\u6587\n" * 9
    corpus_file.with_name("new.txt").write_text(text, "utf-8")
    return "play"


def test_killed_at_any_moment(zygote: Zygote, base: str, tmp_path: Path) -> None:
    """Some of the kills fall inside a save, the first of them inside that of the base's weights."""
    command = ["train", "new.txt", "--from", base, *lively(freeze=2)[2:], "--quiet"]
    check_kills_change_nothing(zygote, tmp_path, command, seed=1)


def test_several_processes(program: Program, base: str, tmp_path: Path) -> None:
    """Two processes begin with the base's loss, and know their ancestors."""
    starts = []
    for processes in (1, 2):
        result = program(
            "train", "new.txt", "--from", base, *lively()[2:], "--name", f"by-{processes}",
            "--processes", processes, "--precision", "float32",
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        meta = load_checkpoint(tmp_path / "checkpoints" / f"by-{processes}" / "last.npz").meta
        assert meta["config"]["train"]["processes"] == processes
        starts.append((meta["progress"]["history"][0], meta["ancestors"]))
    assert starts[0] == starts[1]
