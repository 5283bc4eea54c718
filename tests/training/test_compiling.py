"""Compilation is reported, happens before training, and is no part of a run's time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch

from charlstm.cli.progress import CompileView
from charlstm.config import Config
from charlstm.training import compiling
from charlstm.training.compiling import CompileWatch
from charlstm.training.events import Compiling
from charlstm.training.loop import Trainer
from charlstm.training.resume import resume_run
from charlstm.training.setup import new_run

numba = pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")


def compile_two(_dtype: torch.dtype) -> None:
    """Compile a function that calls another; nothing is kept on disk."""

    inner = numba.njit(lambda x: x + 1)
    outer = numba.njit(lambda x: 2.0 * inner(x))
    assert outer(2.0) == 6.0


def test_what_is_compiled_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "_call_all_kernels", compile_two)
    events: list[Compiling] = []
    watch = CompileWatch(events.append)
    watch.warm_up(torch.float32)
    assert [(event.functions, event.done) for event in events] == [
        (0, False), (1, False), (2, False), (2, True),
    ]  # fmt: skip
    assert watch.seconds == pytest.approx(events[-1].seconds, abs=0.05)
    for quiet in (False, True):
        view = CompileView(quiet, lambda: None)
        for event in events:
            view.show(event)
        said = capsys.readouterr().err.splitlines()
        assert len(said) == (0 if quiet else 2), said
        assert quiet or ("compiling" in said[0] and "2 functions" in said[1])


def test_what_is_loaded_is_not_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_call_all_kernels", lambda _dtype: None)
    watch = CompileWatch(lambda _event: pytest.fail("nothing was compiled"))
    watch.warm_up(torch.float32)
    assert watch.seconds == 0


def test_a_stop_ends_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compiling, "_call_all_kernels", compile_two)
    with pytest.raises(KeyboardInterrupt):
        CompileWatch(CompileView(True, stop).show).warm_up(torch.float32)


def test_compilation_takes_no_time_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour of compilation, of a run of 30 minutes that began an hour ago."""

    def warm_up(watch: CompileWatch, _dtype: torch.dtype) -> None:
        watch.seconds += 3600

    monkeypatch.setattr(CompileWatch, "warm_up", warm_up)
    (tmp_path / "x.txt").write_text("the light is low and the wind is from the north\n" * 20)
    config = Config().override(
        {"hidden_size": 6, "maxlen": 8, "batch_size": 3, "kernel": "compiled", "minutes": 30.0,
         "precision": "float32", "sample_every": 0}
    )  # fmt: skip
    config = config.override({"epochs": 10**6})

    def steps_of(trainer: Trainer) -> int:
        assert trainer.stopwatch.seconds < 600
        before = trainer.progress.step
        for _ in trainer.train():
            if trainer.progress.step - before >= 3:
                trainer.request_stop()
        return trainer.progress.step - before

    begun = time.monotonic() - 3600
    trainer = new_run(
        [str(tmp_path / "x.txt")], config, runs_dir=tmp_path, name="x", notice=lambda _: None,
        begun=begun,
    )  # fmt: skip
    assert steps_of(trainer) == 3
    again = resume_run(
        trainer.run, {}, [], notice=lambda _: None, begun=time.monotonic() - 3600
    )  # fmt: skip
    assert steps_of(again) == 3
