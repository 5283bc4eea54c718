"""Runs whose validation and test part are texts of their own."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import charlstm
from charlstm.config import TextConfig
from charlstm.errors import CheckpointError, ConfigError, RunError, SourceError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.runs.folder import Run
from charlstm.runs.manage import contents
from charlstm.text.separate import GivenText
from charlstm.training.loop import Trainer
from charlstm.training.plan import plan_training
from charlstm.training.resume import resume_run
from charlstm.training.session import Callbacks, start
from charlstm.training.texts import find_texts
from tests.training.common import BASE, assert_same_end, finish, run_until

TEXT = "the light is low and the wind is from the north\n"


@pytest.fixture(autouse=True)
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("x.txt").write_text(TEXT * 14)
    Path("val.txt").write_text(TEXT[::-1] * 4)
    Path("test.txt").write_text(TEXT[9:] * 3)
    return tmp_path


def set_up(name: str, **options: Any) -> Trainer:
    separate = {part: GivenText((f"{part}.txt",)) for part in ("val", "test")}
    plan = plan_training(
        ["x.txt"], {**BASE, "name": name, **options}, separate=separate, runs_dir="runs"
    )
    return start(plan, Callbacks(notice=lambda _: None)).trainer


def again(trainer: Trainer, **separate: list[str]) -> Trainer:
    return resume_run(trainer.run, {}, [], notice=lambda _: None, separate=separate)


@pytest.mark.parametrize(
    "options", [{}, {"documents": "line"}, {"stateless": True, "step": 9}], ids=str
)
def test_resume_is_exact(texts: Path, options: dict[str, Any]) -> None:
    whole, parts = set_up("whole", **options), set_up("parts", **options)
    assert finish(whole) == "finished"
    run_until(parts, 9)
    (texts / "val.txt").rename(texts / "moved.txt")
    with pytest.raises(SourceError, match=r"after the options or after --val or after --test\."):
        again(parts)
    resumed = again(parts, val=["moved.txt"])
    assert finish(resumed) == "finished"
    assert_same_end(whole, resumed)
    assert finish(again(parts)) == "finished"  # the new path is recorded


def test_the_patterns_of_one_folder_have_an_effect(texts: Path) -> None:
    """No notice about `--exclude` comes from a text that is a file."""
    folder = texts / "folder"
    folder.mkdir()
    shutil.copy("x.txt", folder)
    shutil.copy("val.txt", folder)
    for exclude, words in (("val.txt", None), ("none.txt", "--exclude none.txt has no effect")):
        said: list[str] = []
        given = {
            "": GivenText(("folder" if words is None else "x.txt",)),
            "val": GivenText(("folder/val.txt" if words is None else "folder",)),
        }
        find_texts(given, TextConfig(exclude=(exclude,)), Path("runs"), said.append)
        assert [line for line in said if "no effect" in line] == [
            line for line in said if words is not None and line.startswith(words)
        ]
        assert len(said) == 1 + (words is not None)


def test_a_changed_text_is_an_error(texts: Path) -> None:
    trainer = set_up("x")
    run_until(trainer, 3)
    (texts / "test.txt").write_text("changed\n")
    with pytest.raises(RunError, match=r"test\.txt is not the one .*\(--test\): it has changed"):
        again(trainer)
    plain = charlstm.train("x.txt", name="plain", runs_dir="runs", **{**BASE, "epochs": 1})
    with pytest.raises(RunError, match=r"has no validation text of its own\.\nOmit --val"):
        resume_run(Run(plain.folder), {}, [], notice=lambda _: None, separate={"val": ["val.txt"]})


def test_a_damaged_record_is_an_error() -> None:
    trainer = set_up("x")
    run_until(trainer, 3)
    found = load_checkpoint(trainer.run.last)
    damages: list[Any] = [["val"], {"other": {}}, {"val": []}]
    for broken in damages:
        meta = json.loads(json.dumps(found.meta))
        meta["corpus"]["separate"] = broken
        save_checkpoint(trainer.run.last, meta, found.arrays)
        with pytest.raises(CheckpointError, match="separate texts is not readable"):
            resume_run(trainer.run, {}, [], notice=lambda _: None)


def test_from_python_and_from_a_pipe(texts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {**BASE, "epochs": 1, "runs_dir": "runs"}
    said: list[str] = []
    run = charlstm.train(
        text=TEXT * 9, val=texts / "val.txt", test_text="the wind: a test\n", unknown="skip",
        name="python", on_notice=said.append, **options,
    )  # fmt: skip
    assert any(line.startswith("the test text has 1 character (1 distinct)") for line in said)
    assert run.best_nats_per_char == pytest.approx(
        run.load().score(TEXT[::-1] * 4 + "\n").nats_per_char, abs=1e-5
    )
    folder = Run(run.folder)
    assert folder.kept_text_of("test").read_text() == "the wind: a test\n"
    assert not folder.kept_text_of("val").exists()
    assert not contents(folder).others
    charlstm.train(resume=run.folder, epochs=2, runs_dir="runs")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((TEXT * 3).encode())))
    piped = charlstm.train("x.txt", val="-", name="pipe", documents="line", **options)
    charlstm.train(resume=piped.folder, epochs=2, runs_dir="runs")
    with pytest.raises(ConfigError, match="either val= or val_text="):
        charlstm.train("x.txt", val="val.txt", val_text="x")
    with pytest.raises(ConfigError, match="val= has no path"):
        charlstm.train("x.txt", val=[])
    with pytest.raises(ConfigError, match="a resumed run keeps its texts"):
        charlstm.train(resume=run.folder, test_text="x")
