"""`--on-overfit decay`: what begins an early decay, and that it is exact on resume."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.format.checkpoint import load_checkpoint
from charlstm.format.progress import Evaluated, Progress
from charlstm.training.events import DecayedEarly, Stepped
from charlstm.training.loop import Trainer
from charlstm.training.state import weights_of
from tests.training.common import (
    BASE,
    Start,
    assert_same_end,
    check_resume,
    finish,
    resume,
    run_until,
    starter,
)
from tests.training.test_schedule import PER_EPOCH, schedule_of

OPTIONS = {"on_overfit": "decay", "epochs": 30, "eval_every": 0, "lr": 0.05, "dropout": 0.0}


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`start("name", lr=0.1)` sets up a run over random letters, which can only be memorised."""
    return starter(
        tmp_path, "".join(random.Random(3).choices("abcdefgh", k=600)), {**BASE, **OPTIONS}
    )


def evaluated(progress: Progress, train_nats: float, val_nats: float) -> None:
    """Add an evaluation to `progress`."""
    progress.epoch_nats, progress.epoch_chars = train_nats, 1
    progress.evaluate(val_nats, None)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([(2.0, 2.0)], False),  # nothing to compare with
        ([(2.0, 2.0), (1.5, 1.9)], False),  # the validation loss falls
        ([(2.0, 2.0), (1.5, 2.005)], False),  # rises by no more than chance
        ([(2.0, 2.0), (2.1, 2.2)], False),  # the training loss rises, too: not overfitting
        ([(2.0, 2.0), (1.5, 2.02)], True),
        ([(2.0, 2.0), (1.5, 2.005), (1.4, 2.02)], True),
    ],
)
def test_what_counts_as_overfitting(losses: list[tuple[float, float]], expected: bool) -> None:
    schedule, progress = schedule_of(on_overfit="decay", warmup=0), Progress()
    for train_nats, val_nats in losses:
        progress.step = progress.index = progress.step + 3
        evaluated(progress, train_nats, val_nats)
    assert schedule.overfits(progress) is expected
    assert not schedule_of().overfits(progress)  # by default, training continues
    for other in ("constant", "step"):
        assert not schedule_of(on_overfit="decay", schedule=other).overfits(progress)


@pytest.mark.parametrize(("step", "expected"), [(12, False), (13, True), (26, True)])
def test_the_best_evaluation_is_some_time_ago(step: int, expected: bool) -> None:
    """100 steps, best after 10: 3 steps before a rise counts at the peak rate."""
    schedule, progress = schedule_of(on_overfit="decay", warmup=0, epochs=10), Progress(step=10)
    evaluated(progress, 2.0, 2.0)
    progress.step, progress.epoch, progress.index = step, step // 10, step % 10
    evaluated(progress, 1.5, 2.5)
    assert schedule.overfits(progress) is expected


def test_at_a_low_rate_a_rise_counts_sooner() -> None:
    schedule, progress = schedule_of(on_overfit="decay", warmup=0, epochs=10), Progress(step=90)
    evaluated(progress, 2.0, 2.0)
    progress.step, progress.epoch, progress.index = 96, 9, 6  # at 1/15 of the peak: 2% of 90 steps
    evaluated(progress, 1.5, 2.5)
    assert schedule.overfits(progress)


