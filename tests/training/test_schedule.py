"""What is due at which step, and how long a run is."""

from __future__ import annotations

import time
from typing import Any

import pytest

from charlstm.config import Config
from charlstm.format.progress import Progress
from charlstm.training.clock import Stopwatch
from charlstm.training.distributed import DistributedGroup
from charlstm.training.process_group import ProcessGroup
from charlstm.training.rank import RankInfo
from charlstm.training.schedule import Due, TrainSchedule

PER_EPOCH = 10


def schedule_of(stopwatch: Stopwatch | None = None, **options: Any) -> TrainSchedule:
    base = {"maxlen": 8, "batch_size": 2, "epochs": 3, "sample_every": 0}
    config = Config().override({**base, **options})
    return TrainSchedule(config, PER_EPOCH, 100, stopwatch or Stopwatch())


def steps_where(schedule: TrainSchedule, due: Any) -> list[int]:
    """The steps of a run after which `due(progress)` is true."""
    progress, steps = Progress(), []
    while not schedule.is_at_end(progress):
        if progress.chunk == 0:
            progress.chunks = schedule.chunks(progress)
        progress.advance(PER_EPOCH)
        if due(progress):
            steps.append(progress.step)
    assert schedule.fraction(progress) == 1
    return steps


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        ({}, [10, 20, 30]),  # each epoch's end
        ({"eval_every": 4}, [4, 8, 10, 14, 18, 20, 24, 28, 30]),
        ({"grow": 1.0, "epochs": 1}, [30]),  # 5 windows of 4 chunks, 5 of 2; never within a window
        ({"grow": 1.0, "epochs": 1, "eval_every": 5}, [20, 30]),
    ],
)
def test_steps_at_which_to_evaluate(options: dict[str, Any], steps: list[int]) -> None:
    schedule = schedule_of(**options)
    assert steps_where(schedule, lambda p: schedule.evaluation_is_due(p, Due())) == steps
    assert not schedule.evaluation_is_due(Progress(), Due())
    assert not schedule.evaluation_is_due(Progress(step=10, evaluated_step=10), Due())


@pytest.mark.parametrize("grow", [0.0, 0.3, 0.5, 1.0])
def test_the_steps_foreseen_are_those_that_are_done(grow: float) -> None:
    schedule = schedule_of(grow=grow)
    foreseen = schedule.total_steps(Progress())
    assert len(steps_where(schedule, lambda _: True)) == foreseen


def test_steps_at_which_to_log_save_and_preview() -> None:
    schedule = schedule_of(epochs=1, log_every=5, save_every=4, sample_every=3, eval_every=100)
    assert steps_where(schedule, lambda p: schedule.log_is_due(p, Due())) == [5]  # 10: evaluated
    assert steps_where(schedule, lambda p: schedule.due(p, 0.0, stop=False).save) == [4, 8]
    assert steps_where(schedule, schedule.preview_is_due) == [3, 6, 9]
    backward = schedule_of(direction="both", sample_every=3)
    assert steps_where(backward, backward.preview_is_due) == []


def test_losses_are_read_whenever_something_is_due() -> None:
    schedule = schedule_of(epochs=2, log_every=8, save_every=7)
    schedule.sync_every = 6
    assert steps_where(schedule, schedule.sync_is_due) == [6, 7, 8, 10, 12, 14, 16, 18, 20]


def test_saves_at_intervals_of_time() -> None:
    schedule = schedule_of(save_every=0)
    now = time.monotonic()
    assert not schedule.due(Progress(step=1), now, stop=False).save
    assert schedule.due(Progress(step=1), now - 61, stop=False).save


def test_the_clock_says_what_is_due() -> None:
    stopwatch = Stopwatch(0.0, time.monotonic() - 30)
    schedule = schedule_of(stopwatch, minutes=1.0, epochs=10**6)
    progress = Progress(step=5, epoch=1)
    schedule.begin(progress, 0.0)
    due = schedule.due(progress, 0.0, stop=False)
    assert 0.5 < due.elapsed < 0.6  # of what evaluation leaves of the minute
    assert not due.evaluate  # a session has just begun
    assert schedule.evaluation_is_due(progress, Due(evaluate=True))
    assert not schedule.evaluation_is_due(progress, Due())
    schedule.record_elapsed(progress, due.elapsed)
    assert schedule.fraction(progress) == due.elapsed
    assert schedule.total_steps(progress) == round(5 / due.elapsed)
    schedule.record_elapsed(progress, 1.0)
    assert schedule.is_at_end(progress)
    assert progress.ended == 60
    assert schedule.elapsed_at_start(progress) == 1


@pytest.mark.parametrize(
    ("progress", "reason"),
    [
        (Progress(epoch=1), ""),
        (Progress(epoch=2), "paused"),
        (Progress(epoch=3), "finished"),
        (Progress(epoch=2, stale=4), "patience"),
    ],
)
def test_why_a_run_ends(progress: Progress, reason: str) -> None:
    schedule = schedule_of(patience=4, stop_after=2)
    assert schedule.stop_reason(progress, 0) == reason


DUE = Due(stop=True, save=True, evaluate=True, elapsed=0.25)


def test_a_single_process_agrees_with_itself() -> None:
    group = ProcessGroup()
    assert group.agree(DUE, [1.5]) == (DUE, [1.5])
    assert group.on_leader(lambda: 2.5) == 2.5
    assert not group.must_agree


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("orphaned", [False, True])
def test_what_a_process_contributes(
    monkeypatch: pytest.MonkeyPatch, rank: int, orphaned: bool
) -> None:
    """Any process may stop all; only the leader's clock counts."""
    group = DistributedGroup(RankInfo(rank, 2))
    monkeypatch.setattr(DistributedGroup, "is_orphaned", orphaned)
    monkeypatch.setattr(group, "all_reduce", list)
    due, sums = group.agree(DUE, [1.5])
    assert sums == [1.5]
    assert due == (DUE if rank == 0 else Due(stop=True))
    assert group.agree(Due(), [])[0].stop == orphaned
