"""What a run reports before it begins."""

from __future__ import annotations

from typing import Any

import pytest

from charlstm.cli.output import counted
from charlstm.cli.report import explain
from charlstm.config import Config
from charlstm.planner.rules import choose
from charlstm.training.plan import plan_training


@pytest.mark.parametrize(
    ("given", "speed", "words"),
    [
        ({"epochs": 100_000}, 1e4, "100,000.0 epochs (--epochs)"),
        ({"epochs": 1}, 1e4, "(--epochs)"),
        ({"epochs": 1, "minutes": 60.0}, 1e6, "(--epochs)"),
        ({"epochs": 1000, "minutes": 600.0}, 1e6, "(--epochs)"),
        ({"epochs": 1000, "minutes": 1.0}, 1e3, "at this machine"),
        ({"minutes": 1.0}, 1e3, "at this machine"),
        ({"minutes": 600.0}, 1e6, "may end earlier"),
        ({}, 1e6, "may end earlier"),
    ],
    ids=str,
)
def test_what_limits_a_run_is_what_is_reported(
    given: dict[str, Any], speed: float, words: str
) -> None:
    seconds = 60 * given.get("minutes", 5.0)
    choice = choose(given, 20_000, seconds, speed)
    config = Config().override({**given, **choice.overrides})
    lines: list[str] = []
    explain(plan_training(["play.txt"], given), config, choice, lines.append)
    reads = next(line for line in lines if line.startswith("expected: "))
    assert words in reads
    ends = ["(--epochs)", "at this machine", "may end earlier"]
    assert sum(end in reads for end in ends) == 1


def test_numbers_and_what_they_count() -> None:
    assert [counted(n, "epoch") for n in (0, 1, 2000)] == ["0 epochs", "1 epoch", "2,000 epochs"]
