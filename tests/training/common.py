"""Starting, stopping and comparing runs of a short text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.config import Config
from charlstm.format.checkpoint import load_checkpoint
from charlstm.training.events import Stepped, Stopped
from charlstm.training.loop import Trainer
from charlstm.training.resume import resume_run
from charlstm.training.setup import new_run

BASE: dict[str, Any] = {
    "hidden_size": 12, "maxlen": 8, "batch_size": 3, "epochs": 3, "sample_every": 0,
    "log_every": 7, "eval_every": 20, "dropout": 0.25, "precision": "float32",
    "kernel": "torch",
}  # fmt: skip

Start = Callable[..., Trainer]


def starter(folder: Path, text: str, base: dict[str, Any] = BASE) -> Start:
    """A function that sets up runs over a text: `start("name", lr=0.1)`.

    Args:
        folder: where the text, `x.txt`, and the runs go.
        text: the text.
        base: options of every run.
    """
    path = folder / "x.txt"
    path.write_text(text)

    def start(
        name: str,
        begun: float | None = None,
        *,
        notice: Callable[[str], None] = lambda _text: None,
        **options: Any,
    ) -> Trainer:
        config = Config().override({**base, **options})
        return new_run(
            [str(path)], config, runs_dir=folder / "runs", name=name, notice=notice, begun=begun
        )

    return start


def resume(trainer: Trainer, **changes: Any) -> Trainer:
    return resume_run(trainer.run, changes, [], notice=lambda _text: None)


def finish(trainer: Trainer) -> str:
    for event in trainer.train():
        last = event
    assert isinstance(last, Stopped)
    return last.reason


def losses(trainer: Trainer) -> list[tuple[Any, ...]]:
    keys = ("step", "epoch", "train_nats", "val_nats")
    return [tuple(line[key] for key in keys) for line in trainer.run.metrics.read()]


def assert_same_end(one: Trainer, other: Trainer) -> None:
    """Bit-identical weights, optimizer, generator, carried state, losses and best checkpoint."""
    for name in ("last", "best"):
        a, b = (load_checkpoint(getattr(trainer.run, name)) for trainer in (one, other))
        assert set(a.arrays) == set(b.arrays)
        for key, array in a.arrays.items():
            np.testing.assert_array_equal(array, b.arrays[key], err_msg=key)
        for meta in (a.meta, b.meta):
            del meta["progress"]["seconds"]
        assert a.meta["progress"] == b.meta["progress"]
    assert losses(one) == losses(other)


def check_resume(
    start: Start, options: dict[str, Any], stops: Callable[[Trainer], Iterable[int]]
) -> None:
    """A run that is stopped and resumed ends in the same bits as one that is not.

    Args:
        start: starts a run.
        options: of the runs.
        stops: the steps to stop at, for the run that was not stopped.
    """
    if options.get("kernel") == "compiled":
        pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    whole = start("whole", **options)
    assert finish(whole) == "finished"
    for stop in stops(whole):
        parts = start(f"parts-{stop}", **options)
        run_until(parts, stop)
        again = resume(parts)
        assert again.progress.step == stop
        assert finish(again) == "finished"
        assert_same_end(whole, again)


def run_until(trainer: Trainer, stop: int) -> None:
    """Train, ask to stop at a step, and let the trainer save."""
    if stop == 0:
        trainer.request_stop()
    for event in trainer.train():
        if isinstance(event, Stepped) and event.step == stop:
            trainer.request_stop()
