"""`best.npz` never gets worse, wherever a run was killed and with whatever options it goes on."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from charlstm.format.checkpoint import load_checkpoint
from charlstm.format.progress import Evaluated, Progress, SavedBest
from charlstm.runs.folder import Run
from charlstm.training.loop import Trainer
from charlstm.training.resume import resume_run
from tests.training.common import Start, starter

BASE: dict[str, Any] = {
    "hidden_size": 8, "maxlen": 8, "batch_size": 3, "epochs": 4, "sample_every": 0, "lr": 0.02,
    "precision": "float32", "kernel": "torch", "keep": 9,
}  # fmt: skip
TEXT = "the light is low and the wind is from the north\n" * 8


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`start("name")` sets up a run over a short text."""
    return starter(tmp_path, TEXT, BASE)


def resume(run: Run, **changes: Any) -> Trainer:
    return resume_run(run, changes, [], notice=lambda _text: None)


def kill_after_best(trainer: Trainer, evaluations: int) -> None:
    """Train until an evaluation has written `best.npz`, but not yet `last.npz`."""
    events = trainer.train()
    for event in events:
        if isinstance(event, Evaluated):
            evaluations -= 1
            if not evaluations:
                break
    assert isinstance(event, Evaluated)
    assert event.is_best
    events.close()  # type: ignore[attr-defined]


def saved_nats(run: Run) -> float:
    return float(load_checkpoint(run.best).meta["progress"]["best_nats"])


RATES = [None, 1e-6, 0.01, 0.05, 1.0]


@pytest.mark.parametrize("val_fraction", [0.1, 0.0])
@pytest.mark.parametrize(("lr", "lost"), [*((lr, 1) for lr in RATES), (None, 0), (0.05, 2)])
def test_best_never_gets_worse(
    start: Start, lr: float | None, lost: int, val_fraction: float
) -> None:
    """Some combinations; tests/system has all."""
    check_best(start, lr, lost, val_fraction)


def check_best(start: Start, lr: float | None, lost: int, val_fraction: float) -> None:
    """`best.npz` never gets worse where a run is killed and goes on.

    Args:
        start: starts a run.
        lr: the learning rate it goes on with; None: the same.
        lost: how many of the newest checkpoints are removed.
        val_fraction: of the text.
    """
    trainer = start("x", val_fraction=val_fraction)
    kill_after_best(trainer, 3)
    run, lowest = trainer.run, saved_nats(trainer.run)
    for path in run.checkpoints()[:lost]:
        path.unlink()
    trainer = resume(run, **({} if lr is None else {"lr": lr}))
    assert trainer.progress.best_nats > lowest
    for event in trainer.train():
        if isinstance(event, Evaluated):
            assert saved_nats(run) <= lowest
            lowest = saved_nats(run)
    assert trainer.progress.best_nats == lowest
    best = load_checkpoint(run.best).meta["progress"]
    assert best["step"] == best["best_step"] == trainer.progress.best_step
    # What was adopted is kept by the next session.
    assert resume(run, epochs=5).progress.best_nats == lowest


def test_the_same_options_end_in_the_same_files(start: Start) -> None:
    whole, killed = start("whole"), start("killed")
    for _ in whole.train():
        continue
    kill_after_best(killed, 2)
    for _ in resume(killed.run).train():
        continue
    for name in ("best.npz", "last.npz"):
        one, other = (load_checkpoint(t.run.folder / name) for t in (whole, killed))
        for meta in (one.meta, other.meta):
            del meta["progress"]["seconds"]
        assert one.meta["progress"] == other.meta["progress"]
        assert one.meta["entries"] == other.meta["entries"]


@pytest.mark.parametrize("kind", ["damaged", "missing", "another run's"])
def test_what_is_no_best_of_this_run_is_replaced(start: Start, tmp_path: Path, kind: str) -> None:
    trainer = start("x")
    kill_after_best(trainer, 2)
    run = trainer.run
    if kind == "damaged":
        content = bytearray(run.best.read_bytes())
        content[len(content) // 2] ^= 1
        run.best.write_bytes(content)
    elif kind == "missing":
        run.best.unlink()
    else:
        (tmp_path / "x.txt").write_text("aaaaaaaaaaaaaaab" * 40)
        other = start("other")
        kill_after_best(other, 2)
        shutil.copy(other.run.best, run.best)
        (tmp_path / "x.txt").write_text(TEXT)
    trainer = resume(run, lr=1e-6)
    for _ in trainer.train():
        continue
    assert saved_nats(run) == trainer.progress.best_nats
    assert load_checkpoint(run.best).meta["config"]["train"]["lr"] == 1e-6


@pytest.mark.parametrize("val_fraction", [0.1, 0.0])
def test_a_lost_best_is_saved_again_by_the_next_evaluation(
    start: Start, val_fraction: float
) -> None:
    trainer = start("x", val_fraction=val_fraction)
    for _ in trainer.train():
        continue
    run, lowest = trainer.run, trainer.progress.best_nats
    run.best.unlink()
    said: list[str] = []
    trainer = resume_run(run, {"epochs": 7, "lr": 1e-6}, [], notice=said.append)
    assert any("best.npz is missing" in line for line in said)
    for event in trainer.train():
        if isinstance(event, Evaluated):
            break
    assert isinstance(event, Evaluated)
    assert event.is_best
    assert saved_nats(run) == trainer.progress.best_nats
    best = load_checkpoint(run.best).meta["progress"]
    assert best["step"] == best["best_step"] == event.step
    for _ in trainer.train():
        continue
    assert saved_nats(run) == trainer.progress.best_nats
    # A best that is there stays, and nothing is said.
    said.clear()
    again = resume_run(run, {"epochs": 9}, [], notice=said.append)
    assert again.progress.best_nats == trainer.progress.best_nats
    assert not any("best.npz" in line for line in said)
    assert math.isfinite(lowest)


@pytest.mark.parametrize(
    ("step", "nats", "is_best", "best"),
    [
        (5, 1.3, True, (1.3, 5)),  # as it was the first time: `best.npz` is ahead
        (10, 1.0, True, (1.0, 10)),  # the exact repetition
        (10, 1.1, False, (1.0, 10)),
        (12, 1.4, False, (1.0, 10)),
        (12, 2.5, False, (1.0, 10)),
        (12, 0.9, True, (0.9, 12)),
        (5, 0.9, True, (0.9, 5)),
    ],
)
def test_a_best_that_is_ahead(
    step: int, nats: float, is_best: bool, best: tuple[float, int]
) -> None:
    progress = Progress(step=step, best_nats=2.0, best_step=1)
    evaluated = progress.evaluate(nats, None, SavedBest(1.0, 10))
    assert evaluated.is_best == is_best
    assert (progress.best_nats, progress.best_step) == best
    assert progress.stale == (0 if is_best else 1)
    assert Progress().evaluate(1.0, None, None).is_best
    assert not Progress(best_nats=1.0).evaluate(math.inf, None, None).is_best
