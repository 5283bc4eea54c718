"""What a terminal shows of trainings, searches and compilation, and a terminal that closes."""

from __future__ import annotations

import os
import pty
import re
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, TextIO

import pytest

from charlstm.cli.progress import CompileView, View
from charlstm.cli.screen import Screen
from charlstm.config import TrainConfig
from charlstm.training.events import (
    Compiling,
    DecayedEarly,
    Evaluated,
    Previewed,
    Stepped,
    Stopped,
)
from tests.conftest import read_terminal

_END = "<end>"


@dataclass
class Terminal:
    """stderr as a terminal: the program's side of it, and the other."""

    stream: TextIO
    primary: int

    def shown(self) -> str:
        """What it has shown since the last call, without movements of the cursor."""
        self.stream.write(_END)  # what is written arrives a moment later
        self.stream.flush()
        data = read_terminal(self.primary, until=_END.encode()).decode()
        return re.sub(r"\x1b\[\w*", "", data.removesuffix(_END))


@contextmanager
def on_terminal() -> Iterator[Terminal]:
    """A context in which stderr is a terminal."""
    primary, secondary = pty.openpty()
    termios.tcsetwinsize(secondary, (24, 150))
    with os.fdopen(secondary, "w") as stream, redirect_stderr(stream):
        yield Terminal(stream, primary)
    os.close(primary)


def make_view(seconds: list[float], quiet: bool = False) -> View:
    """The view of a run of 1,000 steps, of which 10 are done, with a clock that shows `seconds`."""
    progress, train = SimpleNamespace(step=10), TrainConfig(epochs=4)
    trainer: Any = SimpleNamespace(
        total_steps=1000, progress=progress, config=SimpleNamespace(train=train)
    )
    view = View(trainer, quiet)
    view._since = view._lined_at = 0.0
    view._clock = iter(seconds).__next__
    return view


def step(number: int) -> Stepped:
    return Stepped(number, 1, nats=2.0, lr=0.1, chars=500)


EVENTS = [
    Evaluated(12, 1, train_nats=2.5, val_nats=2.25, average_nats=2.125, is_best=True),
    Evaluated(13, 1, train_nats=2.5, val_nats=None, average_nats=None, is_best=False),
    DecayedEarly(13, best_step=12, until=0.25),
    Previewed(13, "The light"),
]
LINES = [
    "step 12, epoch 1 of 4:  train 2.5000  validation 2.2500 nats, 3.2461 bits/char  "
    "averaged weights 2.1250  (best)",
    "step 13, epoch 1 of 4:  train 2.5000",
    "overfitting: weights of step 12 restored; the learning rate decays to 0, and the run ends at "
    "25% of its length",
    "--- step 13 ---",
    "The light",
    "---",
]


def test_a_training_on_a_terminal() -> None:
    with on_terminal() as terminal:
        view = make_view([0.1, 1.0])
        for event in (step(11), step(12), *EVENTS):
            assert view.show(event) == ""
        assert view.show(Stopped("patience")) == "patience"
        shown = terminal.shown()
        view.close()
        closed = terminal.shown()
    assert "| 12/1000 [" in shown
    assert "2.000 nats, 2.885 bits/char, 1,000 chars/s" in shown
    assert re.findall(r"^(?:step|over|The|---).*", shown.replace("\r", "\n"), re.M) == LINES
    assert closed.endswith("\r")  # the bar is gone


def test_a_training_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A line in ten seconds: 500 characters a second, and 987 steps at a step a second."""
    view = make_view([1.0, 5.0, 10.0])
    for event in (step(11), step(12), step(13), *EVENTS):
        view.show(event)
    view.close()
    lines = capsys.readouterr().err.splitlines()
    speed = "2.000 nats, 2.885 bits/char, 150 chars/s"
    assert lines == [f"step 13 of 1,000  {speed}  54:50 left", *LINES]
    quiet = make_view([], quiet=True)
    for event in (step(11), *EVENTS):
        quiet.show(event)
    assert capsys.readouterr().err == ""


COMPILING = [
    Compiling(1, 0.0, done=False), Compiling(2, 5.0, done=False), Compiling(7, 10.5, done=False),
    Compiling(9, 12.0, done=True),
]  # fmt: skip


def test_compilation_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    checks: list[int] = []
    for quiet in (False, True):
        view = CompileView(quiet, lambda: checks.append(1))
        for event in COMPILING:
            view.show(event)
    assert len(checks) == 2 * len(COMPILING)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("compiling code for this machine")
    assert lines[1:] == ["compiled 7 functions in 0:10", "compiled 9 functions in 0:12: done"]


def test_compilation_on_a_terminal() -> None:
    with on_terminal() as terminal:
        view = CompileView(False, lambda: None)
        for event in COMPILING:
            view.show(event)
        shown = terminal.shown()
    assert "compiling: 0 functions" in shown
    assert "compiled 7 functions" not in shown
    assert "compiled 9 functions in 0:12: done" in shown


@pytest.mark.parametrize("text", ["short", "long\n" * 10_000], ids=["flush", "write"])
def test_a_closed_terminal_ends_the_display_only(text: str) -> None:
    """A short text fails when the buffer is flushed, a long one while it is written."""
    primary, secondary = pty.openpty()
    stream = os.fdopen(secondary, "w")
    with redirect_stderr(stream):
        screen = Screen()
        assert screen.isatty()
        assert screen.fileno() == secondary
        os.close(primary)
        screen.write(text)
        screen.flush()
        with sys.stderr as replaced:
            assert replaced is not stream
            screen.write("more")
            screen.flush()
            assert not screen.isatty()
    with suppress(OSError):  # where text is left in its buffer
        stream.close()
