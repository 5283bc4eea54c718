"""`charlstm train` on several texts, on tiny ones, and by the recipes of other programs."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pytest

from tests.conftest import (
    NO_PROBES,
    TINY,
    Program,
)


def test_many_sources_and_standard_input(program: Program, tmp_path: Path, text: str) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text(text[:1000])
    (notes / "b.txt").write_text(text[1000:2000])
    (tmp_path / "more.txt.gz").write_bytes(gzip.compress(text[2000:3000].encode()))
    (tmp_path / "odd.dat").write_bytes(bz2.compress(text[3000:4000].encode()))
    result = program(
        "train", "notes/", "more.txt.gz", "odd.dat", "-", *TINY, "--epochs", 1,
        stdin=text[4000:5000].encode(),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    run = tmp_path / "checkpoints" / "notes"
    parts = [text[start : start + 1000] for start in range(0, 5000, 1000)]
    joined = "".join(part if part.endswith("\n") else part + "\n" for part in parts)
    assert (run / "corpus.txt").read_text() == joined
    # The text came through a pipe, and still the run can go on, and be evaluated.
    again = program("train", "--resume", "--epochs", 2)
    assert again.returncode == 0, again.stderr
    assert program("eval").returncode == 0


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("ab", []),
        ("abcdefg", []),  # maxlen - 1, with the newline that ends the text: maxlen
        ("abcdefgh", []),
        ("abcdefghi", []),
        ("aaaaaaaaaaaaaaaaaaaaaaaaa", []),
        ("\n\n\n\n\n\n\n\n\n\n\n\n", []),
        ("abcdefghijklmnop", ["--stateless", "--targets", "last"]),
        ("abcdefghijklmnop", ["--stateless", "--step", "100"]),
        ("ab", ["--val-fraction", "0"]),
    ],
)
def test_tiny_texts_train(
    program: Program, tmp_path: Path, content: str, options: list[str]
) -> None:
    (tmp_path / "tiny.txt").write_text(content)
    result = program("train", "tiny.txt", *TINY, "--epochs", 2, *options)
    assert result.returncode == 0, result.stderr
    if len(content) < 20 and "--stateless" not in options:
        assert "reduced" in result.stderr
    if len(content) < 10:
        # Of 9 characters and a newline, one is held out.
        why = "the validation part is too short" if len(content) == 9 else "no validation part"
        assert f"{why}: the best checkpoint is the one" in result.stderr
    sample = program("sample", "--length", 20)
    assert sample.returncode == 0, sample.stderr
    assert len(sample.stdout) == 20


@pytest.mark.parametrize(
    "recipe", ["tutorial", "keras", "char-rnn", "torch-rnn", "stacked50", "stacked128"]
)
def test_every_recipe_trains(program: Program, corpus_file: Path, recipe: str) -> None:
    corpus_file.write_text(corpus_file.read_text()[:2000])
    result = program("train", corpus_file.name, "--recipe", recipe, "--epochs", 1, *NO_PROBES)
    assert result.returncode == 0, result.stderr


def test_rare_characters_are_counted_and_shown(program: Program, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("plain text\n" * 50 + "ÿþ\n")
    result = program("train", "x.txt", *TINY, "--epochs", 1, "--min-count", 2)
    assert "2 rare characters (2 occurrences)" in result.stderr
    assert "'ÿ'" in result.stderr
