"""The width of help: the variable COLUMNS, a terminal's width, or 80 columns."""

from __future__ import annotations

import os
import pty
import sys
import termios
from collections.abc import Iterator

import click
import pytest

from charlstm.cli.help import WideContext


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A pseudo-terminal as standard output."""
    primary, secondary = pty.openpty()
    with open(secondary, "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "__stdout__", file)
        yield secondary
    os.close(primary)


def width() -> int:
    """The columns that help uses."""
    return WideContext(click.Command("x")).make_formatter().width


@pytest.mark.parametrize(
    ("columns", "expected"), [("70", 68), ("300", 98), ("9", 50), ("-4", 88), ("wide", 88)]
)
def test_the_variable_counts_before_the_terminal(
    terminal: int, monkeypatch: pytest.MonkeyPatch, columns: str, expected: int
) -> None:
    termios.tcsetwinsize(terminal, (24, 90))
    monkeypatch.setenv("COLUMNS", columns)
    assert width() == expected


def test_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "__stdout__", None)
    assert width() == 78
