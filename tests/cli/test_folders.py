"""What the program says of the files of a folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import TINY, Program, assert_clear

SHORT = [*TINY, "--epochs", 1]


@pytest.fixture
def notes(tmp_path: Path, text: str) -> Path:
    """A folder of notes with hidden, binary, linked and unwanted files in it, and runs."""
    notes = tmp_path / "notes"
    for name in ("a.txt", "B.TXT", "drafts/c.txt", ".git/d.txt", "runs/old/corpus.txt"):
        (notes / name).parent.mkdir(parents=True, exist_ok=True)
        (notes / name).write_text(f"{name}\n" + text[:500])
    (notes / "._a.txt").write_bytes(b"\0\5\x16\7")
    (notes / "e.md").write_text("notes")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "f.txt").write_text(text[500:900])
    os.symlink("../more", notes / "linked")
    os.symlink("..", notes / "drafts" / "up")
    return notes


def test_a_folder_is_read_and_what_is_skipped_is_said(program: Program, notes: Path) -> None:
    train = ["train", "notes", *SHORT, "--runs-dir", "notes/runs", "--exclude", "DRAFTS"]
    result = program(*train, "--name", "x")
    assert result.returncode == 0, result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("notes: ")]
    for words in (
        "3 files",
        "2 hidden",
        "1 excluded",
        "1 not matching",
        "1 belonging",
        "--verbose",
    ):
        assert words in line
    assert "e.md" not in result.stderr
    facts = json.loads(program("info", "x", "--runs-dir", "notes/runs", "--json").stdout)
    assert facts["text"]["sources"] == ["notes/B.TXT", "notes/a.txt", "notes/linked/f.txt"]
    assert facts["text"]["skipped"]["hidden"] == 2
    assert facts["config"]["text"]["exclude"] == ["DRAFTS"]
    listed = program(*train, "--name", "y", "--verbose")
    assert "notes/linked/f.txt" in listed.stderr
    for path in ("._a.txt", ".git", "drafts", "e.md", "runs"):
        assert f"notes/{path}: skipped" in listed.stderr
    (full,) = [line for line in listed.stderr.splitlines() if "charlstm train notes" in line]
    assert "--exclude DRAFTS" in full
    assert_clear(program(*train, "--quiet", "--verbose"), 2, "--quiet", "--verbose")


def test_eval_reads_a_folder_by_the_same_rules(
    program: Program, notes: Path, trained: Path
) -> None:
    run = trained / "checkpoints" / "play"
    command = ["eval", run, "notes", "--unknown", "skip", "--json"]
    result = program(*command, "--exclude", "drafts")
    assert result.returncode == 0, result.stderr
    assert "notes: 4 files; 4 skipped: " in result.stderr
    (notes / "bad.txt").write_bytes(b"\0")
    assert_clear(program(*command), 1, "bad.txt", "--exclude bad.txt")
