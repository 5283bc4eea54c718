"""How one trial ends: with a loss, stopped early, or without a loss and why."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from charlstm.search import trial
from charlstm.search.control import Control
from charlstm.search.trial import Outcome, options_of, train_trial
from tests.search.test_storage import record

OPTIONS = {
    "cell": "coupled", "hidden_size": 8, "layers": 1, "maxlen": 16, "batch_size": 32, "epochs": 2,
    "precision": "float32", "kernel": "torch", "device": "cpu", "sample_every": 0,
}  # fmt: skip


def train(corpus_file: Path, control: Control | None = None, **changes: Any) -> Outcome:
    """The outcome of a trial of two epochs; `stop_at` is the step at which a stop is requested."""
    control = control or Control()
    stop_at = changes.pop("stop_at", None)

    def progress(step: int, _total: int) -> None:
        if step == stop_at:
            control.request_stop()

    return train_trial(
        [str(corpus_file)], corpus_file.parent / "search", OPTIONS, "trial-0000", control,
        threads=1, notice=lambda _text: None, progress=progress, **changes,
    )  # fmt: skip


def test_a_stopped_trial_resumes(corpus_file: Path) -> None:
    stopped = train(corpus_file, stop_at=3)
    assert stopped.stopped
    assert (stopped.nats, stopped.attrs["steps"]) == (None, 3)
    reported: list[int] = []

    def report(epoch: int, _nats: float) -> bool:
        reported.append(epoch)
        return epoch == 2  # the end, at which there is nothing to stop

    ended = train(corpus_file, report=report)
    assert reported == [1, 2]
    assert ended.nats is not None
    assert ended.attrs["epochs"] == 2
    assert "fault" not in ended.attrs


def test_a_trial_that_is_not_promising_is_stopped(corpus_file: Path) -> None:
    outcome = train(corpus_file, report=lambda _epoch, _nats: True)
    assert (outcome.nats, outcome.stopped) == (None, False)
    assert (outcome.attrs["fault"], outcome.attrs["epochs"]) == ("pruned", 1)


@pytest.mark.parametrize("ask", [lambda: torch.empty(2**55), lambda: bytearray(2**55)])
def test_out_of_memory_ends_the_trial_only(
    ask: Any, corpus_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "start_training", lambda *_, **__: ask())
    assert train(corpus_file) == Outcome(None, {"fault": "out of memory"})


def test_other_errors_end_the_search(corpus_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a shape is wrong")

    monkeypatch.setattr(trial, "start_training", fail)
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        train(corpus_file)


def ended(nats: float | None, read: int) -> Any:
    """A training that has ended with that best loss, and evaluated on `read` of 9 characters."""
    model = SimpleNamespace(score_ids=lambda ids: SimpleNamespace(nats_per_char=len(ids) / 4))
    return SimpleNamespace(
        result=SimpleNamespace(
            seconds=1.5, step=7, epoch=1, stopped="finished", best_nats_per_char=nats,
            load=lambda: model,
        ),
        trainer=SimpleNamespace(
            state=SimpleNamespace(parameters=[torch.zeros(2, 3), torch.zeros(4)]),
            corpus=SimpleNamespace(val=range(9)), progress=SimpleNamespace(val_chars=read),
        ),
    )  # fmt: skip


ATTRS = {"seconds": 1.5, "steps": 7, "epochs": 1, "weights": 10}


@pytest.mark.parametrize(
    ("nats", "read", "outcome"),
    [
        (1.5, 9, Outcome(1.5, ATTRS)),
        (1.5, 4, Outcome(9 / 4, ATTRS)),  # evaluated again, on the whole validation part
        (None, 0, Outcome(None, {**ATTRS, "fault": "no evaluation in its time"})),
        (float("nan"), 9, Outcome(None, {**ATTRS, "fault": "its loss is not finite"})),
    ],
)
def test_the_loss_of_a_trial(nats: float | None, read: int, outcome: Outcome) -> None:
    assert trial._outcome(ended(nats, read), pruned=False) == outcome


def test_the_options_of_a_trial() -> None:
    automatic = {"cell": "coupled", "kernel": "compiled", "lr": 0.5}
    by_epochs, by_time = record(automatic=automatic), record(automatic=automatic, minutes=0.5)
    options = options_of(by_epochs, {"cell": "lstm"}, 3)
    assert options == {
        "cell": "lstm", "kernel": "compiled", "lr": 0.1, "seed": 3, "sample_every": 0,
        "minutes": 0.0, "epochs": 1,
    }  # fmt: skip
    # There is no compiled code for this cell.
    options = options_of(by_time, {"cell": "peephole"}, 3)
    assert options["kernel"] == "torch"
    assert options["minutes"] == 0.5
    assert "epochs" not in options
