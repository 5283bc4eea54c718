"""Runs that start from another one and replay its text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlstm
from charlstm.errors import CheckpointError, ConfigError, CorpusError, RunError, SourceError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.text.separate import GivenText
from charlstm.training.events import Evaluated
from charlstm.training.loop import Trainer
from charlstm.training.plan import plan_training
from charlstm.training.resume import resume_run
from charlstm.training.session import Callbacks, start
from tests.training.common import BASE, assert_same_end, finish, run_until

OLD = "the light is low and the wind is from the north\n"
NEW = "a wind from the north is in the low light, so\n"
TUNED = {
    **{name: BASE[name] for name in BASE if name != "hidden_size"},
    "eval_every": 11,
    "epochs": 2,
}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with two texts and a model of each kind of the old one."""
    folder = tmp_path_factory.mktemp("replay")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("old.txt").write_text(OLD * 14)
        Path("new.txt").write_text(NEW * 12)
        for name, options in BASES.items():
            charlstm.train("old.txt", name=name, runs_dir="runs", **{**BASE, **options})
        yield folder


BASES: dict[str, dict[str, Any]] = {
    "plain": {"test_fraction": 0.1},
    "line": {"documents": "line"},
    "both": {"direction": "both"},
}


def set_up(name: str, base: str = "plain", old: str = "old.txt", **options: Any) -> Trainer:
    given = {
        **TUNED, "replay": 0.4, "base": base, "keep_alphabet": True, "name": name, **options
    }  # fmt: skip
    separate = {"replay": GivenText((old,))}
    plan = plan_training(["new.txt"], given, separate=separate, runs_dir="runs")
    return start(plan, Callbacks(notice=lambda _: None, warning=lambda _: None)).trainer


@pytest.mark.parametrize(
    ("base", "options"),
    [
        ("plain", {}),
        ("plain", {"stateless": True, "step": 9, "batch_size": 4}),
        ("plain", {"grow": 0.5, "reset": 0.3, "split": "blocks", "val_fraction": 0.2}),
        ("plain", {"average": 0.5, "targets": "last", "stateless": True, "step": 7}),
        ("line", {"documents": "line"}),
        ("line", {"documents": "line", "stateless": True, "step": 9}),
        ("both", {}),
    ],
    ids=str,
)
def test_resume_is_exact(base: str, options: dict[str, Any]) -> None:
    name = f"resume-{abs(hash((base, str(options))))}"
    whole = set_up(f"{name}-whole", base, **options)
    parts = set_up(f"{name}-parts", base, **options)
    assert finish(whole) == "finished"
    run_until(parts, 13)
    resumed = resume_run(parts.run, {}, [], notice=lambda _: None)
    assert finish(resumed) == "finished"
    assert_same_end(whole, resumed)
    for one, other in zip(whole.progress.history, resumed.progress.history, strict=True):
        assert one == other
        assert one["base_val_nats"] is not None


@pytest.mark.parametrize("base", BASES)
def test_before_training_the_old_text_has_the_loss_of_the_base(base: str) -> None:
    """The text of the base is split as the base split it."""
    options = {name: value for name, value in BASES[base].items() if name == "documents"}
    plan = plan_training(
        ["new.txt"], {**TUNED, "base": base, "keep_alphabet": True, "epochs": 1, **options},
        separate={"replay": GivenText(("old.txt",))}, runs_dir="runs",
    )  # fmt: skip
    training = start(plan, Callbacks(notice=lambda _: None))
    seen = [event for event in training if isinstance(event, Evaluated)]
    before = load_checkpoint(Path("runs", base, "best.npz")).meta["progress"]["best_nats"]
    # The new comma takes probability, but little of what the base has learned.
    assert seen[0].base_val_nats == pytest.approx(before, abs=0.1)
    assert training.result.base_val_nats is not None
    lines = list(training.trainer.run.metrics.read())
    assert [line["base_val_nats"] for line in lines if line["val_nats"]] == [
        event.base_val_nats for event in seen
    ]


def test_with_one_alphabet_it_is_exactly_the_loss_of_the_base() -> None:
    Path("same.txt").write_text(OLD[::-1] * 9)
    run = charlstm.fine_tune(
        "plain", "same.txt", replay_text="old.txt", name="same", runs_dir="runs", **TUNED
    )
    before = load_checkpoint(Path("runs/plain/best.npz")).meta["progress"]["best_nats"]
    assert run.history[0]["base_val_nats"] == pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize("own", [{"val_text": OLD}, {"val_fraction": 0}], ids=str)
