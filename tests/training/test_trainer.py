from __future__ import annotations

import doctest
import json
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from charlstm.cells import CELLS, TRAINING_KERNEL_CELLS, ZONEOUT_CELLS
from charlstm.config import Config
from charlstm.errors import CheckpointError, DivergenceError, RunError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.format.progress import Evaluated
from charlstm.inference.language_model import LanguageModel
from charlstm.training import setup
from charlstm.training.deferred_losses import DeferredLosses
from charlstm.training.events import Saved, Stepped, Stopped
from charlstm.training.loop import Trainer
from charlstm.training.resume import resume_run
from charlstm.training.setup import default_epochs, new_run
from charlstm.training.step import train_step
from charlstm.training.validation import validate

BASE: dict[str, Any] = {
    "hidden_size": 12, "maxlen": 8, "batch_size": 3, "epochs": 3, "sample_every": 0,
    "log_every": 7, "eval_every": 20, "dropout": 0.25, "precision": "float32",
}  # fmt: skip

Start = Callable[..., Trainer]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """`start("name", lr=0.1)` sets up a run over a short text."""
    path = tmp_path / "x.txt"
    path.write_text("the light is low and the wind is from the north\n" * 14)

    def call(name: str, begun: float | None = None, **options: Any) -> Trainer:
        config = Config().override({**BASE, **options})
        return new_run(
            [str(path)], config, runs_dir=tmp_path / "runs", name=name, notice=lambda _text: None,
            begun=begun,
        )  # fmt: skip

    return call


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
    """After a few steps; tests/system stops everywhere."""
    check_resume(start, options, lambda _trainer: [7])


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


def test_an_average_that_does_not_fit_is_refused(start: Start) -> None:
    trainer = start("average", average=0.9)
    finish(trainer)
    last = load_checkpoint(trainer.run.last)
    without = {k: v for k, v in last.arrays.items() if not k.startswith("average/")}
    for path in trainer.run.checkpoints():
        save_checkpoint(path, last.meta, without)
    with pytest.raises(CheckpointError, match="average"):
        resume(trainer, epochs=5)


class Watch:
    """In place of the module `time`: every look at it takes a moment, and nothing else does.

    So a run of some seconds is the same run on every machine, however busy; that real time ends
    a real run is in `tests/cli/test_minutes.py`.
    """

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        self.now += 0.002
        return self.now

    perf_counter = monotonic


@pytest.mark.parametrize("whole", [True, False])
def test_time_ends_a_run(start: Start, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """The rate falls to 0 by the clock, the end is evaluated and saved, and time is kept."""
    watch = Watch()
    for module in ("clock", "evaluation", "metrics", "saving", "schedule", "setup", "validation"):
        monkeypatch.setattr(f"charlstm.training.{module}.time", watch)
    begun = watch.now
    trainer = start("timed", minutes=6 / 60, epochs=10**6, eval_every=0, average=0.2, warmup=1)
    rates = []
    for event in trainer.train():
        if isinstance(event, Stepped):
            rates.append(event.lr)
            if not whole and trainer.schedule.fraction(trainer.progress) > 0.5:
                trainer.request_stop()
    if not whole:
        assert 2.5 < watch.now - begun < 3.5
        trainer = resume(trainer)
        assert 2.5 < trainer.stopwatch.seconds < 3.5, "the time that is gone counts"
        rates += [event.lr for event in trainer.train() if isinstance(event, Stepped)]
    assert len(rates) > 100
    assert rates[-1] < 0.02 * max(rates) <= 0.02 * trainer.config.train.lr
    assert trainer.progress.evaluated_step == trainer.progress.step == trainer.saver.saved_step
    assert 5.5 < watch.now - begun < 6.3, "not over time by more than 5%, nor much under"
    assert trainer.progress.val_chars == len(trainer.corpus.val)
    again = resume(trainer)
    assert finish(again) == "finished"
    assert again.progress.step == trainer.progress.step


def test_the_time_before_training_counts(start: Start) -> None:
    """Reading, measuring and the first save belong to what `--minutes` gives."""
    trainer = start("early", time.monotonic() - 570, minutes=10.0, epochs=10**6)
    events = trainer.train()
    next(events)
    assert trainer.stopwatch.seconds > 570
    assert trainer.schedule.fraction(trainer.progress) > 0.9
    trainer.request_stop()
    for _ in events:
        continue
    saved = load_checkpoint(trainer.run.last).meta["progress"]["seconds"]
    assert 570 < saved <= trainer.stopwatch.seconds

    def seconds(changes: dict[str, Any], begun: float | None) -> float:
        again = resume_run(trainer.run, changes, [], notice=lambda _text: None, begun=begun)
        assert again._lock is not None
        again._lock.release()
        return again.stopwatch.seconds

    assert seconds({}, None) == saved
    assert seconds({}, time.monotonic() - 20) > saved + 20
    assert seconds({"minutes": 0.0}, time.monotonic() - 20) == saved  # by passes, nobody counts


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

    def spy(state: Any, batch: Any, rate: float, deferred: Any) -> int:
        read.append((len(batch.inputs), batch))
        return train_step(state, batch, rate, deferred)

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
            "seconds",
        }  # fmt: skip
    steps = [line["step"] for line in lines]
    assert steps == sorted(set(steps))
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [e.val_nats for e in evaluated] == [
        line["val_nats"] for line in lines if line["val_nats"] is not None
    ]


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


def test_validation_of_both_ways_is_what_eval_counts(start: Start) -> None:
    trainer = start("x", direction="both")
    finish(trainer)
    score = LanguageModel.load(trainer.run.best).score_ids(trainer.corpus.val)
    assert score.nats_per_char == pytest.approx(trainer.progress.best_nats, abs=1e-5)


def test_label_smoothing_leaves_the_loss_that_is_shown(start: Start) -> None:
    plain, smooth = start("plain", lr=1e-9, dropout=0.0), start(
        "smooth", lr=1e-9, dropout=0.0, label_smoothing=0.5
    )  # fmt: skip
    for trainer in (plain, smooth):
        finish(trainer)
    for a, b in zip(losses(plain), losses(smooth), strict=True):
        assert a[2] == pytest.approx(b[2], abs=1e-5)


def test_default_epochs() -> None:
    assert [default_epochs(n) for n in (100, 80_000, 1_000_000, 10**9)] == [
        setup._MOST_EPOCHS, setup._MOST_EPOCHS, 6, 1,
    ]  # fmt: skip


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
