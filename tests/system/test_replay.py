"""A run that replays an old text, killed, and of several processes: real processes, signals."""

from __future__ import annotations

from pathlib import Path

import pytest

from charlstm.format.checkpoint import load_checkpoint
from tests.conftest import Program
from tests.system.conftest import SHAPE, check_kills_change_nothing, lively
from tests.zygote import Zygote


@pytest.fixture
def words(program: Program, corpus_file: Path) -> list[str]:
    """The command of a run that starts from another one; each part is a text of its own."""
    text = corpus_file.read_text("utf-8")
    corpus_file.with_name("old.txt").write_text(text, "utf-8")
    result = program("train", "old.txt", *SHAPE, "--layers", 2, "--epochs", 1)
    assert result.returncode == 0, result.stderr
    for name, content in (("new", text[3000::-1]), ("val", text[500::-1]), ("test", text[900::-1])):
        corpus_file.with_name(f"{name}.txt").write_text(content, "utf-8")
    command = (
        "train new.txt --from old --keep-alphabet --unknown skip --val val.txt --test test.txt"
    )
    return [*command.split(), "--replay", "0.3", "--replay-text", "old.txt"]


def test_killed_at_any_moment(zygote: Zygote, words: list[str], tmp_path: Path) -> None:
    check_kills_change_nothing(zygote, tmp_path, [*words, *lively()[2:], "--quiet"], seed=2)


def test_several_processes(program: Program, words: list[str], tmp_path: Path) -> None:
    """Two processes read the parts, and both texts, as one does."""
    histories = []
    for processes in (1, 2):
        result = program(
            *words, *lively()[2:], "--name", f"by-{processes}", "--processes", processes,
            "--precision", "float32", "--kernel", "torch",
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        meta = load_checkpoint(tmp_path / "checkpoints" / f"by-{processes}" / "last.npz").meta
        assert meta["config"]["train"]["processes"] == processes
        histories.append(meta["progress"]["history"])
    assert histories[0][0] == histories[1][0]
    for one, two in zip(*histories, strict=True):
        for name in ("val_nats", "base_val_nats"):
            assert two[name] == pytest.approx(one[name], rel=1e-2)
