"""The losses that are logged: means over characters, deferred, or not finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.config import Config
from charlstm.errors import DivergenceError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.format.progress import Evaluated
from charlstm.training.deferred_losses import DeferredLosses
from charlstm.training.events import Saved, Stepped
from tests.training.common import (
    Start,
    assert_same_end,
    finish,
    losses,
    resume,
    run_until,
)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_changes_nothing(start: Start, where: str) -> None:
    trainer = start("x", save_every=1)
    steps = trainer.train()
    while not (isinstance(event := next(steps), Saved) and event.step == 5):
        pass
    before = [p.detach().clone() for p in trainer.state.parameters]
    saved = trainer.run.last.read_bytes()
    if where == "loss":
        trainer.state.carry[0][0].fill_(math.nan)
    else:
        trainer.state.parameters[0].register_hook(lambda grad: grad * math.inf)  # type: ignore[no-untyped-call]
    with pytest.raises(DivergenceError, match=rf"{where} is no longer finite at step 6.*\n.*--lr"):
        list(steps)
    for old, new in zip(before, trainer.state.parameters, strict=True):
        assert torch.equal(old, new)
    assert trainer.run.last.read_bytes() == saved
    assert resume(trainer).progress.step == 5


def test_label_smoothing_leaves_the_loss_that_is_shown(start: Start) -> None:
    plain, smooth = start("plain", lr=1e-9, dropout=0.0), start(
        "smooth", lr=1e-9, dropout=0.0, label_smoothing=0.5
    )  # fmt: skip
    for trainer in (plain, smooth):
        finish(trainer)
    for a, b in zip(losses(plain), losses(smooth), strict=True):
        assert a[2] == pytest.approx(b[2], abs=1e-5)


@pytest.mark.parametrize("options", [{}, {"log_every": 1000, "eval_every": 1000, "save_every": 9}])
def test_losses_that_are_read_later_are_the_same(start: Start, options: dict[str, Any]) -> None:
    """How a GPU is not waited for: exercised here on a CPU, for the order of things."""
    at_once = start("at-once", **options)
    finish(at_once)
    later = start("later", **options)
    later.losses.late = True
    later.schedule.sync_every = 4
    most = 0
    for _ in later.train():
        most = max(most, len(later.losses))
    assert most == 3  # the fourth is read with the others
    assert losses(later) == losses(at_once)
    one, other = load_checkpoint(at_once.run.last), load_checkpoint(later.run.last)
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, other.arrays[name], err_msg=name)


@pytest.mark.parametrize("stop", [1, 5, 31, 32, 33])
def test_losses_that_are_deferred_survive_a_stop(start: Start, stop: int) -> None:
    """A stop between two readings: what is logged later has the losses of all steps."""
    options = {"log_every": 1000, "eval_every": 1000, "save_every": 1000}
    whole = start("whole", **options)
    finish(whole)
    stopped = start("stopped", **options)
    for trainer in (stopped, None):
        current = trainer or resume(stopped)
        current.losses.late = True
        current.schedule.sync_every = 32
        run_until(current, stop)
        assert len(current.losses) == 0
    assert losses(stopped) == losses(whole)
    assert_same_end(whole, current)


UNEQUAL: list[dict[str, Any]] = [
    {"stateless": True, "step": 5, "batch_size": 7},  # the last batch is smaller
    {"stateless": True, "step": 5, "batch_size": 7, "targets": "last"},
    {"maxlen": 7, "grow": 1.0},  # windows of several lengths
]


@pytest.mark.parametrize("options", UNEQUAL, ids=str)
def test_training_losses_are_means_over_characters(start: Start, options: dict[str, Any]) -> None:
    trainer = start("x", log_every=9, epochs=2, **options)
    nats = chars = 0.0
    epoch = [0.0, 0.0]
    sizes: set[int] = set()
    found: list[tuple[float, float]] = []
    evaluated: list[tuple[float | None, float]] = []
    for event in trainer.train():
        lines = list(trainer.run.metrics.read())  # written after the event of their step
        if len(lines) > len(found):
            found.append((lines[-1]["train_nats"], nats / chars))
            nats = chars = 0.0
        if isinstance(event, Stepped):
            sizes.add(event.chars)
            nats, chars = nats + event.nats * event.chars, chars + event.chars
            epoch = [epoch[0] + event.nats * event.chars, epoch[1] + event.chars]
        elif isinstance(event, Evaluated):
            evaluated.append((event.train_nats, epoch[0] / epoch[1]))
            epoch = [0.0, 0.0]
    assert len(sizes) > 1
    assert len(found) > 3
    for logged, expected in (*found, *evaluated):
        assert logged == pytest.approx(expected, rel=1e-12)


def test_divergence_that_is_read_later_names_its_step_and_saves_nothing(start: Start) -> None:
    trainer = start("late", lr=1e5, optimizer="sgd", clip_norm=0.0, log_every=1000)
    trainer.losses.late = True
    trainer.schedule.sync_every = 5
    with pytest.raises(DivergenceError, match=r"no longer finite at step \d+; what was saved"):
        finish(trainer)
    assert load_checkpoint(trainer.run.last).meta["progress"]["step"] == 0


@pytest.mark.parametrize("bad", [0, 2])
def test_a_deferred_loss_that_is_not_finite_names_its_step(bad: int) -> None:
    deferred = DeferredLosses(Config().train, late=True)
    for number in range(3):
        loss = torch.tensor(math.nan if number == bad else 1.0)
        deferred.add(8 + number, loss, torch.tensor(1.0), 1, 1)
    with pytest.raises(DivergenceError, match=f"loss is no longer finite at step {8 + bad};"):
        deferred.take()
    assert len(deferred) == 0
