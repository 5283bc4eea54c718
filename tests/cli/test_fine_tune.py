"""`charlstm train --from`: what it says, and what other commands show of such a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import TINY, Program, assert_clear

LENGTH = [*TINY[2:], "--epochs", "1"]


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A folder with the run `play`, and `new.txt`."""
    shutil.copytree(trained / "checkpoints", tmp_path / "checkpoints")
    text = (trained / "play.txt").read_text("utf-8")[:1500]
    (tmp_path / "new.txt").write_text(text.replace("e", "\u00e9", 9).replace("'", ""), "utf-8")
    return tmp_path


def test_it_says_what_it_starts_from(program: Program, folder: Path) -> None:
    result = program("train", "new.txt", "--from", "play", *LENGTH, "--json")
    assert result.returncode == 0, result.stderr
    said = result.stderr
    (line,) = (line for line in said.splitlines() if line.startswith("alphabet: "))
    assert "1 new: '\u00e9' from 'e'" in line
    assert "dropped: " in line
    assert "\nbefore training:  validation " in said
    assert "full command: charlstm train new.txt --from play --split" in said
    assert "The base reached " in said or "Fine-tuning did not help" in said
    record = json.loads(result.stdout)
    facts = json.loads(program("info", "new", "--json").stdout)
    assert record["start_nats_per_char"] == facts["history"][0]["val_nats"]
    assert facts["config"]["model"]["num_layers"] == 2
    (ancestor,) = facts["ancestors"]
    assert ancestor["new"] == {"\u00e9": "e"}
    assert "'" in ancestor["dropped"]
    shown = program("info", "new").stdout
    assert f"started from        play, {ancestor['step']} steps; " in shown
    assert ancestor["sha256"][:16] in shown
    assert "started from" not in program("info", "play").stdout
    assert program("sample", "new", "--length", "9", "--prompt", "\u00e9").returncode == 0
    assert program("eval", "new", "new.txt").returncode == 0


def test_the_full_command_repeats_the_run(program: Program, folder: Path) -> None:
    options = ["--from", "checkpoints/play/last.npz", "--keep-alphabet", *LENGTH]
    said = program("train", "new.txt", *options, "--name", "one").stderr
    (line,) = (line for line in said.splitlines() if line.startswith("full command: "))
    assert "kept without occurring: " in said
    words = line.partition("charlstm ")[2].replace(" --name one", "").split()
    assert words[2:5] == ["--from", "checkpoints/play/last.npz", "--keep-alphabet"]
    assert program(*words, "--name", "two").returncode == 0
    one, two = (json.loads(program("info", name, "--json").stdout) for name in ("one", "two"))
    assert one["history"] == two["history"]
    assert one["characters"] == two["characters"]


def test_errors_are_clear(program: Program, folder: Path) -> None:
    def fails(code: int, *words: str, of: str = "play", options: tuple[str, ...] = ()) -> None:
        assert_clear(program("train", "new.txt", "--from", of, *options), code, *words)
        assert not (folder / "checkpoints" / "new").exists()

    fails(1, "'nothing' is not a run", of="nothing")
    fails(1, "--from new.txt: the file is not a checkpoint", "train TEXT --from RUN", of="new.txt")
    fails(2, "--hidden-size 32", "--hidden-size 16", options=("--hidden-size", "32"))
    fails(2, "--cell gru", "--cell coupled", options=("--cell", "gru"))
    fails(2, "--layer-norm", "no --layer-norm", options=("--layer-norm",))
    fails(2, "--freeze 3", "0 <= x <= 2", options=("--freeze", "3"))
    fails(2, "--from and --keep-alphabet", options=("--resume", "play"))
    (folder / "chinese.txt").write_text("\u4e2d\u6587\n" * 300, "utf-8")
    chinese = program("train", "chinese.txt", "--from", "play", *LENGTH)
    assert_clear(chinese, 1, "knows no character of the text")
    (folder / "empty.txt").write_text("")
    assert_clear(program("train", "empty.txt", "--from", "play"), 1, "no text")
    assert_clear(program("train", "new.txt", "--keep-alphabet"), 2, "requires --from RUN")


def test_a_text_from_standard_input(program: Program, folder: Path) -> None:
    data = (folder / "new.txt").read_bytes()
    result = program("train", "-", "--from", "play", *LENGTH, "--quiet", stdin=data)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    resumed = program("train", "--resume", "stdin", "--more-epochs", "1")
    assert resumed.returncode == 0, resumed.stderr
