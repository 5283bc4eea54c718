"""A run that starts from the weights of another one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import charlstm
from charlstm.cells import CELLS
from charlstm.errors import CheckpointError, ConfigError, CorpusError, RunError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.inference.language_model import LanguageModel
from charlstm.training.events import Stepped
from charlstm.training.loop import Trainer
from charlstm.training.plan import plan_training
from charlstm.training.session import Callbacks, start
from tests.training.common import BASE, assert_same_end, finish, resume, run_until

OLD = "The light is low, and the wind is from the north.\n" * 8
NEW = "Low \u00e9tude, so the tide is in; a north wind: EXIT!\n" * 8
SHAPES = (
    *({"cell": cell, "num_layers": 2} for cell in CELLS),
    {"embedding": 5},
    {"direction": "both", "num_layers": 2, "residual": True, "dense_output": True},
    {"num_layers": 3, "layer_norm": True, "embedding": 4},
    {"cell": "peephole", "zoneout": 0.2, "logit_scale": 0.8},
)
LENGTH = {name: BASE[name] for name in BASE if name not in ("hidden_size",)}


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """`base("name", OLD, cell="gru")` trains a model of 12 units for a moment."""
    monkeypatch.chdir(tmp_path)

    def make(name: str, text: str = OLD, **options: Any) -> str:
        options = {**BASE, "epochs": 2, "recipe": "stacked50", "num_layers": 1, **options}
        charlstm.train(written(text), name=name, runs_dir="runs", **options)
        return name

    return make


def written(text: str) -> Path:
    """A file with a text."""
    path = Path(f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.txt")
    path.write_text(text, "utf-8")
    return path


def set_up(text: str, of: str, name: str | None = None, **options: Any) -> Trainer:
    """A trainer of a run that starts from another one."""
    options = {**LENGTH, "base": of, "name": name, **options}
    given = {key: value for key, value in options.items() if value is not None}
    plan = plan_training([str(written(text))], given, runs_dir="runs")
    trainer = start(plan, Callbacks(notice=lambda _: None, warning=lambda _: None)).trainer
    assert trainer.progress.step == 0
    return trainer


def logits_of(model: LanguageModel, text: str) -> NDArray[np.float64]:
    """Log-probabilities of each next character, over the model's vocabulary: (T, V)."""
    session = model.engine.session(1)
    rows = [session.step(int(number)).copy() for number in model.tokenizer.encode(text)]
    return np.stack(rows).astype(np.float64)


def loaded(run: Path | str) -> LanguageModel:
    return LanguageModel.load(run, runs_dir="runs")


def at_start(trainer: Trainer) -> LanguageModel:
    """The model of a run before its first step."""
    return LanguageModel.load(trainer.run.last)


@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_at_first_it_is_the_base(base: Callable[..., str], options: dict[str, Any]) -> None:
    """With one alphabet, the loss is the base's own; no shape option needs to be given again."""
    old = loaded(base("old", **options))
    model = at_start(set_up(OLD[::-1] + OLD, "old", logit_scale=0.5))
    assert model.config.model.logit_scale == 0.5
    assert model.tokenizer == old.tokenizer
    text = OLD[40:140]
    expected = old.score(text).nats_per_char
    assert model.score(text).nats_per_char == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("embedding", [0, 5])
@pytest.mark.parametrize("documents", ["none", "line"])
def test_new_characters_take_their_own_probability_only(
    base: Callable[..., str], embedding: int, documents: str
) -> None:
    old = loaded(base("old", embedding=embedding, documents=documents))
    model = at_start(set_up(NEW, "old", documents=documents))
    assert model.tokenizer != old.tokenizer
    text = "the north wind is in"
    both = [c for c in model.tokenizer.characters if c in old.tokenizer.characters]
    assert set(text) <= set(both)
    one, other = logits_of(old, text), logits_of(model, text)
    columns = [[m.tokenizer.characters.index(c) for c in both] for m in (old, model)]
    np.testing.assert_allclose(one[:, columns[0]], other[:, columns[1]], atol=1e-5)
    new = [n for n, c in enumerate(model.tokenizer.characters) if c not in both]
    assert new
    assert np.isfinite(other[:, new]).all()
    if documents == "none":
        # The sum of all probabilities, with what is added and without what is dropped, is all that
        # the loss changes by.
        sums = [np.log(np.exp(logits[:-1]).sum(axis=1)).sum() for logits in (one, other)]
        difference = model.score(text).nats - old.score(text).nats
        assert difference == pytest.approx(sums[1] - sums[0], abs=1e-4)


