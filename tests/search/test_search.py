"""`charlstm search`, with trials that take a moment."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from charlstm.cli.search_view import table_line
from charlstm.search.control import Control
from charlstm.search.events import Row
from tests.conftest import Program, assert_clear, run_program
from tests.search.common import QUICK, TRY

ARGUMENTS = ["search", "play.txt", *QUICK, *TRY, "--test-fraction", "0.1", "--json"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, text: str) -> tuple[Path, dict[str, Any], str]:
    """A search of two trials: its folder, its result, and what it said. Not to be changed."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "play.txt").write_text(text, "utf-8")
    result = run_program(*ARGUMENTS, "--trials", "2", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout), result.stderr


def losses(result: dict[str, Any]) -> dict[str, tuple[Any, float]]:
    """Values and loss of each run."""
    return {row["run"]: (row["values"], row["nats"]) for row in result["trials"]}


def test_a_search(done: tuple[Path, dict[str, Any], str]) -> None:
    _, result, said = done
    rows = result["trials"]
    assert [(row["number"], row["seed"]) for row in rows[:2]] == [(0, None), (1, None)]
    assert {(row["number"], row["seed"]) for row in rows[2:]} == {
        (number, seed) for number in (0, 1) for seed in (2, 3)
    }
    assert all(row["state"] == "complete" for row in rows)
    # Trial 0 is what `train` chooses.
    assert rows[0]["values"] == {"lr": 0.008, "cell": "coupled"}
    assert result["winner"] in (0, 1)
    assert Path(result["run"]).name in {
        row["run"] for row in rows if row["number"] == result["winner"]
    }
    assert result["test_readings"] == 1
    for words in ("trial 0 with other seeds: ", "is the best: ", "test part: ", "full command: "):
        assert words in said
    assert "Optuna" not in said
    winner = rows[result["winner"]]
    assert f"--lr {winner['values']['lr']} " in result["command"]
    assert "--seed" not in result["command"]


