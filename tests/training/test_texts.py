"""Runs on texts as users have them go on with the very same text: folders, pipes, old runs."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from charlstm.config import Config
from charlstm.errors import CorpusError, RunError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.runs.folder import Run
from charlstm.training.resume import resume_run
from charlstm.training.setup import new_run

TINY = Config().override(
    {"hidden_size": 4, "maxlen": 5, "batch_size": 2, "epochs": 1, "precision": "float32",
     "kernel": "torch", "sample_every": 0, "threads": 1}
)  # fmt: skip


def train(*arguments: str | Path, runs: Path, **changes: Any) -> tuple[Run, list[str]]:
    """A new run that is stopped at once, and what was said of its text."""
    said: list[str] = []
    places = [str(argument) for argument in arguments]
    trainer = new_run(
        places, TINY.override(changes), runs_dir=runs, name="x", notice=said.append,
        details=said.append,
    )  # fmt: skip
    trainer.request_stop()
    assert [type(event).__name__ for event in trainer.train()][-1] == "Stopped"
    return trainer.run, said


def resume(run: Run, *arguments: str | Path) -> str:
    """Resume, stop at once, and the text."""
    places = [str(argument) for argument in arguments]
    trainer = resume_run(run, {}, places, notice=lambda _: None)
    trainer.request_stop()
    assert [type(event).__name__ for event in trainer.train()][-1] == "Stopped"
    return trainer.corpus.tokenizer.decode(trainer.corpus.ids)


@pytest.fixture
def notes(tmp_path: Path, text: str) -> Path:
    """A folder of notes with hidden, binary, linked and unwanted files in it."""
    notes = tmp_path / "notes"
    for name in ("a.txt", "B.TXT", "drafts/c.txt", ".git/d.txt"):
        (notes / name).parent.mkdir(parents=True, exist_ok=True)
        (notes / name).write_text(f"{name}\n{text[:200]}\n")
    (notes / "._a.txt").write_bytes(b"\0\5\x16\7")
    (notes / "e.md").write_text("notes")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "f.txt").write_text(f"f.txt\n{text[:200]}\n")
    os.symlink("../more", notes / "linked")
    os.symlink("..", notes / "drafts" / "up")
    return notes


def test_a_folder_with_the_runs_in_it_stays_the_same_text(notes: Path) -> None:
    runs = notes / "runs"
    (runs / "old").mkdir(parents=True)
    (runs / "old/corpus.txt").write_text("of another run")
    run, said = train(notes, runs=runs, exclude=("drafts",))
    assert said[0].startswith(f"{notes}: 3 files; 5 skipped: 2 hidden, ")
    assert sum(": skipped, " in line for line in said) == 5
    meta = load_checkpoint(run.last).meta["corpus"]
    assert meta["num_sources"] == 3
    assert meta["skipped"] == {
        "hidden": 2, "excluded": 1, "belonging to runs": 1, "not matching --glob": 1
    }  # fmt: skip
    joined = resume(run)
    assert [name for name in ("B.TXT", "a.txt", "f.txt", "c.txt", "d.txt") if name in joined] == [
        "B.TXT", "a.txt", "f.txt"
    ]  # fmt: skip
    # Moved to another place in the text's folder, it is no part of the text there either.
    moved = Run(notes / "mine" / "x")
    moved.folder.parent.mkdir()
    shutil.move(run.folder, moved.folder)
    shutil.rmtree(runs)
    (moved.folder / "corpus.txt").write_text("kept text")
    assert resume(moved) == joined


def test_a_run_from_before_the_rules_for_folders_goes_on(notes: Path, tmp_path: Path) -> None:
    (notes / "._a.txt").unlink()
    by_old_rules = sorted(path for path in notes.glob("**/*.txt") if path.is_file())
    assert notes / ".git/d.txt" in by_old_rules
    assert notes / "B.TXT" not in by_old_rules
    run, _ = train(*by_old_rules, runs=tmp_path / "runs")
    found = load_checkpoint(run.last)
    meta = json.loads(json.dumps(found.meta))
    del meta["corpus"]["folder_rules"], meta["config"]["text"]["exclude"]
    meta["paths"] = [str(notes)]
    save_checkpoint(run.last, meta, found.arrays)
    joined = resume(run)
    assert "d.txt" in joined
    assert resume(run) == joined  # what it saved says so, too
    assert resume(run, notes) == joined
    (notes / ".git/d.txt").unlink()
    with pytest.raises(RunError, match=r"has changed \(3 files then, 2 now\)"):
        resume(run)


@pytest.mark.parametrize(
    ("data", "encoding", "begin"),
    [
        (codecs.BOM_UTF8 * 2 + b"two marks\n" * 20, "utf-8", "\ufefftwo"),
        (gzip.compress("BZh91AY&SY: é\n".encode() * 20), "utf-8", "BZh91AY&SY: é"),
        ("\ufefftwo marks\n".encode("utf-16") * 20, "utf-8", "\ufefftwo"),
        ("\ufeffa mark\n".encode("gb18030") * 20, "gb18030", "\ufeffa mark"),
        (b"caf\xe9\n" * 20, "latin-1", "café"),
    ],
    ids=["two marks", "a signature in a packed text", "UTF-16", "GB 18030", "latin-1"],
)
def test_what_came_through_a_pipe_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, encoding: str, begin: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    run, _ = train("-", runs=tmp_path / "runs", encoding=encoding)
    assert resume(run).startswith(begin)
    assert resume(run) == run.kept_text.read_text("utf-8")


def test_markup_and_latin_1_controls_are_said(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html><body>" + "<p>the light is low</p>\n" * 20)
    _, said = train(tmp_path / "page.html", runs=tmp_path / "html")
    assert any("page.html is HTML" in line for line in said)
    (tmp_path / "windows.txt").write_bytes(("“It’s” – she said …\n" * 20).encode("cp1252"))
    _, said = train(tmp_path / "windows.txt", runs=tmp_path / "w", encoding="latin-1")
    assert any("--encoding cp1252" in line for line in said)


def test_too_short_a_text_is_refused_before_the_machine_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object) -> None:
        raise AssertionError("measured")

    monkeypatch.setattr("charlstm.training.setup.pick_precision", measure)
    (tmp_path / "short.txt").write_text("\n")
    with pytest.raises(CorpusError, match="at least 2"):
        train(tmp_path / "short.txt", runs=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