def test_characters_are_kept_where_asked(base: Callable[..., str]) -> None:
    old = loaded(base("old"))
    dropped = at_start(set_up("low\n" * 99, "old"))
    kept = at_start(set_up("low\n" * 99, "old", keep_alphabet=True))
    assert dropped.tokenizer.characters == "\nlow"
    assert kept.tokenizer == old.tokenizer
    assert kept.score(OLD[:99]).nats == pytest.approx(old.score(OLD[:99]).nats, abs=1e-4)


def test_ancestors_are_recorded(base: Callable[..., str]) -> None:
    base("one")
    first = charlstm.fine_tune("one", written(NEW), name="two", runs_dir="runs", **LENGTH)
    second = charlstm.fine_tune(
        first.folder / "last.npz", written(OLD), name="three", runs_dir="runs", **LENGTH
    )
    parent, grandparent = load_checkpoint(second.folder / "best.npz").meta["ancestors"]
    assert (parent["run"], grandparent["run"]) == ("two", "one")
    for record, file in ((parent, "two/last.npz"), (grandparent, "one/best.npz")):
        path = Path("runs") / file
        assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert record["text_sha256"] == load_checkpoint(path).meta["corpus"]["sha256"]
    assert set(grandparent["new"]) == set(NEW) - set(OLD)
    assert grandparent["new"]["\u00e9"] == "e"
    assert grandparent["new"]["E"] == "e"
    assert grandparent["new"][":"] == ""
    assert set(grandparent["copied"]) == set(OLD) & set(NEW)
    assert set(grandparent["dropped"]) == set(OLD) - set(NEW)
    assert "ancestors" not in load_checkpoint(Path("runs/one/best.npz")).meta


@pytest.mark.parametrize(
    "options",
    [
        {"freeze": 1},
        {"freeze": 1, "optimizer": "sgd", "lr": 0.1, "documents": "line", "keep_alphabet": True},
        {"stateless": True, "step": 30, "average": 0.5},
    ],
    ids=str,
)  # fmt: skip
def test_resume_is_exact(base: Callable[..., str], options: dict[str, Any]) -> None:
    """Also before the first step, whose evaluation may have saved the best checkpoint already."""
    base("old", num_layers=2)
    whole = set_up(NEW, "old", "whole", **options)
    assert finish(whole) == "finished"
    assert whole.progress.history[0]["step"] == 0
    assert whole.progress.history[0]["train_nats"] is None
    for stop in (0, 7):
        parts = set_up(NEW, "old", f"parts-{stop}", **options)
        run_until(parts, stop)
        again = resume(parts)
        assert again.progress.step == stop
        assert finish(again) == "finished"
        assert_same_end(whole, again)


def test_a_run_killed_in_its_first_evaluation_is_exact(base: Callable[..., str]) -> None:
    base("old")
    whole = set_up(NEW, "old", "whole")
    finish(whole)
    cut = set_up(NEW, "old", "cut")
    next(cut.train())  # evaluated, but not saved
    assert cut.run.best.is_file()
    again = resume(cut)
    assert list(again.run.metrics.read()) == []
    assert finish(again) == "finished"
    assert_same_end(whole, again)


def test_frozen_layers_stay_as_they_are(base: Callable[..., str]) -> None:
    base("old", num_layers=2, embedding=5)
    trainer = set_up(NEW, "old", freeze=2, schedule="constant")
    before, trained = trainer.state.weight_arrays(), dict[str, float]()
    done, step = 0.0, 1 / trainer.total_steps
    for event in trainer.train():
        if isinstance(event, Stepped):
            for name, array in trainer.state.weight_arrays().items():
                if not np.array_equal(array, before[name]):
                    trained.setdefault(name, done)
            done = trainer.schedule.fraction(trainer.progress)
    assert set(trained) == set(before)
    for name, begun in trained.items():
        due = {"model/layers.0": 0.25, "model/layers.1": 0.125}.get(name[:14], 0.0)
        assert due <= begun < due + step, name


