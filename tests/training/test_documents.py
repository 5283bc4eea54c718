"""Runs on documents: training, validation, exact resume, dynamic evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.cells import CELLS, TRAINING_KERNEL_CELLS
from charlstm.config import Config, DynamicConfig
from charlstm.errors import CheckpointError, ConfigError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.training_text import read_training_text
from charlstm.text.corpus import load_corpus
from charlstm.text.document_splits import DocumentSplit
from charlstm.training.dynamic import DynamicReader
from charlstm.training.preview import preview
from tests.conftest import TINY, Program
from tests.training.common import (
    BASE,
    Start,
    check_resume,
    finish,
    resume,
    run_until,
    starter,
)

NAMES = [
    first + " " + last
    for first in ("anna", "bob", "eve", "ida", "jon", "max", "noel")
    for last in ("smith", "li", "weber", "fox", "lang", "ott")
]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`start("name", lr=0.1)` sets up a run over a list of names."""
    return starter(tmp_path, "\n\n".join(NAMES) + "\n", {**BASE, "documents": "line"})


VARIANTS: list[dict[str, Any]] = [
    *({"cell": cell, "num_layers": 2} for cell in CELLS),
    *({"cell": cell, "kernel": "compiled", "grow": 0.6} for cell in TRAINING_KERNEL_CELLS),
    {"cell": "peephole", "zoneout": 0.2, "precision": "bfloat16"},
    {"stateless": True, "step": 5, "targets": "last"},
    {"direction": "both", "grow": 0.5, "num_layers": 2, "residual": True},
    {"documents": "blank-line", "reset": 0.3, "average": 0.6, "recurrent_dropout": 0.2},
]  # fmt: skip


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_resume_is_exact(start: Start, options: dict[str, Any]) -> None:
    check_resume(
        start, {"epochs": 2, **options}, lambda whole: [0, 7, whole.windows.batches_per_epoch]
    )


@pytest.mark.parametrize("direction", ["forward", "both"])
@pytest.mark.parametrize("test_fraction", [0.0, 0.2])
def test_train_and_eval_agree(start: Start, direction: str, test_fraction: float) -> None:
    """Each document from its beginning, its end included."""
    trainer = start("x", direction=direction, test_fraction=test_fraction)
    finish(trainer)
    model = LanguageModel.load(trainer.run.best)
    own = read_training_text(trainer.run, trainer.run.last, load_checkpoint(trainer.run.last))
    assert isinstance(own.corpus.split, DocumentSplit)
    documents = []
    for part in (own.corpus.val, own.corpus.test, own.corpus.train):
        texts = [trainer.corpus.tokenizer.decode(ids) for ids in part.segments]
        documents += texts
        if not texts:
            continue
        alone = [model.score(text) for text in texts]
        score = model.score_ids(part)
        assert score.count == sum(map(len, texts)) + len(texts) == len(part)
        assert score.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-5)
        if part is own.corpus.val:
            assert score.nats_per_char == pytest.approx(trainer.progress.best_nats, abs=1e-5)
    assert sorted(documents) == sorted(NAMES)


def test_a_model_of_names_writes_names(start: Start) -> None:
    trainer = start("x", hidden_size=48, epochs=60, lr=0.01, dropout=0.0, batch_size=4)
    finish(trainer)
    model = LanguageModel.load(trainer.run.folder)
    samples = model.samples(50, seed=1, temperature=0.5)
    assert all(sample.finish == "end" for sample in samples)
    assert sum(sample.text in NAMES for sample in samples) >= 35
    assert len({sample.text for sample in samples}) >= 10
    assert len(preview(trainer.state, trainer.corpus.tokenizer).text.split("\n")) == 5
    begun = model.samples(20, "an", seed=1, temperature=0.3)
    assert sum("an" + sample.text in NAMES for sample in begun) >= 14


def test_notices_and_records(start: Start) -> None:
    notices: list[str] = []
    trainer = start("x", notice=notices.append, test_fraction=0.2)
    assert (
        "42 documents, 4 held out for validation, 8 for testing; 41 empty ones omitted." in notices
    )
    run_until(trainer, 3)
    for path in (trainer.run.last,):
        record = load_checkpoint(path).meta["corpus"]["split"]
        assert record["method"] == "documents"
        assert (record["documents"], record["val"], record["test"]) == (42, 4, 8)
    again = resume(trainer)
    assert isinstance(again.corpus.split, DocumentSplit)
    assert again.corpus.split.to_json() == record


@pytest.mark.parametrize("change", [{"sha256": "0"}, {"val": 3}, {"rule": 2}, None], ids=str)
def test_a_record_that_does_not_fit_is_refused(start: Start, change: dict[str, Any] | None) -> None:
    trainer = start("x")
    run_until(trainer, 3)
    for path in trainer.run.checkpoints():
        if path.is_file():
            saved = load_checkpoint(path)
            meta = json.loads(json.dumps(saved.meta))
            meta["corpus"]["split"] = change and meta["corpus"]["split"] | change
            save_checkpoint(path, meta, saved.arrays)
    with pytest.raises(CheckpointError):
        resume(trainer)


def test_dynamic_evaluation_restarts_the_state_in_each_document(start: Start) -> None:
    trainer = start("x")
    finish(trainer)
    model = LanguageModel.load(trainer.run.best)
    still = DynamicConfig(dynamic_rate=0.0)
    reader = DynamicReader(model.weights, model.config.model, len(model.tokenizer), still)
    score = reader.score(trainer.corpus.val)
    assert score.nats == pytest.approx(model.score_ids(trainer.corpus.val).nats, rel=1e-5)


def test_piped_files_keep_their_documents(program: Program, tmp_path: Path) -> None:
    """The text that is kept in the run's folder has the borders of the sources."""
    files = []
    for number in range(12):
        files.append(tmp_path / f"{number}.txt")
        files[-1].write_text(f"line one of {number}\n\nline two of {number}\n")
    train = ["train", "-", *files, "--documents", "file", *TINY, "--epochs", 2, "--name", "x"]
    begun = program(*train, "--stop-after", 1, stdin=b"from a pipe\n")
    assert begun.returncode == 0, begun.stderr
    resumed = program("train", "--resume", "x")
    assert resumed.returncode == 0, resumed.stderr
    facts = json.loads(program("eval", "x", "--split", "train", "--json").stdout)
    assert facts["documents"] == 12  # of 13, one is held out


def test_a_large_text_is_mapped(
    start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    whole = start("whole")
    finish(whole)
    assert load_corpus.__kwdefaults__ is not None
    monkeypatch.setitem(load_corpus.__kwdefaults__, "in_memory_bytes", 0)
    for name in ("mapped", "cached"):
        trainer = start(name)
        assert trainer.corpus.mapping is not None
        assert trainer.corpus.empty == 41
        finish(trainer)
        for one, other in zip(whole.state.parameters, trainer.state.parameters, strict=True):
            np.testing.assert_array_equal(one.detach(), other.detach())


def test_an_empty_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="--documents '' is empty"):
        Config().override({"documents": ""})
