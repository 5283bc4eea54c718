"""A run that is stopped and resumed ends as one that was not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from charlstm.cells import CELLS, TRAINING_KERNEL_CELLS, ZONEOUT_CELLS
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.training.events import Stepped
from charlstm.training.loop import Trainer
from charlstm.training.resume import resume_run
from charlstm.training.validation import validate
from tests.training.common import (
    Start,
    assert_same_end,
    check_resume,
    finish,
    losses,
    resume,
    run_until,
)

VARIANTS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "optimizer": "rmsprop"},
    {"stateless": True, "step": 5, "targets": "last", "optimizer": "adam"},
    {"optimizer": "sgd", "lr": 0.1, "schedule": "step", "decay_after": 1.0},
    {"val_fraction": 0.0, "schedule": "cosine"},
    {"precision": "bfloat16", "kernel": "torch"},
    {"kernel": "compiled", "num_layers": 2, "recurrent_dropout": 0.2, "grow": 0.6},
    *(
        {"kernel": "compiled", "cell": cell, "stateless": True, "step": 5}
        for cell in TRAINING_KERNEL_CELLS
    ),
    *({"cell": cell, "num_layers": 2} for cell in CELLS),
    *(
        {"cell": cell, "precision": "bfloat16", "zoneout": 0.2, "optimizer": "rmsprop"}
        for cell in ZONEOUT_CELLS
    ),
    {
        "direction": "both", "num_layers": 2, "residual": True, "dense_output": True,
        "layer_norm": True, "embedding": 5,
    },
    {
        "locked_dropout": 0.2, "input_dropout": 0.1, "recurrent_dropout": 0.2, "l1": 1e-3,
        "label_smoothing": 0.1, "optimizer": "sgd", "lr": 0.1,
    },
    {"average": 0.6, "reset": 0.3, "grow": 0.6, "logit_scale": 0.8},
    {"grow": 1.0, "stateless": True, "step": 5, "direction": "both", "maxlen": 7},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_resume_is_exact(start: Start, options: dict[str, Any]) -> None:
    """After a few steps of two epochs; tests/system stops everywhere, in three."""
    check_resume(start, {"epochs": 2, **options}, lambda _trainer: [7])


def test_a_run_that_dies_without_a_word_is_rewound(start: Start) -> None:
    """Lines written after the last save are dropped: the log equals an undisturbed run's."""
    whole = start("whole")
    finish(whole)
    dead = start("dead", save_every=10)
    for event in dead.train():
        if isinstance(event, Stepped) and event.step == 24:
            break  # as if killed: step 20 is saved, lines up to 21 are written
    assert [line[0] for line in losses(dead)][-1] == 21
    again = resume(dead)
    assert again.progress.step == 20
    assert [line[0] for line in losses(again)][-1] == 20
    finish(again)
    assert losses(again) == losses(whole)


def test_an_evaluation_cut_short_is_made_up_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = start("whole")
    finish(whole)
    cut = start("cut")

    def interrupted(network: Any, ids: Any, asked: Any) -> float | None:
        cut.request_stop()
        return validate(network, ids, asked)

    monkeypatch.setattr("charlstm.training.evaluation.validate", interrupted)
    assert finish(cut) == "interrupted"
    assert cut.progress.evaluated_step == -1
    monkeypatch.undo()
    again = resume(cut)
    assert finish(again) == "finished"
    assert_same_end(whole, again)


def test_more_epochs_equal_a_longer_run_under_a_constant_schedule(start: Start) -> None:
    whole = start("whole", schedule="constant", epochs=4)
    finish(whole)
    half = start("half", schedule="constant", epochs=2)
    finish(half)
    again = resume(half, epochs=4)
    finish(again)
    assert losses(again) == losses(whole)
    for a, b in zip(whole.state.parameters, again.state.parameters, strict=True):
        assert torch.equal(a, b)


def test_a_pause_keeps_any_schedule_exact(start: Start) -> None:
    whole = start("whole", epochs=4)
    finish(whole)
    half = start("half", epochs=4, stop_after=2)
    assert finish(half) == "paused"
    assert half.progress.epoch == 2
    again = resume(half)
    assert finish(again) == "finished"
    assert losses(again) == losses(whole)
    for a, b in zip(whole.state.parameters, again.state.parameters, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("epochs", [2, 3, 12])
def test_the_steps_foreseen_are_those_done_whatever_length_a_run_began_with(
    start: Start, epochs: int
) -> None:
    begun = start("begun", grow=0.5, epochs=8, stop_after=1)
    assert finish(begun) == "paused"
    again = resume(begun, epochs=epochs, stop_after=0)
    foreseen = again.total_steps
    assert finish(again) == "finished"
    assert again.progress.step == foreseen


def test_another_kernel_on_resume(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    told: list[str] = []

    def again(trainer: Trainer, **changes: Any) -> str:
        told.clear()
        resumed = resume_run(trainer.run, changes, [], notice=told.append)
        kernel = resumed.config.train.kernel
        assert resumed.state.network.compiled == (kernel == "compiled")
        for _event in resumed.train():
            break  # it learns
        resumed.save()
        return kernel

    trainer = start("a", kernel="compiled")
    run_until(trainer, 3)
    assert again(trainer) == "compiled"
    assert told == []
    fault = "charlstm.training.resume.compiled_fault"
    with monkeypatch.context() as without:
        without.setattr(fault, lambda *_: "numba is not installed.")
        assert again(trainer) == "torch"
    assert told == [
        "the run was trained by compiled code and goes on with torch; results are not "
        "bit-identical: numba is not installed."
    ]
    assert again(trainer, kernel="compiled") == "compiled"
    assert told == ["the run goes on with --kernel compiled: results are not bit-identical."]


def test_a_run_from_before_there_were_kernels_goes_on_by_torch(start: Start) -> None:
    trainer = start("a", kernel="torch")
    run_until(trainer, 2)
    last = load_checkpoint(trainer.run.last)
    last.meta["config"]["train"]["kernel"] = "auto"  # what is read where none is kept
    save_checkpoint(trainer.run.last, last.meta, last.arrays)
    told: list[str] = []
    resumed = resume_run(trainer.run, {}, [], notice=told.append)
    assert resumed.config.train.kernel == "torch"
    assert told == []
