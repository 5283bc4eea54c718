"""Runs that hold out blocks: training, validation, resume, and what their checkpoints record."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from charlstm.errors import CheckpointError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.training_text import read_training_text, recorded_split
from charlstm.text import splits
from charlstm.text.parts import Part
from charlstm.text.splits import Split, tail_split
from charlstm.text.windows import make_windows
from charlstm.training.loop import Trainer
from tests.training.common import Start, check_resume, finish, resume, run_until

BLOCKS: dict[str, Any] = {"split": "blocks", "val_fraction": 0.2, "test_fraction": 0.1}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' text of a few hundred characters has eight validation blocks."""
    monkeypatch.setattr(splits, "MIN_BLOCK_CHARS", 12)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_layers": 2, "grow": 0.6, "reset": 0.3, "average": 0.6},
        {"stateless": True, "step": 5, "targets": "last"},
        {"direction": "both", "grow": 0.5},
        {"test_fraction": 0.0, "cell": "gru", "maxlen": 5},
    ],
    ids=str,
)
def test_resume_is_exact_with_blocks(start: Start, options: dict[str, Any]) -> None:
    check_resume(
        start,
        {"epochs": 2} | BLOCKS | options,
        lambda whole: [0, 7, whole.windows.batches_per_epoch],
    )


def test_resume_takes_the_recorded_split(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a later version would hold out."""
    trainer = start("x", **BLOCKS)
    before = trainer.corpus.split
    assert len(before.val) == 8
    run_until(trainer, 5)
    monkeypatch.setattr(splits, "MAX_BLOCKS", 3)
    again = resume(trainer)
    assert again.corpus.split == before
    assert finish(again) == "finished"
    assert load_checkpoint(again.run.last).meta["corpus"]["split"] == before.to_json()
    assert load_checkpoint(again.run.best).meta["corpus"]["split"] == before.to_json()


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_train_and_eval_agree_on_blocks(start: Start, direction: str) -> None:
    """The state starts anew in each block, whose first character does not count."""
    trainer = start("x", **BLOCKS, direction=direction)
    finish(trainer)
    model = LanguageModel.load(trainer.run.best)
    own = read_training_text(trainer.run, trainer.run.last, load_checkpoint(trainer.run.last))
    assert own.corpus.split == trainer.corpus.split
    for part in (own.corpus.val, own.corpus.test, own.corpus.train):
        texts = [trainer.corpus.tokenizer.decode(ids) for ids in part.segments]
        alone = [model.score(text) for text in texts]
        score = model.score_ids(part)
        assert score.count == sum(map(len, texts)) - len(texts) == sum(one.count for one in alone)
        assert score.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-5)
        if part is own.corpus.val:
            assert score.nats_per_char == pytest.approx(trainer.progress.best_nats, abs=1e-5)


def test_the_held_out_blocks_are_not_read_in_training(start: Start) -> None:
    trainer = start("x", **BLOCKS)
    assert isinstance(trainer.corpus.split, Split)
    held = {n for a, b in trainer.corpus.split.val + trainer.corpus.split.test for n in range(a, b)}
    assert len(held) == int(672 * 0.2) + int(672 * 0.1)
    # The same windows over positions in place of characters.
    part = Part(np.arange(672, dtype=np.uint16), trainer.corpus.train.spans)
    windows = make_windows(part, trainer.config.windows, seed=1)
    for epoch in range(3):
        for index in range(windows.batches_per_epoch):
            batch = windows.batch(epoch, index)
            assert not held & set(batch.inputs.ravel().tolist())
            assert not held & set(batch.targets.ravel().tolist())


def with_record(trainer: Trainer, split: Any, text: dict[str, Any] | None = None) -> None:
    """Replace the record of the split, and text options, in the run's checkpoints."""
    for path in [*trainer.run.checkpoints(), trainer.run.best]:
        if path.is_file():
            saved = load_checkpoint(path)
            meta = json.loads(json.dumps(saved.meta))
            meta["corpus"]["split"] = split
            if split is None:
                del meta["corpus"]["split"]
            meta["config"]["text"] |= text or {}
            for name in [name for name, value in (text or {}).items() if value is None]:
                del meta["config"]["text"][name]
            save_checkpoint(path, meta, saved.arrays)


def test_a_checkpoint_without_a_split_means_the_tail(start: Start) -> None:
    whole = start("whole")
    finish(whole)
    old = start("old")
    run_until(old, 7)
    with_record(old, None, {"split": None})
    again = resume(old)
    assert again.corpus.split == tail_split(672, 0.1, 0.0)
    assert again.config == old.config
    assert finish(again) == "finished"
    a, b = (load_checkpoint(trainer.run.last) for trainer in (whole, again))
    for key, array in a.arrays.items():
        np.testing.assert_array_equal(array, b.arrays[key], err_msg=key)


@pytest.mark.parametrize(
    ("split", "text"),
    [
        ({"method": "blocks", "val": [[600, 700]], "test": []}, {}),
        ({"method": "tail", "val": [[605, 672]], "test": []}, {}),
        ({"method": "blocks", "val": [[9, 3]], "test": []}, {}),
        ({"method": "blocks", "val": [[9, 20]], "test": [[15, 30]]}, {}),
        ([1, 2], {}),
        (None, {}),
        (None, {"split": "x"}),
    ],
    ids=str,
)
def test_a_record_that_does_not_fit_is_refused(
    start: Start, split: Any, text: dict[str, Any]
) -> None:
    trainer = start("x", **BLOCKS)
    run_until(trainer, 5)
    with_record(trainer, split, text)
    with pytest.raises(CheckpointError):
        resume(trainer)


def test_a_split_that_leaves_no_window_is_refused(start: Start) -> None:
    """A record may be valid, and not the one that the windows were made for."""
    trainer = start("x", **BLOCKS)
    run_until(trainer, 5)
    with_record(trainer, {"method": "blocks", "val": [[0, 670]], "test": []})
    with pytest.raises(CheckpointError, match="windows do not fit"):
        resume(trainer)


def test_recorded_split_of_a_checkpoint(start: Start) -> None:
    trainer = start("x", **BLOCKS)
    meta = load_checkpoint(trainer.run.last).meta
    path, text = trainer.run.last, trainer.config.text
    assert recorded_split(path, meta, text, 672) == trainer.corpus.split
    with pytest.raises(CheckpointError, match="fit the text"):
        recorded_split(path, meta, text, 300)
