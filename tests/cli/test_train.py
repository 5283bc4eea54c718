"""`charlstm train` as a person or a script meets it."""

from __future__ import annotations

import json
import os
import pty
import signal
import termios
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.format.checkpoint import load_checkpoint
from tests.conftest import (
    TINY,
    Program,
    assert_clear,
    names,
    read_terminal,
    start_program,
)
from tests.zygote import wait_until


def losses(run: Path) -> list[tuple[Any, ...]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [tuple(line[k] for k in ("step", "epoch", "train_nats", "val_nats")) for line in lines]


def assert_same_run(one: Path, other: Path) -> None:
    assert losses(one) == losses(other)
    for name in ("best.npz", "last.npz"):
        a, b = load_checkpoint(one / name), load_checkpoint(other / name)
        assert a.arrays.keys() == b.arrays.keys()
        for key in a.arrays:
            np.testing.assert_array_equal(a.arrays[key], b.arrays[key], err_msg=key)


def test_train_and_what_it_leaves(program: Program, corpus_file: Path, tmp_path: Path) -> None:
    result = program("train", corpus_file.name, *TINY, "--epochs", 1, "--json")
    assert result.returncode == 0, result.stderr
    run = tmp_path / "checkpoints" / "play"
    assert names(list(run.iterdir())) == [
        "best.npz", "last.npz", "metrics.jsonl", "step-00000000.npz",
    ]  # fmt: skip
    summary = json.loads(result.stdout)
    assert summary["run"] == "checkpoints/play"
    assert summary["stopped"] == "finished"
    assert summary["epoch"] == 1
    assert "charlstm sample checkpoints/play" in result.stderr
    assert "bits/char" in result.stderr
    assert "\r" not in result.stderr  # no bar where there is no terminal


def test_quiet_says_nothing(program: Program, corpus_file: Path) -> None:
    result = program("train", corpus_file.name, *TINY, "--epochs", 1, "--quiet")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_ten_epochs_and_ten_more_equal_twenty(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "checkpoints"
    corpus_file.write_text(corpus_file.read_text("utf-8")[:2000], "utf-8")
    common = [corpus_file.name, *TINY, "--epochs", 20]
    assert program("train", *common, "--name", "whole").returncode == 0
    assert program("train", *common, "--name", "half", "--stop-after", 10).returncode == 0
    assert max(line[1] for line in losses(runs / "half")) == 10
    assert program("train", "--resume", "checkpoints/half").returncode == 0
    assert_same_run(runs / "whole", runs / "half")


def test_more_epochs_under_a_constant_schedule(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    common = [corpus_file.name, *TINY, "--schedule", "constant", "--grow", 0]
    assert program("train", *common, "--name", "whole", "--epochs", 4).returncode == 0
    assert program("train", *common, "--name", "half", "--epochs", 2).returncode == 0
    assert program("train", "--resume", "half", "--epochs", 4).returncode == 0
    assert_same_run(tmp_path / "checkpoints/whole", tmp_path / "checkpoints/half")


def test_a_terminal_gets_a_bar(corpus_file: Path, tmp_path: Path) -> None:
    primary, secondary = pty.openpty()
    termios.tcsetwinsize(secondary, (24, 80))
    child = start_program(
        "train", corpus_file.name, *TINY, "--epochs", 2,
        cwd=tmp_path, stderr=os.ttyname(secondary), env={"TERM": "xterm"},
    )  # fmt: skip
    shown = read_terminal(primary, b"epoch 2 of 2")
    assert child.wait() == 0
    os.close(secondary)
    assert b"%|" in shown
    assert b"epoch 2 of 2" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.txt"], 1, ["none.txt", "No such file"]),
        (["empty.txt"], 1, ["no text", "empty.txt"]),
        (["folder"], 1, ["folder", "--glob"]),
        (["binary.txt"], 1, ["binary.txt", "binary"]),
        (["latin.txt"], 1, ["latin.txt", "offset 3", "--encoding"]),
        (["one.txt", "--val-fraction", "0"], 1, ["1 character", "at least 2"]),
        (["play.txt", "--recipe", "x"], 2, ["--recipe 'x'", "tutorial"]),
        (["play.txt", "--cell", "x"], 2, ["--cell 'x'", "lstm"]),
        (["play.txt", "--lr", "-1"], 2, ["--lr -1", "0 <"]),
        (["play.txt", "--hidden-size", "0"], 2, ["--hidden-size 0", "1 <= x"]),
        (["play.txt", "--hidden-size", "many"], 2, ["--hidden-size", "many"]),
        (["play.txt", "--encoding", "x"], 2, ["--encoding 'x'"]),
        (["play.txt", "--runs-dir", "/dev/null/x"], 1, ["/dev/null/x"]),
        (["play.txt", "--nonsense"], 2, ["--nonsense", "charlstm train -h"]),
        ([], 2, ["give a text"]),
        (["--resume"], 1, ["no run in checkpoints yet", "charlstm train"]),
        (["--resume", "nowhere"], 1, ["'nowhere' is not a run"]),
    ],
    ids=str,
)
def test_errors(
    program: Program, corpus_file: Path, tmp_path: Path,
    arguments: list[str], code: int, words: list[str],
) -> None:  # fmt: skip
    (tmp_path / "empty.txt").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.txt").write_bytes(bytes(range(256)) * 4)
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9 au lait\n")
    (tmp_path / "one.txt").write_bytes(b"\n")
    assert_clear(program("train", *arguments), code, *words)
    assert not (tmp_path / "checkpoints").exists()


def test_an_absent_device(program: Program, corpus_file: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has the device")
    result = program("train", corpus_file.name, "--device", "cuda")
    assert_clear(result, 1, "--device cuda", "cpu")


def test_a_name_that_exists(program: Program, corpus_file: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "x").mkdir(parents=True)
    command = ("train", corpus_file.name, *TINY, "--name", "x", "--epochs", 1)
    assert program(*command).returncode == 0  # an empty folder is nobody's
    refused = program(*command)
    assert_clear(refused, 1, "'x'", "--resume")
    assert refused.stderr.startswith("Error")  # nothing was chosen or printed before
    # Nor is anything read, or measured, or made.
    assert_clear(program("train", "none.txt", "--name", "x"), 1, "'x'", "--resume")


def test_a_name_that_another_process_is_setting_up(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    """It waits for standard input: nothing of the run is saved yet."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    child = start_program("train", "-", "--name", "x", cwd=tmp_path, stdin=str(pipe))
    wait_until((tmp_path / "checkpoints" / "x").exists)
    refused = program("train", corpus_file.name, "--name", "x")
    assert_clear(refused, 1, "'x'", "is training it", "--name")
    assert refused.stderr.startswith("Error")
    child.signal(signal.SIGTERM)
    child.wait()
    os.close(writer)
    assert not (tmp_path / "checkpoints").exists()


def test_resume_errors(program: Program, corpus_file: Path, tmp_path: Path) -> None:
    assert program("train", corpus_file.name, *TINY, "--epochs", 1, "--keep", 0).returncode == 0
    resume = ("train", "--resume", "checkpoints/play")
    assert_clear(program(*resume, "--hidden-size", 17), 1, "--hidden-size cannot change", "16")
    assert_clear(program(*resume, "--name", "y"), 2, "--name")
    # An option is held against the run's own, not against the defaults.
    assert_clear(program(*resume, "--zoneout", 0.3), 1, "--zoneout cannot change", "0.3")
    assert_clear(program(*resume, "--zoneout", 3), 2, "--zoneout 3", "x < 1")
    corpus_file.write_text("something else\n" * 100)
    assert_clear(program(*resume, "--epochs", 2), 1, "not the one", "play")
    last = tmp_path / "checkpoints" / "play" / "last.npz"
    whole = last.read_bytes()
    for damaged in (whole[:-100], whole[:1000] + b"\xff" + whole[1001:], b"no checkpoint"):
        last.write_bytes(damaged)
        result = program(*resume, "--epochs", 2)
        assert result.returncode == 1
        assert "last.npz" in result.stderr
        assert "Traceback" not in result.stderr


def test_a_finished_run_says_so(program: Program, corpus_file: Path) -> None:
    assert program("train", corpus_file.name, *TINY, "--epochs", 1).returncode == 0
    result = program("train", "--resume")
    assert result.returncode == 0
    assert "nothing left to do" in result.stderr
    assert "done: 1 epoch," in result.stderr
    assert "--more-epochs 1" in result.stderr


def test_a_full_disk(program: Program, corpus_file: Path, tmp_path: Path) -> None:
    """A limit on a file's size stands for a disk that fills up."""
    limit = 10_000
    result = program("train", corpus_file.name, *TINY, "--epochs", 1, file_limit=limit)
    assert_clear(result, 1, "cannot save checkpoints/play/last.npz", "MB are free")
    assert not (tmp_path / "checkpoints" / "play").exists()
    # A run that is there already stays, and the error shows how it goes on.
    assert program("train", corpus_file.name, *TINY, "--epochs", 1).returncode == 0
    result = program("train", "--resume", "play", "--epochs", 2, file_limit=limit)
    assert_clear(result, 1, "MB are free", "charlstm train --resume checkpoints/play")
    assert program("train", "--resume", "play", "--epochs", 2).returncode == 0


def test_ctrl_c_saves_and_says_how_to_resume(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    die = ["charlstm.training.loop.Trainer._step", 3, False, signal.SIGINT]
    result = program("train", corpus_file.name, *TINY, "--epochs", 2, "--json", die=die)
    assert result.returncode == 130, result.stderr
    assert result.stderr.splitlines()[-2:] == [
        "stopped at step 3, everything saved. To resume:",
        "charlstm train --resume checkpoints/play",
    ]
    assert json.loads(result.stdout)["stopped"] == "interrupted"
    assert load_checkpoint(tmp_path / "checkpoints/play/last.npz").meta["progress"]["step"] == 3


def test_a_folder_that_is_moved_during_training(corpus_file: Path, tmp_path: Path) -> None:
    child = start_program("train", corpus_file.name, *TINY, "--epochs", 100000, cwd=tmp_path)
    run = tmp_path / "checkpoints" / "play"
    wait_until((run / "best.npz").exists)
    run.rename(tmp_path / "elsewhere")
    assert child.wait() == 1
    assert "has been moved or removed" in child.errors
    assert "to resume" not in child.errors


def test_a_text_that_has_gone(program: Program, corpus_file: Path, tmp_path: Path) -> None:
    assert program("train", corpus_file.name, *TINY, "--epochs", 1).returncode == 0
    corpus_file.rename(tmp_path / "moved.txt")
    result = program("train", "--resume", "--epochs", 2)
    assert_clear(result, 1, "play.txt", "new path")
    assert_clear(program("eval"), 1, "play.txt", "Restore it, or give a text to evaluate on")
    assert program("train", "--resume", "play", "moved.txt", "--epochs", 2).returncode == 0
    assert program("eval").returncode == 0  # the new place is known now
    (tmp_path / "moved.txt").write_text("ÿ" + corpus_file.name * 50)
    assert_clear(program("eval"), 1, "moved.txt", "it has changed")


def test_weights_that_grow_beyond_measure(program: Program, corpus_file: Path) -> None:
    result = program(
        "train", corpus_file.name, *TINY, "--optimizer", "sgd", "--lr", 1000, "--weight-decay",
        1000, "--warmup", 0,
    )  # fmt: skip
    assert_clear(result, 1, "finite", "--lr")
    assert program("sample", "--length", 5).returncode == 0


def test_out_of_memory_is_told() -> None:
    import torch

    from charlstm.cli import _is_out_of_memory

    for ask in (lambda: torch.empty(2**55), lambda: np.empty(2**55)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            ask()
        assert _is_out_of_memory(caught.value)
    assert not _is_out_of_memory(RuntimeError("a shape is wrong"))


def test_more_threads_than_cores(program: Program, corpus_file: Path) -> None:
    # A few steps: threads wait for each other where more of them run than there are processors.
    corpus_file.write_text(corpus_file.read_text("utf-8")[:1000], "utf-8")
    result = program("train", corpus_file.name, *TINY, "--epochs", 1, "--threads", 4096)
    assert result.returncode == 0, result.stderr
    assert "--threads reduced from 4096" in result.stderr