def test_the_rate_falls_from_where_it_is_to_zero_in_half_of_the_best_run() -> None:
    """3 epochs of 10 steps. Best after 6 steps, overfits after 9: 3 more steps, to 40%."""
    schedule = schedule_of(on_overfit="decay", warmup=0, lr=0.5)
    progress = Progress(step=6, index=6)
    evaluated(progress, 2.0, 2.0)
    progress.step = progress.index = 9
    evaluated(progress, 1.5, 2.5)
    assert schedule.overfits(progress)
    schedule.begin_early_decay(progress)
    assert (progress.decay_from, progress.decay_until) == pytest.approx((0.3, 0.4))
    assert schedule.total_steps(progress) == 12
    rates = []
    while not schedule.is_at_end(progress):
        rates.append(schedule.learning_rate(progress))
        progress.advance(PER_EPOCH)
    assert progress.step == 12
    assert rates == pytest.approx([0.5, 0.5 * 2 / 3, 0.5 / 3])
    # At the end of that decay: another one of half the length, four times at most.
    ends = ((12, 13.5, 0.15), (14, 14.75, 0.045), (15, 15.375, 0.0135), (16, 16.1875, 0.00405))
    for number, (begin, end, rate) in enumerate(ends, 2):
        evaluated(progress, 1.6, 2.4)
        assert schedule.overfits(progress)
        schedule.begin_early_decay(progress)
        assert progress.decays == number
        assert (progress.decay_from, progress.decay_until) == pytest.approx((begin / 30, end / 30))
        assert schedule.learning_rate(progress) == pytest.approx(rate)
        while not schedule.is_at_end(progress):
            progress.advance(PER_EPOCH)
    evaluated(progress, 1.6, 2.4)
    assert not schedule.overfits(progress)
    assert schedule.is_at_end(progress)
    assert schedule.stop_reason(progress, 0) == "finished"


def test_the_best_weights_are_restored_and_the_run_ends_early(start: Start) -> None:
    trainer = start("x")
    weights: dict[int, dict[str, np.ndarray[Any, Any]]] = {}
    decayed, last = None, None
    for event in trainer.train():
        if isinstance(event, Evaluated) and event.is_best and decayed is None:
            weights[event.step] = weights_of(trainer.state.network)
        if isinstance(event, DecayedEarly):
            decayed = event
            for name, array in weights_of(trainer.state.network).items():
                np.testing.assert_array_equal(array, weights[event.best_step][name])
        if isinstance(event, Stepped):
            last = event
    assert decayed is not None
    assert last is not None
    assert decayed.step > decayed.best_step
    assert trainer.progress.epoch < 30
    assert trainer.schedule.fraction(trainer.progress) >= decayed.until
    assert last.lr < 0.05 / 4
    best = load_checkpoint(trainer.run.best).arrays
    last_arrays = load_checkpoint(trainer.run.last).arrays
    for name, array in best.items():
        if name.startswith("model/"):
            np.testing.assert_array_equal(array, last_arrays[name.replace("model/", "best/")])


def decays(trainer: Trainer) -> list[DecayedEarly]:
    """Train to the end; the early decays that began."""
    return [event for event in trainer.train() if isinstance(event, DecayedEarly)]


@pytest.mark.parametrize(
    "options",
    [{}, {"average": 0.5}, {"grow": 0.9, "dropout": 0.2}, {"stateless": True, "step": 5}],
    ids=str,
)
def test_resume_is_exact_across_an_early_decay(start: Start, options: dict[str, Any]) -> None:
    found = [event.step for event in decays(start("probe", **options))]
    assert found
    first, last = found[0], found[-1]
    stops = {first - 9, first - 1, first, first + 1, last - 1, last, last + 1}

    def before_the_end(whole: Trainer) -> list[int]:
        return sorted(step for step in stops if step < whole.progress.step)

    check_resume(start, options, before_the_end)


def test_a_finished_run_has_nothing_left_to_do(start: Start) -> None:
    whole = start("whole")
    finish(whole)
    steps = whole.progress.step
    again = resume(whole)
    assert finish(again) == "finished"
    assert again.progress.step == steps
    assert_same_end(whole, again)


def test_another_length_follows_its_own_schedule(start: Start) -> None:
    whole = start("whole")
    finish(whole)
    again = resume(whole, epochs=60)
    assert again.progress.decay_step == 0
    assert again.schedule.learning_rate(again.progress) == 0.05  # raised again
    step = again.progress.step
    run_until(again, step + 3)
    assert again.progress.step == step + 3


def test_the_option_changes_nothing_before_the_decay(start: Start) -> None:
    one = start("one")
    finish(one)
    before = one.progress.decay_step - 1
    other, again = start("other", on_overfit="continue"), start("again")
    for trainer in (other, again):
        run_until(trainer, before)
        assert trainer.progress.step == before
    assert (other.state.best, bool(again.state.best)) == ([], True)
    for a, b in zip(again.state.parameters, other.state.parameters, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
