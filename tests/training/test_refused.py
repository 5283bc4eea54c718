"""Checkpoints, texts and options that do not fit a run: resuming it is an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.cells import CELLS
from charlstm.errors import CheckpointError, RunError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.inference.language_model import LanguageModel
from charlstm.training.resume import resume_run
from tests.training.common import (
    Start,
    finish,
    resume,
)


def test_an_average_that_does_not_fit_is_refused(start: Start) -> None:
    trainer = start("average", average=0.9)
    finish(trainer)
    last = load_checkpoint(trainer.run.last)
    without = {k: v for k, v in last.arrays.items() if not k.startswith("average/")}
    for path in trainer.run.checkpoints():
        save_checkpoint(path, last.meta, without)
    with pytest.raises(CheckpointError, match="average"):
        resume(trainer, epochs=5)


def test_what_cannot_change(start: Start, tmp_path: Path) -> None:
    trainer = start("x", epochs=1)
    finish(trainer)
    with pytest.raises(RunError, match=r"--hidden-size cannot change .* it was 12, not 13"):
        resume(trainer, hidden_size=13)
    assert resume(trainer, hidden_size=12, lr=0.5, epochs=2).config.train.lr == 0.5
    (tmp_path / "x.txt").write_text("another text altogether\n" * 30)
    with pytest.raises(RunError, match="is not the one that 'x' was"):
        resume(trainer)


def test_windows_that_do_not_fit_are_refused(start: Start) -> None:
    trainer = start("x", epochs=1)
    finish(trainer)
    whole = load_checkpoint(trainer.run.last)
    meta = json.loads(json.dumps(whole.meta))
    for change in ({"maxlen": 2**31 - 1}, {"batch_size": 2**31 - 1}):
        meta["config"]["windows"] = whole.meta["config"]["windows"] | change
        save_checkpoint(trainer.run.last, meta, whole.arrays)
        with pytest.raises(CheckpointError, match="windows do not fit"):
            resume(trainer)


def test_a_moved_text_can_be_named(start: Start, tmp_path: Path) -> None:
    trainer = start("x", epochs=1)
    finish(trainer)
    (tmp_path / "x.txt").rename(tmp_path / "y.txt")
    again = resume_run(
        trainer.run, {"epochs": 2}, [str(tmp_path / "y.txt")], notice=lambda _text: None
    )
    assert finish(again) == "finished"


@pytest.mark.parametrize("kind", ["optimizer", "rng", "carry"])
def test_a_checkpoint_that_lacks_something_is_refused(start: Start, kind: str) -> None:
    trainer = start("x", epochs=1)
    finish(trainer)
    whole = load_checkpoint(trainer.run.last)
    arrays = {name: a for name, a in whole.arrays.items() if not name.startswith(kind)}
    if kind == "optimizer":  # none at all is that of a run before its first step
        arrays["optimizer/head.bias.step"] = np.array(1, dtype=np.float32)
    save_checkpoint(trainer.run.last, whole.meta, arrays)
    with pytest.raises(CheckpointError, match=r"last\.npz"):
        resume(trainer)


@pytest.mark.parametrize(
    "options", [{"cell": cell} for cell in CELLS] + [{"direction": "both"}], ids=str
)
def test_a_checkpoint_of_another_kind_is_refused(start: Start, options: dict[str, Any]) -> None:
    """Every kind learns, and takes no other kind's weights for its own."""
    trainer = start("x", epochs=8, hidden_size=16, maxlen=16, lr=0.02, **options)
    finish(trainer)
    history = trainer.progress.history
    assert (history[-1]["val_nats"] or 9) < (history[0]["val_nats"] or 0)
    whole = load_checkpoint(trainer.run.last)
    for other in [{"cell": cell} for cell in CELLS] + [{"direction": "both"}]:
        if {"cell": "lstm", "direction": "forward"} | other == (
            {"cell": "lstm", "direction": "forward"} | options
        ):
            continue
        meta = json.loads(json.dumps(whole.meta))
        meta["config"]["model"] |= {"cell": "lstm", "direction": "forward"} | other
        save_checkpoint(trainer.run.last, meta, whole.arrays)
        with pytest.raises(CheckpointError, match=r"last\.npz.*do not fit"):
            resume(trainer)
        with pytest.raises(CheckpointError, match=r"last\.npz.*do not fit"):
            LanguageModel.load(trainer.run.last)
    save_checkpoint(trainer.run.last, whole.meta, whole.arrays)
    with pytest.raises(RunError, match="--direction cannot change"):
        resume(trainer, direction="forward" if options.get("direction") else "both")
