"""What the program says of the files of a folder."""

from __future__ import annotations

import functools
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest

from charlstm.errors import SourceError
from charlstm.text.sources import find_sources
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


def test_patterns_without_effect_are_reported(program: Program, notes: Path, trained: Path) -> None:
    run = trained / "checkpoints" / "play"
    for command in (["train", *SHORT], ["eval", run, "--unknown", "skip"]):
        result = program(*command, "notes", "more", "--exclude", "notes/drafts", "--exclude", "B.*")
        assert result.returncode == 0, result.stderr
        (line,) = [line for line in result.stderr.splitlines() if "has no effect" in line]
        assert "--exclude notes/drafts" in line
        result = program(*command, "notes/a.txt", "--exclude", "a.txt", "--glob", "*.md")
        assert result.returncode == 0, result.stderr
        found = [line for line in result.stderr.splitlines() if "has no effect" in line]
        assert [line.split()[0] for line in found] == ["--glob", "--exclude"]
        assert "no effect" not in program(*command, "notes/a.txt").stderr


def test_several_patterns_are_read_and_resumed(program: Program, notes: Path) -> None:
    patterns = ("--glob", "*.md", "--glob", "drafts/*")
    train = ("train", "notes", *SHORT, *patterns, "--exclude", "up", "--name", "x")
    result = program(*train)
    assert result.returncode == 0, result.stderr
    assert "--glob '*.md' --glob 'drafts/*'" in result.stderr
    facts = json.loads(program("info", "x", "--json").stdout)
    assert facts["config"]["text"]["glob"] == ["*.md", "drafts/*"]
    assert "notes/e.md" in facts["text"]["sources"]
    result = program("train", "--resume", "x", "--more-epochs", "1", *patterns)
    assert result.returncode == 0, result.stderr
    result = program("train", "--resume", "x", "--more-epochs", "1", "--glob", "*.md")
    assert_clear(result, 1, "--glob", "it was '*.md' 'drafts/*', not '*.md'")
    assert_clear(program(*train[:2], "--glob", "x", "--glob", "y"), 1, "matches 'x' or 'y'")


def test_a_pattern_that_matches_nothing_suggests_another(program: Program, notes: Path) -> None:
    for pattern, other in (("c.txt", "'**/c.txt'"), ("x/*", "'**/*'"), ("**", "'**/*'")):
        folder = "notes" if pattern != "**" else "notes/empty"
        (notes / "empty").mkdir(exist_ok=True)
        result = program("train", folder, "--glob", pattern)
        assert_clear(result, 1, pattern, f"--glob {other}")


def test_a_file_in_place_of_the_runs_folder_is_named(program: Program, notes: Path) -> None:
    for folder in ("notes/a.txt", "notes/a.txt/deeper"):
        result = program("train", "more/f.txt", "--runs-dir", folder)
        assert_clear(result, 1, "notes/a.txt is not a folder", "--runs-dir")


def test_a_full_disk_for_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text is short: writing its buffer fails, and closing the file writes it again."""
    full = functools.partial(open, "/dev/full", "w+b")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the light\n")))
    with pytest.raises(SourceError, match=r"standard input .*No space.*\n.*TMPDIR"):
        find_sources(["-"])
