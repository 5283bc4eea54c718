"""The progress of reading, scoring and writing."""

from __future__ import annotations

import functools
import itertools
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charlstm.cli import eval_texts, evaluate, main
from charlstm.cli import progress as progress_module
from charlstm.cli.dynamic import after_reading
from charlstm.cli.progress import counting, reading, reading_prompt
from charlstm.config import DynamicConfig
from tests.conftest import read_terminal
from tests.models import make_model, save_model

# Long prompts


def test_a_long_prompt_shows_its_progress_and_can_be_stopped(place: Path) -> None:
    # A cell that compiled code does not know takes half a minute for so many characters.
    save_model(place / "gru", make_model("ab", cell="gru"))
    (place / "long").write_text("ab" * 1_500_000)
    script = "from charlstm.__main__ import main; main()"
    arguments = [sys.executable, "-c", script, "sample", "gru", "--prompt-file", "long"]
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=secondary, cwd=place
    ) as process:
        os.close(secondary)
        read_terminal(primary, until=b"reading the prompt")
        process.send_signal(signal.SIGINT)
        shown = read_terminal(primary)
    assert process.returncode == 130
    assert b"stopped" in shown


def test_progress_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter(range(0, 100, 6))
    with reading_prompt(10_000, lambda: next(times)) as progress:
        for done in (2000, 4000, 6000, 8000, 10_000):
            progress(done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # ten seconds apart at least
    assert "4,000 of 10,000 characters, 0:18 left" in lines[0]


def test_progress_of_reading_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks: list[int] = []
    for quiet, expected in ((False, 2), (True, 0)):
        times = itertools.count(0, 6).__next__
        with reading(quiet, lambda: checks.append(1), times) as progress:
            for done in (2000, 4000, 6000, 8000, 10_000):
                progress("counting", done)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == expected
        assert lines[:1] == ["counting: 4,000 characters"][:expected]
    assert len(checks) == 10


@pytest.mark.parametrize(("direction", "window"), [("forward", 0), ("forward", 7), ("both", 0)])
@pytest.mark.parametrize("size", [50, 9001])
def test_scoring_reports_its_progress(direction: str, window: int, size: int) -> None:
    model = make_model("ab", direction)
    done: list[int] = []
    ids = model.texts.encode("ab" * (size // 2) + "a" * (size % 2), "error")
    score = model.score_ids(ids, cold_window=window, progress=done.append)
    assert done == sorted(done)
    assert done[-1] == score.count
    assert model.score_ids(ids, cold_window=window) == score


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ("reading: 100 characters", "evaluating: 99 of 100")),
        (["--dynamic"], ("reading: 100 characters", "evaluating, also with --dynamic: 33 of 100")),
    ],
)
def test_eval_shows_the_progress_of_all_its_parts(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    words: tuple[str, ...],
) -> None:
    """The clock makes each report due."""
    (place / "some.txt").write_text("The light\n" * 10)
    clock = itertools.count(0, 20)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    for name in ("counting", "reading"):
        function = functools.partial(getattr(progress_module, name), clock=time.monotonic)
        monkeypatch.setattr(eval_texts, name, function)
    arguments = [str(place / "play"), str(place / "some.txt"), *options]
    evaluate.command.main(arguments, standalone_mode=False, **main.context_settings)
    shown = capsys.readouterr().err
    for part in words:
        assert part in shown


def test_time_left_does_not_count_what_comes_before_the_first_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([0, 20, 31])  # seconds; the first 20 load code
    with counting(1000, "reading", lambda: next(times)) as progress:
        progress(100)
        progress(320)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 100 of 1,000 characters",
        "reading: 320 of 1,000 characters, 0:34 left",
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_writing_and_filling_report_their_progress(count: int) -> None:
    done: list[int] = []
    make_model("ab").samples(count, length=5, seed=1, written=done.append)
    assert done == [count * n for n in range(1, 6)]
    done.clear()
    make_model("ab", "both").fill("a_b_", count, sweeps=2, seed=1, progress=done.append)
    assert done == [4 * count * n for n in range(1, 4)]


def test_dynamic_reports_its_progress() -> None:
    model = make_model("ab")
    done: list[int] = []
    after_reading(model, "ab" * 40, "error", DynamicConfig(), done.append)
    assert done == [33, 65, 80]
