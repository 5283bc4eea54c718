"""The library's front door: charlstm.train and charlstm.start_training."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import charlstm
from charlstm.config.keywords import options_from_keywords
from charlstm.config.start import StartConfig
from charlstm.config.train import TrainConfig
from charlstm.errors import (
    ArgumentTypeError,
    CharlstmError,
    ConfigError,
    RunError,
    SourceError,
)
from charlstm.format.checkpoint import load_checkpoint
from charlstm.training.events import Evaluated, Saved, Stepped, Stopped
from tests.conftest import Program

TINY: dict[str, Any] = {
    "hidden_size": 8, "maxlen": 8, "batch_size": 4, "sample_every": 0, "precision": "float32",
    "kernel": "torch", "recipe": "stacked50", "layers": 1, "epochs": 2,
}  # fmt: skip


def weights(run: Path) -> dict[str, bytes]:
    return {n: a.tobytes() for n, a in load_checkpoint(run / "last.npz").part("model").items()}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_it_trains_as_the_command_does(corpus_file: Path, program: Program) -> None:
    run = charlstm.train(corpus_file, name="library", **TINY)
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    result = program("train", corpus_file, "--name", "command", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert weights(run.folder) == weights(Path("checkpoints/command"))
    assert (run.name, run.stopped, run.step, run.epoch, run.best_step) == (
        "library", record["stopped"], record["step"], record["epoch"], record["best_step"],
    )  # fmt: skip
    assert run.best_nats_per_char == record["best_nats_per_char"]
    assert run.best_bits_per_char == record["best_bits_per_char"]
    assert len(run.history) == 2
    assert run.load().path == run.folder / "best.npz"


def test_a_text_itself(text: str) -> None:
    """It gives what a file with that text gives, and can be resumed."""
    Path("text.txt").write_text(text, "utf-8")
    file = charlstm.train("text.txt", name="file", **TINY)
    memory = charlstm.train(text=text.rstrip("\n").replace("\n", "\r\n"), **TINY)
    assert memory.name == "text"
    assert weights(memory.folder) == weights(file.folder)
    more = [charlstm.train(resume=run.folder, more_epochs=1) for run in (file, memory)]
    assert [run.epoch for run in more] == [3, 3]
    assert weights(more[0].folder) == weights(more[1].folder)


def test_events_and_notices(text: str, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Any] = []
    notices: list[str] = []
    options = {**TINY, "maxlen": 100_000}
    charlstm.train(text=text, on_event=events.append, on_notice=notices.append, **options)
    kinds = {Stepped, Evaluated, Saved, Stopped}
    assert {type(event) for event in events} == kinds
    assert events[-1] == Stopped("finished")
    assert any("--maxlen reduced" in notice for notice in notices)
    assert not caplog.records
    with caplog.at_level(logging.INFO, "charlstm"):
        charlstm.train(text=text, **options)
    assert any("--maxlen reduced" in record.message for record in caplog.records)


def test_a_training_is_stopped_and_resumed_to_the_bit(text: str) -> None:
    whole = charlstm.train(text=text, name="whole", **TINY)
    training = charlstm.start_training(text=text, name="half", **TINY)
    with pytest.raises(RunError, match="has not ended"):
        _ = training.result
    for event in training:
        if isinstance(event, Stepped) and event.step == 30:
            training.stop()
    assert (training.result.stopped, training.result.step) == ("interrupted", 30)
    rest = charlstm.train(resume=True)
    assert rest.folder == training.folder
    assert weights(rest.folder) == weights(whole.folder)
    assert rest.history == whole.history


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "words"),
    [
        ([], {}, ConfigError, "give a text"),
        ([3], {}, ArgumentTypeError, "texts must be a path"),
        ([[b"x"]], {}, ArgumentTypeError, "must be a path"),
        ([b"x"], {}, ArgumentTypeError, "(str or PathLike), not b'x'"),
        (["x"], {"val": b"y"}, ArgumentTypeError, "(str or PathLike), not b'y'"),
        (["x"], {"val": 0}, ArgumentTypeError, "(str or PathLike), not 0"),
        (["x"], {"val": ""}, ConfigError, "val= has no path"),
        (["x"], {"replay_text": 3}, ArgumentTypeError, "replay_text must be a path"),
        (["x"], {"from_": "y"}, ArgumentTypeError, "Did you mean 'base'"),
        (["to be\nor not"], {}, ConfigError, "text="),
        (["x"], {"text": "y"}, ConfigError, "not both"),
        ([], {"text": 3}, ArgumentTypeError, "text must be a text"),
        ([], {"text": "a\0b"}, SourceError, "NUL"),
        ([], {"text": "a", "val_text": "a\0b"}, SourceError, "val_text has a NUL"),
        ([], {"text": "", "resume": True}, ConfigError, "new runs"),
        (["x"], {"hiden_size": 3}, ArgumentTypeError, "Did you mean 'hidden_size'"),
        (["x"], {"hidden_size": "3"}, ArgumentTypeError, "--hidden-size"),
        (["x"], {"hidden_size": 0}, ConfigError, "--hidden-size 0 is out of range"),
        (["x"], {"size": "tiny", "hidden_size": 3}, ConfigError, "--size and --hidden-size"),
        (["x"], {"size": "huge"}, ConfigError, "tiny, small"),
        (["x"], {"recipe": "x"}, ConfigError, "choose from: tutorial"),
        (["x"], {"name": "a/b"}, ConfigError, "is not valid"),
        (["x"], {"more_epochs": 1}, ConfigError, "require --resume"),
        (["x"], {"layers": 1, "num_layers": 1}, ArgumentTypeError, "one option"),
        (["no.txt"], {}, SourceError, "cannot read"),
        (["x"], {"processes": 2}, ConfigError, "torchrun"),
        ([], {"resume": "x"}, RunError, "'x' is not a run"),
        ([], {"resume": True, "name": "x"}, ConfigError, "for new runs"),
        ([], {"resume": 3}, ArgumentTypeError, "resume must be a path"),
        (["x"], {"runs_dir": 3}, ArgumentTypeError, "runs_dir must be a path"),
    ],
)  # fmt: skip
def test_wrong_arguments(
    arguments: list[Any], options: dict[str, Any], kind: type[CharlstmError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        charlstm.train(*arguments, **options)
    assert words in str(caught.value)
    assert not Path("checkpoints").exists()


def test_options_have_the_names_of_the_command_line() -> None:
    kinds = (TrainConfig, StartConfig)
    options = {"processes": "auto", "lr": None, "name": "x", "epochs": 3}
    assert options_from_keywords(options, *kinds) == {"processes": 0, "name": "x", "epochs": 3}
