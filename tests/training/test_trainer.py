"""The training loop: windows, evaluations, averages, the log."""

from __future__ import annotations

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.cells import CELLS
from charlstm.errors import DivergenceError
from charlstm.format.checkpoint import load_checkpoint
from charlstm.format.progress import Evaluated
from charlstm.inference.language_model import LanguageModel
from charlstm.training import setup
from charlstm.training.events import Stepped
from charlstm.training.loop import Trainer
from charlstm.training.setup import default_epochs
from charlstm.training.step import train_step
from tests.training.common import (
    Start,
    finish,
    losses,
    resume,
    run_until,
)


def test_the_average_is_that_of_the_steps_it_names(start: Start) -> None:
    trainer = start("average", average=0.5, epochs=4, schedule="constant")
    total, seen = trainer.total_steps, []
    for event in trainer.train():
        if isinstance(event, Stepped) and event.step % 8 == 0 and (event.step - 1) / total > 0.5:
            seen.append([p.detach().clone() for p in trainer.state.parameters])
    assert len(seen) == trainer.progress.averaged > 3
    for mean, *each in zip(trainer.state.average.means, *seen, strict=True):
        torch.testing.assert_close(mean, torch.stack(each).mean(0))


def test_best_takes_the_average_where_it_is_better(start: Start) -> None:
    trainer = start("average", average=0.7, epochs=12, schedule="constant", lr=0.1)
    took = {True: 0, False: 0}
    for event in trainer.train():
        if isinstance(event, Evaluated) and event.is_best and event.average_nats is not None:
            assert event.val_nats is not None
            better = event.average_nats < event.val_nats
            took[better] += 1
            weights = trainer.state.average.means if better else trainer.state.parameters
            best = load_checkpoint(trainer.run.best)
            for (name, _), tensor in zip(
                trainer.state.network.named_parameters(), weights, strict=True
            ):
                np.testing.assert_array_equal(best.arrays[f"model/{name}"], tensor.detach())
            assert trainer.progress.best_nats == min(event.val_nats, event.average_nats)
    assert took[True]
    model = LanguageModel.load(trainer.run.folder)
    score = model.score_ids(trainer.corpus.val).nats_per_char
    assert score == pytest.approx(trainer.progress.best_nats, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        ({"grow": 0.0}, {8: 1.0}),
        ({"grow": 0.5}, {2: 0.25, 4: 0.25, 8: 0.5}),
        ({"grow": 1.0, "maxlen": 2}, {1: 1.0}),
        ({"grow": 1.0, "stateless": True, "targets": "last"}, {8: 1.0}),
    ],
    ids=str,
)
def test_windows_grow_and_nothing_is_left_out(
    start: Start,
    options: dict[str, Any],
    lengths: dict[int, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer = start("grow", epochs=4, **options)
    expected = trainer.total_steps
    read: list[Any] = []

    def spy(state: Any, batch: Any, rate: float, deferred: Any, **options: Any) -> int:
        read.append((len(batch.inputs), batch))
        return train_step(state, batch, rate, deferred, **options)

    monkeypatch.setattr("charlstm.training.loop.train_step", spy)
    finish(trainer)
    assert trainer.progress.step == len(read) == expected
    total = sum(length for length, _ in read)
    for length, share in lengths.items():
        assert sum(n for n, _ in read if n == length) / total == pytest.approx(share, abs=0.05)
    assert [n for n, _ in read] == sorted(n for n, _ in read)
    if not trainer.config.windows.stateless:  # what is read is the text, chunk after chunk
        per_epoch = trainer.windows.batches_per_epoch
        whole = [trainer.windows.batch(e, i) for e in range(4) for i in range(per_epoch)]
        for name in ("inputs", "targets"):
            joined = np.concatenate([getattr(batch, name) for _, batch in read])
            np.testing.assert_array_equal(
                joined, np.concatenate([getattr(batch, name) for batch in whole])
            )
        assert sum(batch.fresh for _, batch in read) == 4


def test_the_example_of_the_docstring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "play.txt").write_text("the light is low and the wind is from the north\n" * 60)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(doctest.script_from_examples(Trainer.__doc__ or ""), names)
    trainer = names["trainer"]
    printed = [f"{entry['step']} {entry['val_nats']}" for entry in trainer.progress.history]
    assert [line for line in capsys.readouterr().out.splitlines() if line[0].isdigit()] == printed
    assert len(printed) == 3
    assert trainer.run.last == Path("checkpoints") / "play" / "last.npz"
    assert trainer.run.last.is_file()


def test_it_learns(start: Start) -> None:
    trainer = start("x", epochs=12, hidden_size=32)
    finish(trainer)
    history = trainer.progress.history
    assert history[-1]["val_nats"] is not None
    assert history[-1]["val_nats"] < 1.0 < (history[0]["val_nats"] or 0)


@pytest.mark.parametrize("logit_scale", [1.0, 0.6])
def test_validation_is_what_eval_counts(start: Start, logit_scale: float) -> None:
    trainer = start("x", logit_scale=logit_scale)
    finish(trainer)
    model = LanguageModel.load(trainer.run.best)
    score = model.score(trainer.corpus.tokenizer.decode(trainer.corpus.val.joined()))
    assert score.nats_per_char == pytest.approx(trainer.progress.best_nats, abs=1e-5)


def test_how_sure_a_model_is_changes_nothing_that_is_learned(start: Start) -> None:
    """Weights and losses of training are the same; what is predicted is not."""
    plain, scaled = start("plain"), start("scaled", logit_scale=0.6)
    for trainer in (plain, scaled):
        finish(trainer)
    a, b = (load_checkpoint(trainer.run.last) for trainer in (plain, scaled))
    for key, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[key], err_msg=key)
    for one, other in zip(losses(plain), losses(scaled), strict=True):
        assert one[:3] == other[:3]
        assert one[3] is None or one[3] != other[3]


