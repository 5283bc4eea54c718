"""`--val`, `--test` and `--replay-text` on the command line."""

from __future__ import annotations

import gzip
import json
import shlex
from pathlib import Path

import pytest

from tests.conftest import NO_PROBES, TINY, Program, assert_clear


@pytest.fixture
def parts(tmp_path: Path, text: str) -> Path:
    """A folder with the parts of a text in files of their own."""
    (tmp_path / "train.txt").write_text(text[:4000])
    (tmp_path / "valid.txt.gz").write_bytes(gzip.compress(text[4000:5000].encode()))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.txt").write_text(text[5000:])
    return tmp_path


def test_from_training_to_evaluation(program: Program, parts: Path) -> None:
    options = ["--val", "valid.txt.gz", "--test", "test/", "--unknown", "replace"]
    result = program("train", "train.txt", *options, *TINY, "--epochs", 1)
    assert result.returncode == 0, result.stderr
    assert "train 4,001, validation 1,001, test " in result.stderr
    facts = json.loads(program("info", "--json").stdout)
    assert facts["separate_texts"]["test"]["sources"] == ["test/a.txt"]
    shown = [line.split() for line in program("info").stdout.splitlines()]
    assert ["validation", "text", "valid.txt.gz"] in shown
    own = json.loads(program("eval", "--json").stdout)
    other = json.loads(
        program("eval", "train", "valid.txt.gz", "--unknown", "replace", "--json").stdout
    )
    assert own["nats_per_char"] == other["nats_per_char"]
    assert program("eval", "--split", "test").returncode == 0
    # The printed command trains the same run.
    full = next(line for line in result.stderr.splitlines() if line.startswith("full command: "))
    words = shlex.split(full.partition("charlstm ")[2])
    again = program(*words, "--name", "again")
    assert again.returncode == 0, again.stderr
    twice = json.loads(program("info", "again", "--json").stdout)
    assert twice["history"] == facts["history"]
    (parts / "test" / "a.txt").write_text("changed")
    assert_clear(program("train", "--resume", "again", "--epochs", 2), 1, "--test", "has changed")


def test_in_a_search(program: Program, parts: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: pip install 'charlstm[search]'")
    command = [
        "search", "train.txt", "--val", "valid.txt.gz", "--test", "test", "--unknown", "skip",
        "--trials", 1, "--trial-epochs", 1, "--try", "dropout=0.1,0.2", *TINY[:6], *NO_PROBES,
    ]  # fmt: skip
    result = program(*command, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert "--val valid.txt.gz --test test" in found["command"]
    assert found["test_nats_per_char"] > 0
    (parts / "test" / "a.txt").write_text("changed")
    assert_clear(program(*command), 1, "belongs to another text")


def test_an_old_text(program: Program, parts: Path) -> None:
    result = program("train", "train.txt", *TINY, "--epochs", 2)
    assert result.returncode == 0, result.stderr
    options: list[object] = [
        "--from",
        "train",
        "--keep-alphabet",
        "--replay-text",
        "train.txt",
        *TINY[2:],
    ]
    options += ["--unknown", "replace", "--epochs", 1, "--replay", 0.25, "--name", "tuned"]
    result = program("train", "test", *options, "--json")
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("  old text ") >= 2
    assert "On the old text, the best model reaches " in result.stderr
    assert "--replay-text train.txt" in result.stderr
    assert json.loads(result.stdout)["base_val_nats"] > 0
    (parts / "train.txt").unlink()
    assert program("eval", "tuned").returncode == 0  # which does not need the old text
    assert_clear(program("train", "--resume", "tuned"), 1, "train.txt", "--replay-text")
