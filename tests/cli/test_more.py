"""A run that has ended goes on: with the command that its last line offers, and with others."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from charlstm.config import Config, MoreConfig
from charlstm.format.checkpoint import load_checkpoint
from charlstm.format.progress import Progress
from charlstm.training.resume import extend
from charlstm.training.setup import ENDLESS
from tests.conftest import TINY, Program, assert_clear


def facts(folder: Path) -> dict[str, Any]:
    """What the run's last checkpoint says."""
    return load_checkpoint(folder / "checkpoints" / "play" / "last.npz").meta


def offered(errors: str) -> list[str]:
    """The arguments of the command that a run's last line offers."""
    line = next(line for line in errors.splitlines() if line.startswith("Train more:"))
    words = shlex.split(line.partition(":")[2])
    assert words[0] == "charlstm"
    return words[1:]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--epochs", 2], "finished"),
        (["--minutes", 0.02, "--epochs", 10**6], "finished"),
        (["--minutes", 600, "--epochs", 1, "--eval-every", 30], "finished"),
        (["--epochs", 60, "--patience", 1, "--lr", 2.0], "patience"),
        (["--minutes", 0.0001, "--epochs", 60], "finished"),
    ],
    ids=str,
)
def test_the_command_that_is_offered_goes_on(
    program: Program, corpus_file: Path, tmp_path: Path, options: list[Any], why: str
) -> None:
    corpus_file.write_text(corpus_file.read_text("utf-8")[:2000], "utf-8")
    done = program("train", corpus_file.name, *TINY, *options, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stopped"] == why
    step = facts(tmp_path)["progress"]["step"]
    nothing = program("train", "--resume")
    assert "nothing left to do" in nothing.stderr
    assert offered(nothing.stderr) == offered(done.stderr)
    # An end that comes soon, so that the test does.
    again = program(*offered(done.stderr), "--stop-after", 1, "--quiet", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["step"] > step


def test_more_is_counted_from_where_a_run_stands(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    corpus_file.write_text(corpus_file.read_text("utf-8")[:2000], "utf-8")
    assert program("train", corpus_file.name, *TINY, "--epochs", 2).returncode == 0
    done = program("train", "--resume", "--more-epochs", 3)
    assert "resumed at step" in done.stderr
    assert facts(tmp_path)["progress"]["epoch"] == 5
    done = program("train", "--resume", "--more-minutes", 5, "--stop-after", 1)
    assert done.returncode == 0, done.stderr
    train = facts(tmp_path)["config"]["train"]
    assert 5 < train["minutes"] < 6
    assert facts(tmp_path)["progress"]["epoch"] > 5
    # By epochs again: the time no longer ends it.
    epoch = facts(tmp_path)["progress"]["epoch"]
    assert program("train", "--resume", "--more-epochs", 1).returncode == 0
    assert facts(tmp_path)["progress"]["epoch"] in (epoch + 1, epoch + 2)
    assert facts(tmp_path)["config"]["train"]["minutes"] == 0


def test_extend() -> None:
    def limits(progress: Progress, **more: Any) -> tuple[int, float]:
        config = Config().override({"epochs": 10, "minutes": 0.2})
        train = extend(config, MoreConfig(**more), progress).train
        return train.epochs, round(train.minutes, 9)

    here = Progress(epoch=3, seconds=11.0, ended=12.0)
    assert limits(here) == (10, 0.2)
    assert limits(here, more_epochs=4) == (7, 0)
    assert limits(Progress(epoch=3, index=1), more_epochs=4) == (8, 0)
    assert limits(here, more_minutes=0.25) == (ENDLESS, 0.45)
    assert limits(here, more_minutes=0.25, more_epochs=1) == (4, 0.45)
    assert limits(Progress(epoch=3), more_epochs=ENDLESS) == (ENDLESS, 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["play.txt", "--more-epochs", 2], ["--resume"]),
        (["play.txt", "--more-minutes", 2], ["--resume"]),
        (["--resume", "--more-minutes", 0], ["--more-minutes 0", "0 < x"]),
        (["--resume", "--more-epochs", 0], ["--more-epochs 0", "1 <= x"]),
        (["--resume", "--more-epochs", 2, "--epochs", 2], ["--more-epochs", "--epochs"]),
        (["--resume", "--more-minutes", 2, "--epochs", 2], ["--more-minutes", "--epochs"]),
    ],
    ids=str,
)
def test_errors(
    program: Program, corpus_file: Path, arguments: list[Any], words: list[str]
) -> None:
    assert_clear(program("train", *arguments), 2, *words)


def test_more_epochs_after_patience(program: Program, corpus_file: Path, tmp_path: Path) -> None:
    corpus_file.write_text(corpus_file.read_text("utf-8")[:2000], "utf-8")
    options = ["--epochs", 60, "--patience", 1, "--lr", 2.0]
    assert program("train", corpus_file.name, *TINY, *options).returncode == 0
    before = facts(tmp_path)["progress"]["epoch"]
    assert before < 60
    assert "nothing left to do" in program("train", "--resume").stderr
    assert program("train", "--resume", "--more-epochs", 1).returncode == 0
    assert facts(tmp_path)["progress"]["epoch"] == before + 1
