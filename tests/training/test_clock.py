from __future__ import annotations

import pytest

from charlstm.config import Config
from charlstm.format.progress import Progress
from charlstm.training.clock import Stopwatch, TimeBudget, session_stopwatch


def test_time_is_divided() -> None:
    budget = TimeBudget(100.0)
    assert budget.end == 96
    budget.evaluated(0.0, 2.0)
    budget.save_seconds = 0.5
    assert budget.end == 97
    assert budget.elapsed(48.5) == pytest.approx(0.5)
    assert budget.elapsed(97) == budget.elapsed(1000) == 1


def test_evaluations_are_spread_and_leave_the_end_alone() -> None:
    budget = TimeBudget(100.0)
    budget.evaluated(0.0, 0.1)
    times = []
    for tenth in range(1000):
        if budget.evaluation_is_due(tenth / 10, tenth / 1000):
            times.append(tenth / 10)
            budget.evaluated(tenth / 10, 0.1)
    assert times == pytest.approx([10, 20, 30, 40, 50, 60, 70, 80, 90], abs=0.2)
    budget = TimeBudget(100.0)
    budget.evaluated(0.0, 4.0)  # a twentieth of the time at most
    assert [t for t in range(100) if budget.evaluation_is_due(t, t / 100)] == []


def test_evaluations_are_spread_over_a_run_that_ends_before_its_time() -> None:
    """Its epochs take 10 seconds of the hour that it has, after 30 for set-up."""
    budget = TimeBudget(3600.0)
    budget.evaluation_seconds = 0.01
    budget.begin(30.0, 0.0)
    times = []
    for hundredth in range(1, 1000):
        if budget.evaluation_is_due(30 + hundredth / 100, hundredth / 1000):
            times.append(hundredth / 100)
            budget.evaluated(30 + hundredth / 100, 0.01)
    assert times == pytest.approx(range(1, 10), abs=0.2)


def test_no_time_at_all() -> None:
    budget = TimeBudget(1.0)
    budget.save_seconds = 2.0
    assert budget.end == 0
    assert budget.elapsed(0.0) == 1


@pytest.mark.parametrize(
    ("minutes", "ended", "counts"), [(1.0, 0.0, True), (1.0, 60.0, False), (0.0, 0.0, False)]
)
def test_set_up_counts_where_time_ends_the_run(
    monkeypatch: pytest.MonkeyPatch, minutes: float, ended: float, counts: bool
) -> None:
    monkeypatch.setattr("charlstm.training.clock.time.monotonic", lambda: 107.0)
    train = Config().override({"minutes": minutes}).train
    progress = Progress(seconds=5.0, ended=ended)
    assert session_stopwatch(train, progress, 100.0).seconds == (12.0 if counts else 5.0)
    stopwatch = session_stopwatch(train, progress, None)
    assert stopwatch.seconds == 5.0
    stopwatch.start()
    monkeypatch.setattr("charlstm.training.clock.time.monotonic", lambda: 110.0)
    stopwatch.start()  # changes nothing
    assert stopwatch.seconds == 8.0
    assert Stopwatch().seconds == 0.0
