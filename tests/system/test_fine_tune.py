"""A fine-tuned run that is killed, and one of several processes: real processes, signals."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from charlstm.format.checkpoint import load_checkpoint
from tests.cli.test_train import assert_same_run
from tests.conftest import Program
from tests.system.conftest import SHAPE, lively
from tests.zygote import CUTS, Zygote


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
    chance = random.Random(1)
    options = ["train", "new.txt", "--from", base, *lively(freeze=2)[2:], "--quiet"]
    begun = time.monotonic()
    child = zygote.start(*options, "--name", "whole", cwd=tmp_path)
    assert child.wait() == 0, child.errors
    usual, kills = min(1.5, time.monotonic() - begun), 0
    run = tmp_path / "checkpoints" / "killed"
    while True:
        words = ["train", "--resume", str(run), "--quiet"] if (run / "last.npz").exists() else None
        die = [chance.choice(CUTS), 1 + kills, chance.random() < 0.5, signal.SIGKILL]
        child = zygote.start(
            *(words or [*options, "--name", "killed"]), cwd=tmp_path,
            **({"die": die} if kills % 2 == 0 else {}),
        )  # fmt: skip
        if kills % 2:
            time.sleep(chance.uniform(0.02, usual))
            child.signal(signal.SIGKILL)
        if child.wait() == 0:
            break
        assert child.code == -signal.SIGKILL, child.errors
        kills += 1
    assert kills > 2
    assert_same_run(tmp_path / "checkpoints" / "whole", run)


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
