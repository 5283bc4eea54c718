"""`--minutes`: what counts against it, and how it ends a run."""

from __future__ import annotations

import time
from typing import Any

import pytest

from charlstm.format.checkpoint import load_checkpoint
from charlstm.training.events import Stepped
from charlstm.training.resume import resume_run
from tests.training.common import (
    Start,
    finish,
    resume,
)


class Watch:
    """In place of the module `time`: every look at it takes a moment, and nothing else does.

    So a run of some seconds is the same run on every machine, however busy; that real time ends
    a real run is in `tests/cli/test_minutes.py`.
    """

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        self.now += 0.002
        return self.now

    perf_counter = monotonic


@pytest.mark.parametrize("whole", [True, False])
def test_time_ends_a_run(start: Start, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """The rate falls to 0 by the clock, the end is evaluated and saved, and time is kept."""
    watch = Watch()
    for module in ("clock", "evaluation", "metrics", "saving", "schedule", "setup", "validation"):
        monkeypatch.setattr(f"charlstm.training.{module}.time", watch)
    begun = watch.now
    trainer = start("timed", minutes=6 / 60, epochs=10**6, eval_every=0, average=0.2, warmup=1)
    rates = []
    for event in trainer.train():
        if isinstance(event, Stepped):
            rates.append(event.lr)
            if not whole and trainer.schedule.fraction(trainer.progress) > 0.5:
                trainer.request_stop()
    if not whole:
        assert 2.5 < watch.now - begun < 3.5
        trainer = resume(trainer)
        assert 2.5 < trainer.stopwatch.seconds < 3.5, "the time that is gone counts"
        rates += [event.lr for event in trainer.train() if isinstance(event, Stepped)]
    assert len(rates) > 100
    assert rates[-1] < 0.02 * max(rates) <= 0.02 * trainer.config.train.lr
    assert trainer.progress.evaluated_step == trainer.progress.step == trainer.saver.saved_step
    assert 5.5 < watch.now - begun < 6.3, "not over time by more than 5%, nor much under"
    assert trainer.progress.val_chars == len(trainer.corpus.val)
    again = resume(trainer)
    assert finish(again) == "finished"
    assert again.progress.step == trainer.progress.step


def test_the_time_before_training_counts(start: Start) -> None:
    """Reading, measuring and the first save belong to what `--minutes` gives."""
    trainer = start("early", time.monotonic() - 570, minutes=10.0, epochs=10**6)
    events = trainer.train()
    next(events)
    assert trainer.stopwatch.seconds > 570
    assert trainer.schedule.fraction(trainer.progress) > 0.9
    trainer.request_stop()
    for _ in events:
        continue
    saved = load_checkpoint(trainer.run.last).meta["progress"]["seconds"]
    assert 570 < saved <= trainer.stopwatch.seconds

    def seconds(changes: dict[str, Any], begun: float | None) -> float:
        again = resume_run(trainer.run, changes, [], notice=lambda _text: None, begun=begun)
        assert again._lock is not None
        again._lock.release()
        return again.stopwatch.seconds

    assert seconds({}, None) == saved
    assert seconds({}, time.monotonic() - 20) > saved + 20
    assert seconds({"minutes": 0.0}, time.monotonic() - 20) == saved  # by passes, nobody counts