def test_the_full_command_trains_the_winner(
    done: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    folder, result, _ = done
    shutil.copy(folder / "play.txt", tmp_path)
    words = result["command"].split()[1:]
    trained = run_program(*words, "--json", "--sample-every", "0", cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    loss = json.loads(trained.stdout)["best_nats_per_char"]
    assert loss == result["trials"][result["winner"]]["nats"]


def test_trials_are_ordinary_runs(done: tuple[Path, dict[str, Any], str]) -> None:
    folder, result, _ = done
    listed = run_program("runs", "--json", "--runs-dir", "checkpoints/play-search", cwd=folder)
    found = {json.loads(line)["name"]: json.loads(line) for line in listed.stdout.splitlines()}
    assert found.keys() == losses(result).keys()
    for name, (_, nats) in losses(result).items():
        assert found[name]["nats_per_char"] == nats
    wrote = run_program("sample", result["run"], "--length", "20", cwd=folder)
    assert wrote.returncode == 0, wrote.stderr
    assert "play-search" not in run_program("runs", cwd=folder).stdout


def test_the_same_command_continues(done: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    folder, result, _ = done
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    again = run_program(*ARGUMENTS, "--trials", "2", cwd=tmp_path)
    assert json.loads(again.stdout) == result  # the test part is not read again, either
    assert "search continued in" in again.stderr


def test_ctrl_c_saves_and_the_same_command_continues(
    done: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    folder, result, _ = done
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    arguments = [*ARGUMENTS, "--trials", "3", "--sampler", "random"]
    die = ["charlstm.training.loop.Trainer._step", 3, False, signal.SIGINT]
    stopped = run_program(*arguments, cwd=tmp_path, die=die)
    assert (stopped.returncode, stopped.stdout) == (130, ""), stopped.stderr
    assert stopped.stderr.splitlines()[-2:] == [
        "stopped; everything is saved. To continue, run the same command:",
        shlex.join(["charlstm", *arguments]),
    ]
    more = run_program(*arguments, cwd=tmp_path)
    assert "trial-0002 is resumed" in more.stderr
    after = json.loads(more.stdout)
    assert losses(result).items() <= losses(after).items()
    assert [row["number"] for row in after["trials"] if row["seed"] is None] == [0, 1, 2]


def test_a_grid_ends_by_itself(program: Program, corpus_file: Path) -> None:
    arguments = ["search", "play.txt", *QUICK, "--sampler", "grid", "--try", "cell=gru,coupled"]
    result = program(*arguments, "--json")
    assert result.returncode == 0, result.stderr
    rows = [row for row in json.loads(result.stdout)["trials"] if row["seed"] is None]
    # The automatic choice is one of the two points, and is not tried again.
    assert [row["values"] for row in rows] == [{"cell": "coupled"}, {"cell": "gru"}]


def test_an_automatic_choice_outside_the_space(program: Program, corpus_file: Path) -> None:
    arguments = ["search", "play.txt", *QUICK, "--try", "cell=gru,lstm", "--trials", "2"]
    result = program(*arguments, "--json")
    assert "the automatic choice (trial 0) is outside the space: --cell" in result.stderr
    rows = [row for row in json.loads(result.stdout)["trials"] if row["seed"] is None]
    assert rows[0]["values"] == {}
    assert rows[0]["nats"] is not None
    assert rows[1]["values"]["cell"] in ("gru", "lstm")


def test_no_trial_has_a_loss(program: Program, corpus_file: Path) -> None:
    arguments = ["search", "play.txt", *QUICK, "--lr", "1e6", "--try", "cell=lstm,coupled"]
    result = program(*arguments, "--optimizer", "sgd", "--clip-norm", "0", "--trials", "2")
    assert_clear(result, 1, "no trial of", "has a validation loss", "--trial-epochs")


LENGTH = ["--trials", "2"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ["give a text"]),
        (["play.txt"], 2, ["--minutes, or --trials"]),
        (["-", *LENGTH], 2, ["standard input", "to a file"]),
        (["none.txt", *LENGTH], 1, ["none.txt"]),
        (["play.txt", *LENGTH, "--try", "hiden-size=1,2"], 2, ["Did you mean hidden-size?"]),
        (["play.txt", *LENGTH, "--try", "zoneout=0.1,0.2"], 2, ["allow no combination", "zoneout"]),
        (["play.txt", *LENGTH, "--sampler", "grid"], 2, ["--sampler grid needs --try"]),
        (["play.txt", *LENGTH, "--minutes", "1", "--prune"], 2, ["--prune", "--trial-epochs"]),
        (["play.txt", *LENGTH, "--trial-minutes", "1", "--trial-epochs", "1"], 2, ["omit one"]),
        (["play.txt", "--minutes", "9", "--trial-minutes", "1"], 2, ["too short", "--minutes 10"]),
        (["play.txt", *LENGTH, "--val-fraction", "0"], 2, ["validation part", "--val-fraction"]),
        (["play.txt", *LENGTH, "--storage", "sqlite:////no/x.db"], 1, ["cannot be used"]),
        (["play.txt", *LENGTH, "--name", "run"], 1, ["is a run", "--name"]),
        (["play.txt", *LENGTH, "--name", "../x"], 2, ["--name"]),
    ],
)
def test_what_cannot_be_searched(
    program: Program, corpus_file: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    run = corpus_file.parent / "checkpoints" / "run"
    run.mkdir(parents=True)
    (run / "last.npz").touch()
    assert_clear(program("search", *arguments, *QUICK[:-2]), code, *words)
    assert sorted(path.name for path in run.parent.iterdir()) == ["run"]  # nothing is left


def test_another_text(done: tuple[Path, dict[str, Any], str], tmp_path: Path) -> None:
    folder, _, _ = done
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "play.txt").open("a") as file:
        file.write("More.\n")
    before = (tmp_path / "checkpoints/play-search/journal.log").read_bytes()
    result = run_program(*ARGUMENTS, "--trials", "2", cwd=tmp_path)
    assert_clear(result, 1, "belongs to another text", "--name")
    assert (tmp_path / "checkpoints/play-search/journal.log").read_bytes() == before


def test_a_request_to_stop_reaches_the_training() -> None:
    class Training:
        stops = 0

        def stop(self) -> None:
            self.stops += 1

    control, first, second = Control(), Training(), Training()
    with control.attached(first):
        control.request_stop()
    with control.attached(second):  # begun after the request
        pass
    assert (first.stops, second.stops) == (1, 1)


def test_a_line_of_the_table() -> None:
    row = Row(3, None, "trial-0003", {"lr": 0.0123456, "cell": "lstm"}, "complete", 1.5, "", 61.0)
    assert table_line(row, ["lr", "cell", "maxlen"]).split() == [
        "3", "1.5000", "1:01", "0.0123", "lstm", "-",
    ]  # fmt: skip
    failed = Row(3, 2, "trial-0003-seed-2", {}, "failed", None, "out of memory")
    assert table_line(failed, []).split() == ["3", "seed", "2", "-", "-", "out", "of", "memory"]