CHINESE = "\u4e2d\u6587\n" * 400
ERRORS: list[tuple[dict[str, Any], str, type[Exception], str]] = [
    ({"hidden_size": 16}, NEW, ConfigError, "--hidden-size 16.* --hidden-size 12"),
    ({"size": "small"}, NEW, ConfigError, "--size small .--hidden-size 256.* --hidden-size 12"),
    ({"size": "small", "hidden_size": None, "cell": "gru"}, NEW, ConfigError, "--size small"),
    ({"cell": "gru"}, NEW, ConfigError, "^--cell gru contradicts the base old, .* --cell lstm"),
    ({"recipe": "char-rnn"}, NEW, ConfigError, "--recipe char-rnn .--layers 2.*--layers 1"),
    ({"direction": "both"}, NEW, ConfigError, "--direction both.*--direction forward"),
    ({"freeze": 2}, NEW, ConfigError, "--freeze 2.*0 <= x <= 1"),
    ({}, CHINESE, CorpusError, "knows no character of the text"),
    ({"keep_alphabet": True}, CHINESE, CorpusError, "knows no character"),
    ({"base": "none"}, NEW, RunError, "'none' is not a run"),
]


@pytest.mark.parametrize(("options", "text", "kind", "words"), ERRORS, ids=range(len(ERRORS)))
def test_errors(
    base: Callable[..., str], options: dict[str, Any], text: str, kind: type[Exception], words: str
) -> None:
    base("old")
    with pytest.raises(kind, match=words) as caught:
        set_up(text, **{"of": options.pop("base", "old"), **options})
    assert len(str(caught.value).splitlines()) <= 2
    assert sorted(path.name for path in Path("runs").iterdir()) == ["old"]


def test_a_base_of_lower_case(base: Callable[..., str]) -> None:
    base("old", lowercase=True)
    with pytest.raises(CorpusError, match=r"--lowercase, and the text has capitals: 'E', 'I'"):
        set_up(NEW, "old")
    assert "E" in at_start(set_up(NEW, "old", lowercase=False)).tokenizer.characters
    lower = at_start(set_up(NEW, "old", lowercase=True, keep_alphabet=True)).tokenizer
    assert lower.lowercase
    assert "t" in lower.characters
    assert "T" not in lower.characters


def test_options_that_need_a_base(base: Callable[..., str]) -> None:
    for options in ({"keep_alphabet": True}, {"freeze": 1}):
        with pytest.raises(ConfigError, match="requires --from RUN"):
            plan_training((), options, text=NEW)
    with pytest.raises(ConfigError, match="--from and --keep-alphabet are for new runs"):
        plan_training((), {"base": "old"}, resume=base("old"), runs_dir="runs")


def test_an_ancestry_that_is_not_one(base: Callable[..., str]) -> None:
    base("one")
    second = charlstm.fine_tune("one", written(NEW), name="two", runs_dir="runs", **LENGTH).folder
    saved = load_checkpoint(second / "best.npz")
    good = saved.meta["ancestors"]
    wrong: Any
    for wrong in (3, [3], [{**good[0], "step": -1}], [{**good[0], "new": {"a": 1}}], [{}]):
        save_checkpoint(second / "best.npz", {**saved.meta, "ancestors": wrong}, saved.arrays)
        with pytest.raises(CheckpointError, match="ancestry is not readable"):
            plan_training((), {"base": str(second / "best.npz")}, text=NEW, runs_dir="runs")


def test_the_rate_depends_on_what_the_base_knows(base: Callable[..., str]) -> None:
    base("old", epochs=12, lr=0.02)
    rates = []
    for text in (OLD, OLD.upper()[::-1] * 2 + OLD):
        trainer = set_up(text, "old", epochs=1)
        rates.append(trainer.config.train.lr)
        loss = at_start(trainer).score_ids(trainer.corpus.train).nats_per_char
        assert (loss < 0.75 * trainer.saver.corpus_meta["unigram_nats"]) == (rates[-1] == 0.002)
    assert rates == [0.002, 0.008]
    assert set_up(OLD, "old", lr=0.1).config.train.lr == 0.1