def test_best_is_kept_and_patience_ends_the_run(start: Start) -> None:
    trainer = start("x", lr=3.0, optimizer="sgd", clip_norm=0.0, epochs=40, patience=3)
    try:
        reason = finish(trainer)
    except DivergenceError:
        pytest.fail("this setting is meant to get worse, not to diverge")
    assert reason == "patience"
    assert trainer.progress.stale == 3
    best = load_checkpoint(trainer.run.best)
    assert best.meta["progress"]["best_step"] == trainer.progress.best_step
    assert best.meta["progress"]["step"] == trainer.progress.best_step < trainer.progress.step
    # Nothing more happens unless patience or epochs are raised.
    assert finish(resume(trainer)) == "patience"


def test_previews_and_evaluations_leave_training_alone(start: Start) -> None:
    plain, busy = start("plain"), start("busy", sample_every=3, save_every=2, keep=3)
    finish(plain)
    finish(busy)
    for a, b in zip(plain.state.parameters, busy.state.parameters, strict=True):
        assert torch.equal(a, b)


def test_the_log(start: Start) -> None:
    trainer = start("x")
    events = list(trainer.train())
    lines = [json.loads(line) for line in trainer.run.metrics.path.read_text().splitlines()]
    for line in lines:
        assert set(line) == {
            "step", "epoch", "train_nats", "val_nats", "average_nats", "chars_per_second",
            "seconds", "threads", "others",
        }  # fmt: skip
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [e.val_nats for e in evaluated] == [
        line["val_nats"] for line in lines if line["val_nats"] is not None
    ]


def test_an_evaluation_before_a_short_batch(start: Start) -> None:
    """Validation's memory is not training's, even where their shapes are the same."""
    for cell in CELLS:
        trainer = start(
            cell, cell=cell, stateless=True, step=5, batch_size=2, maxlen=10, eval_every=59,
            epochs=2,
        )  # fmt: skip
        batches = trainer.windows.batches_per_epoch
        assert trainer.windows.batch(0, batches - 1).inputs.shape[1] == 1
        assert batches == 60, "an evaluation comes before the last batch"
        assert finish(trainer) == "finished"


def test_validation_of_both_ways_is_what_eval_counts(start: Start) -> None:
    trainer = start("x", direction="both")
    finish(trainer)
    score = LanguageModel.load(trainer.run.best).score_ids(trainer.corpus.val)
    assert score.nats_per_char == pytest.approx(trainer.progress.best_nats, abs=1e-5)


def test_default_epochs() -> None:
    assert [default_epochs(n) for n in (100, 80_000, 1_000_000, 10**9)] == [
        setup._MOST_EPOCHS, setup._MOST_EPOCHS, 6, 1,
    ]  # fmt: skip


def test_a_reset_stream_starts_from_zero(start: Start) -> None:
    trainer = start("reset", reset=0.5, epochs=1, lr=1e-9)
    batch = trainer.windows.batch(0, 1)
    assert batch.reset is not None
    assert 0 < batch.reset.sum() < len(batch.reset), "choose a seed that resets some"
    run_until(trainer, 1)
    carried = trainer.state.carry
    seen: list[Any] = []
    learner = trainer.state.learner

    def spy(ids: Any, state: Any, **keywords: Any) -> Any:
        seen.append(state)
        return learner(ids, state, **keywords)

    again = resume(trainer)
    again.state.learner = spy  # type: ignore[assignment]
    learner = again.state.network
    run_until(again, 2)
    for layer, before in zip(seen[0], carried, strict=True):
        for part, old in zip(layer, before, strict=True):
            for stream, reset in enumerate(batch.reset):
                expected = torch.zeros_like(old[stream]) if reset else old[stream]
                torch.testing.assert_close(part[stream], expected)
