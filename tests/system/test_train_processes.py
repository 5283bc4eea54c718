"""Trainings that are interrupted, killed, hung up and met by others: real processes, signals."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from charlstm.format.checkpoint import load_checkpoint
from tests.cli.test_train import assert_same_run
from tests.conftest import Program, assert_clear, read_terminal
from tests.system.conftest import MANY_STEPS, begin
from tests.zygote import wait_until

LONG = ["--epochs", "6", "--save-every", "25", "--log-every", "10"]


def test_killed_in_mid_epoch_and_resumed(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    runs = tmp_path / "checkpoints"
    assert program("train", corpus_file.name, *MANY_STEPS, *LONG, "--name", "whole").returncode == 0
    process = begin(tmp_path, "train", corpus_file.name, *MANY_STEPS, *LONG, "--name", "killed")
    log = runs / "killed" / "metrics.jsonl"
    wait_until(lambda: log.exists() and '"step": 190' in log.read_text())
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert program("train", "--resume", "checkpoints/killed").returncode == 0
    assert_same_run(runs / "whole", runs / "killed")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_say_how_to_go_on(
    program: Program, corpus_file: Path, tmp_path: Path, number: int, code: int
) -> None:
    runs = tmp_path / "checkpoints"
    assert program("train", corpus_file.name, *MANY_STEPS, *LONG, "--name", "whole").returncode == 0
    process = begin(tmp_path, "train", corpus_file.name, *MANY_STEPS, *LONG, "--name", "cut short")
    log = runs / "cut short" / "metrics.jsonl"
    wait_until(lambda: log.exists() and '"step": 100' in log.read_text())
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == code, errors
    last = errors.decode().splitlines()[-1]
    assert last == "charlstm train --resume 'checkpoints/cut short'"
    assert program("train", "--resume", "checkpoints/cut short").returncode == 0
    assert_same_run(runs / "whole", runs / "cut short")


def test_a_closed_terminal_saves(corpus_file: Path, tmp_path: Path) -> None:
    last = tmp_path / "checkpoints" / "play" / "last.npz"
    process, primary = pty.fork()
    if process == 0:  # the leader of a session whose terminal this is
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # even where the tests were begun by nohup
        os.chdir(tmp_path)
        options = [*MANY_STEPS, "--epochs", "100000", "--sample-every", "0"]
        os.execv(sys.executable, [sys.executable, "-m", "charlstm", "train", "play.txt", *options])
    termios.tcsetwinsize(primary, (24, 80))  # without a width there is no bar
    read_terminal(primary, until=b"chars/s")  # the bar has this once steps are done
    before = load_checkpoint(last).meta["progress"]["step"]
    os.close(primary)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP
    assert load_checkpoint(last).meta["progress"]["step"] > before


def test_nohup_is_heeded(corpus_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "checkpoints" / "play" / "metrics.jsonl"
    process = begin(
        tmp_path, "train", corpus_file.name, *MANY_STEPS, *LONG,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    wait_until(lambda: log.exists() and '"step": 50' in log.read_text())
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert b"done: 6 epochs" in errors


def test_a_second_ctrl_c_stops_at_once(corpus_file: Path, tmp_path: Path) -> None:
    # Steps of some seconds each, so that the second signal comes before the first step's end.
    process = begin(
        tmp_path, "train", corpus_file.name, "--layers", 2, "--hidden-size", 1000, "--maxlen",
        1000, "--batch-size", 5, "--precision", "float32", "--kernel", "torch", "--keep", 0,
    )  # fmt: skip
    wait_until((tmp_path / "checkpoints" / "play" / "last.npz").exists)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped at once" in errors.decode()
    assert "Traceback" not in errors.decode()
    load_checkpoint(tmp_path / "checkpoints" / "play" / "last.npz")


def test_a_signal_while_a_text_is_read(tmp_path: Path) -> None:
    process = begin(tmp_path, "train", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"abc" * 1000)
    process.stdin.flush()
    time.sleep(4)  # torch is loaded, standard input is open, and no end of it in sight
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate()
    assert process.returncode == 143, errors
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_has_one_trainer_at_a_time(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "checkpoints" / "play"
    process = begin(tmp_path, "train", corpus_file.name, *MANY_STEPS, "--epochs", 10**6)
    wait_until((run / "best.npz").exists)
    (run / ".last.npz.old.tmp").touch()
    result = program("train", "--resume", "checkpoints/play", "--epochs", 2)
    assert_clear(result, 1, "checkpoints/play is being trained by another process")
    taken = program("train", corpus_file.name, "--name", "play")
    assert_clear(taken, 1, "'play'", "another process is training it")
    assert "--resume" not in taken.stderr
    assert program("sample", "--length", 5).returncode == 0
    process.kill()  # the lock dies with its owner
    process.communicate()
    epoch = load_checkpoint(run / "last.npz").meta["progress"]["epoch"]
    again = program("train", "--resume", "--epochs", epoch + 1)
    assert again.returncode == 0, again.stderr
    assert not list(run.glob(".*"))
