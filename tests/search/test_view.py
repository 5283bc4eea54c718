"""What a search shows: its trials, its progress on a terminal, and its report."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charlstm.cli import search_view
from charlstm.cli.search import _say_stopped
from charlstm.cli.search_report import report, summary
from charlstm.cli.search_view import SearchView
from charlstm.config import SearchConfig
from charlstm.search import result as results
from charlstm.search.events import Began, Ended, Moved, Noticed, Row
from charlstm.search.finals import Verdict
from charlstm.search.space import parse_space
from charlstm.training.setup import ENDLESS
from tests.cli.test_screen import on_terminal
from tests.search.test_storage import record

SPACE = parse_space(["lr=0.001..0.1:log", "cell=lstm,gru"], {})


def search_of(rows: list[Row], planned: float = 3, *, minutes: float = 0.0, **more: Any) -> Any:
    """A search with these trials."""
    return SimpleNamespace(
        record=record(space=SPACE, minutes=more.pop("trial_minutes", 0.0)),
        plan=SimpleNamespace(
            folder=Path("checkpoints/play-search"), runs_dir=Path("checkpoints"),
            texts=("play.txt",), separate={}, config=SearchConfig(minutes=minutes, **more),
        ),
        planned_trials=planned, continues=bool(rows), outside=["--cell"], rows=lambda: rows,
    )  # fmt: skip


def row(number: int, nats: float | None, seconds: float | None = 60.0, **more: Any) -> Row:
    values = {"lr": 0.01, "cell": "gru"}
    state = more.pop("state", "complete")
    return Row(number, None, f"trial-{number:04d}", values, state, nats, seconds=seconds, **more)


def test_a_search_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three trials have ended, the third is half done: 1/2 + 8 runs of a minute are left."""
    clock = iter([10.0, 10.1, 11.0])
    monkeypatch.setattr(search_view, "time", SimpleNamespace(monotonic=clock.__next__))
    rows = [row(0, 2.5), row(1, 2.25), row(2, None, None, state="running")]
    lines: list[str] = []
    with on_terminal() as terminal:
        view = SearchView(lines.append, quiet=False)
        view.begin(search_of(rows))
        view.show(Began(rows[2], resumed=True))
        for step in (1, 2, 5):  # the second comes too soon to be shown
            view.show(Moved("trial-0002", step, 10))
        for _ in range(2):
            view.show(Noticed("--threads reduced"))
        shown = terminal.shown()
        view.show(Ended(row(2, None, fault="out of memory")))
        view.close()
    assert lines[0].startswith("search continued in checkpoints/play-search: 3 trials of 1 epoch")
    assert lines[1:3] == [
        "tried: lr 0.001..0.1:log, cell lstm,gru",
        "the automatic choice (trial 0) is outside the space: --cell",
    ]
    assert [line.split() for line in lines[3:6]] == [
        ["trial", "nats/char", "time", "lr", "cell"],
        ["0", "2.5000", "1:00", "0.01", "gru", "best", "so", "far"],
        ["1", "2.2500", "1:00", "0.01", "gru", "best", "so", "far"],
    ]
    assert lines[6:8] == ["trial-0002 is resumed", "--threads reduced"]
    assert lines[8].endswith("out of memory")
    status = "2 of 3 trials done; trial-0002 {}; best 2.2500 nats (trial 1); {} left"
    assert status.format("10%", "8:54") in shown
    assert status.format("50%", "8:30") in shown
    assert "20%" not in shown


@pytest.mark.parametrize(
    ("search", "left"),
    [
        (search_of([]), None),  # nothing is known of the time of a trial
        (search_of([row(0, 2.5)], trial_minutes=0.5), 30.0 * (3 + 8 - 1)),
        (search_of([row(0, 2.5)], jobs=2), 60.0 * (3 + 8 - 1) / 2),
        # Trials by epochs, ended by the time of all.
        (search_of([row(0, 2.5), row(1, 2.6)], float("inf"), minutes=10.0), 600.0 - 2 * 60.0),
    ],
    ids=["unknown", "minutes", "jobs", "endless"],
)
def test_the_time_left(search: Any, left: float | None) -> None:
    view = SearchView(lambda _line: None, quiet=True)
    view.begin(search)
    assert view.seconds_left() == left


OPTIONS = {"lr": 0.01, "cell": "gru", "minutes": 0.5, "epochs": ENDLESS, "seed": 3, "threads": 2}


@pytest.fixture
def result() -> results.SearchResult:
    return results.SearchResult(
        winner=row(1, 2.25), run=Path("checkpoints/play-search/trial-0001"), options=OPTIONS,
        verdict=None, importances={"lr": 0.9, "cell": 0.095, "maxlen": 0.005},
        test=results.TestLoss("trial-0001", 2.0, 2), rows=[row(0, 2.5), row(1, 2.25)],
    )  # fmt: skip


def test_the_report(result: results.SearchResult) -> None:
    lines: list[str] = []
    report(search_of([]), result, lines.append)
    assert lines[:3] == [
        "trial 1 is the best; no trial was trained with other seeds",
        "importance of options: lr 90%, cell 10%",
        "test part: 2.0000 nats, 2.8854 bits/char (trial-0001); evaluated 2 times in this search",
    ]
    command = shlex.split(lines[3].removeprefix("full command: "))
    assert command[:3] == ["charlstm", "train", "play.txt"]
    assert command[command.index("--minutes") + 1] == "0.5"
    assert not {"--epochs", "--seed", "--threads"} & set(command)
    assert lines[4:] == [
        "Write text:  charlstm sample checkpoints/play-search/trial-0001",
        "All runs:    charlstm runs --runs-dir checkpoints/play-search",
    ]
    facts = summary(search_of([]), result)
    assert facts["importances"] == {"lr": 0.9, "cell": 0.095, "maxlen": 0.005}
    assert (facts["better"], facts["verdict"], facts["test_readings"]) == (False, None, 2)


def test_the_report_of_a_winner_that_reads_in_both_directions(result: results.SearchResult) -> None:
    verdict = Verdict(1, {1: (2.0, 2.5), 0: (3.0, 3.5)}, gain=1.0, margin=0.5)
    options = {**OPTIONS, "direction": "both", "epochs": 4, "minutes": 0.0}
    both = dataclasses.replace(
        result, verdict=verdict, options=options, importances={}, test=None
    )  # fmt: skip
    lines: list[str] = []
    report(search_of([]), both, lines.append)
    assert lines[:3] == [
        "trial 1 with other seeds: 2.0000, 2.5000; mean 2.2500 nats per character",
        "trial 0 with other seeds: 3.0000, 3.5000; mean 3.2500 nats per character",
        f"trial 1 is the best: {verdict.sentence()}",
    ]
    assert "--epochs 4" in lines[3]
    assert "--minutes" not in lines[3]
    assert lines[4].startswith("Fill blanks: charlstm fill checkpoints/play-search/trial-0001 '")


def test_a_storage_s_password_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _say_stopped(SearchConfig(trials=2, storage="postgresql://me:secret@host/x"))
    shown = capsys.readouterr().err
    assert shown == "stopped; everything is saved. To continue, run the same command.\n"
