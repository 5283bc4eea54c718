"""`--split` on the command line: what is held out, and what `info` and `eval` show."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest

from tests.conftest import PLAY, TINY, Program, assert_clear

QUICK = [*TINY, "--epochs", "2"]


@pytest.fixture
def shifted(tmp_path: Path) -> Path:
    """A text whose last tenth is in another alphabet."""
    text = PLAY.read_text("utf-8")[:20_000]
    letters = {ord(c): 0x430 + n for n, c in enumerate(string.ascii_lowercase)}
    path = tmp_path / "shifted.txt"
    path.write_text(text + text[:2499].lower().translate(letters) + "\n", "utf-8")
    return path


def test_auto_says_that_it_takes_blocks(program: Program, shifted: Path) -> None:
    result = program("train", shifted, "--name", "x", *QUICK)
    assert result.returncode == 0, result.stderr
    assert "held out for evaluation: 4 blocks of about 562" in result.stderr
    assert "--split tail" in result.stderr
    facts = json.loads(program("info", "x", "--json").stdout)
    assert facts["config"]["text"]["split"] == facts["held_out"]["method"] == "blocks"
    assert len(facts["held_out"]["val"]) == 4
    assert "split" not in facts["text"]
    shown = program("info", "x").stdout
    assert "validation part 2,250 characters: 2,531 to 3,093, " in " ".join(shown.split())
    score = json.loads(program("eval", "x", "--json").stdout)
    assert score["characters"] == 2250 - 4
    assert score["nats_per_char"] == pytest.approx(
        facts["progress"]["best_nats_per_char"], abs=1e-5
    )
    cold = program("eval", "x", "--protocol", "cold", "--window", "7", "--json", "--split", "train")
    assert json.loads(cold.stdout)["characters"] == 22_500 - 2250 - 5
    both = program("eval", "x", "--dynamic", "--json")
    assert json.loads(both.stdout)["dynamic_nats_per_char"] > 0
    assert_clear(program("eval", "x", "--split", "test"), 1, "test part has 0 characters")


def test_the_tail_of_another_kind_is_told_from_overfitting(program: Program, shifted: Path) -> None:
    result = program("train", shifted, "--name", "x", "--split", "tail", *QUICK)
    assert result.returncode == 0, result.stderr
    assert "blocks of about" not in result.stderr
    assert "differs from the rest: " in result.stderr
    assert "--split blocks" in result.stderr
    assert "--dropout may help" not in result.stderr
    held = json.loads(program("info", "x", "--json").stdout)["held_out"]
    assert held == {"method": "tail", "val": [[20_250, 22_500]], "test": []}


def test_a_resumed_run_keeps_its_split(program: Program, shifted: Path) -> None:
    assert program("train", shifted, "--name", "x", *QUICK, "--stop-after", "1").returncode == 0
    before = json.loads(program("info", "x", "--json").stdout)["held_out"]
    assert_clear(program("train", "--resume", "x", "--split", "tail"), 1, "--split cannot change")
    again = program("train", "--resume", "x", "--split", "blocks")
    assert again.returncode == 0, again.stderr
    assert json.loads(program("info", "x", "--json").stdout)["held_out"] == before


def test_recipes_hold_out_the_tail(program: Program, shifted: Path) -> None:
    result = program("train", shifted, "--name", "x", "--recipe", "char-rnn", *QUICK)
    assert result.returncode == 0, result.stderr
    held = json.loads(program("info", "x", "--json").stdout)["held_out"]
    assert held["method"] == "tail"


def test_short_texts_and_none_held_out(program: Program, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("to be or not to be\n" * 3)
    result = program("train", "short.txt", "--name", "x", "--split", "blocks", *QUICK)
    assert result.returncode == 0, result.stderr
    held = json.loads(program("info", "x", "--json").stdout)["held_out"]
    assert held == {"method": "blocks", "val": [[26, 31]], "test": []}
    none = program("train", "short.txt", "--split", "blocks", "--val-fraction", "0", *QUICK)
    assert none.returncode == 0, none.stderr
    assert "--split has no effect with --val-fraction 0" in none.stderr
    assert "no validation part" in none.stderr
    (tmp_path / "two.txt").write_text("ab")
    most = program(
        "train", "short.txt", "--split", "blocks", "--val-fraction", "0.98", "--name", "y", *QUICK
    )
    assert_clear(most, 1, "at least 2 are needed", "--val-fraction")
    assert_clear(program("train", "short.txt", "--split", "x"), 2, "--split", "blocks")