def test_the_text_of_a_base_that_held_out_nothing_of_it_is_split(own: dict[str, Any]) -> None:
    name = "-".join(own)
    charlstm.train("old.txt", name=name, runs_dir="runs", **{**BASE, **own})
    trainer = set_up(f"tuned-{name}", name)
    record = load_checkpoint(trainer.run.last).meta["corpus"]["separate"]["replay"]
    size = len(OLD * 14)
    assert sum(stop - first for first, stop in record["parts"]["val"]) == round(0.1 * size)


def test_replay_forgets_less() -> None:
    """Trained for long on another text, the model that also reads the old one knows it better."""
    Path("other.txt").write_text("zyx wvu! " * 60)
    common = {**TUNED, "epochs": 6, "dropout": 0.0, "runs_dir": "runs", "keep_alphabet": True}
    last = [
        charlstm.fine_tune(
            "plain", "other.txt", replay_text=Path("old.txt"), replay=replay, **common
        ).history[-1]["base_val_nats"]
        for replay in (0.0, 0.4)
    ]
    assert last[1] < last[0] - 0.1  # type: ignore[operator]


def test_streams_read_both_texts() -> None:
    trainer = set_up("streams", replay=0.3)
    batch = trainer.windows.batch(0, 0)
    assert batch.inputs.shape == (8, 3)
    old = trainer.corpus.tokenizer.decode(batch.inputs[:, 2])
    assert old in OLD * 2
    assert trainer.corpus.tokenizer.decode(batch.inputs[:, 0]) in NEW * 2
    np.testing.assert_array_equal(batch.inputs[1:], batch.targets[:-1])
    trainer.request_stop()
    list(trainer.train())


def test_a_changed_or_missing_old_text_is_an_error(folder: Path) -> None:
    path = folder / "mine.txt"
    path.write_text(OLD * 9)
    trainer = set_up("changed", old="mine.txt")
    run_until(trainer, 3)
    path.write_text(OLD * 8)
    with pytest.raises(RunError, match=r"mine\.txt is not the one .*--replay-text"):
        resume_run(trainer.run, {}, [], notice=lambda _: None)
    path.unlink()
    with pytest.raises(SourceError, match="or after --replay-text"):
        resume_run(trainer.run, {}, [], notice=lambda _: None)
    (folder / "elsewhere.txt").write_text(OLD * 9)
    found = load_checkpoint(trainer.run.last)
    for name, value in (("split", "odd"), ("val_fraction", 0.3)):
        meta = {**found.meta, "corpus": {**found.meta["corpus"]}}
        record = {**meta["corpus"]["separate"]["replay"], name: value}
        meta["corpus"]["separate"] = {"replay": record}
        save_checkpoint(trainer.run.last, meta, found.arrays)
        with pytest.raises(CheckpointError, match="record of the old text"):
            resume_run(
                trainer.run, {}, [], notice=lambda _: None,
                separate={"replay": ["elsewhere.txt"]},
            )  # fmt: skip


def test_errors(folder: Path) -> None:
    (folder / "short.txt").write_text("the low light is")
    (folder / "foreign.txt").write_text("Ωμέγα " * 99)
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"old": "short.txt"}, CorpusError, "--replay-text is too short"),
        ({"old": "foreign.txt"}, CorpusError, "(?s)the old text has .*--keep-alphabet keeps"),
        ({"old": "new.txt"}, CorpusError, "--replay-text new.txt: .*training, too"),
        ({"batch_size": 1}, ConfigError, "needs at least 2 streams"),
        ({"replay": 1.0}, ConfigError, "--replay 1.0 is out of range"),
    ]
    for options, kind, words in cases:
        with pytest.raises(kind, match=words):
            set_up("error", **options)
    with pytest.raises(ConfigError, match=r"--replay 0\.2 requires --replay-text"):
        charlstm.fine_tune("plain", "new.txt", replay=0.2, runs_dir="runs")
    with pytest.raises(ConfigError, match="--replay-text requires --from"):
        charlstm.train("new.txt", replay_text="old.txt", runs_dir="runs")
    assert not (folder / "runs" / "error").exists()
