"""Ctrl-C at any moment of a training's start."""

from __future__ import annotations

import os
import pty
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from charlstm.runs.folder import Run
from tests.conftest import read_terminal
from tests.system.conftest import Count, Record
from tests.zygote import Zygote

START = [
    "train", "play.txt", "--name", "x", "--hidden-size", "16", "--maxlen", "8", "--batch-size", "4",
    "--sample-every", "0", "--epochs", "2", "--precision", "float32", "--kernel", "torch",
]  # fmt: skip


def assert_stopped(said: str, code: int, run: Path) -> None:
    """The program has ended for the signal, and said so once; nothing half done is left."""
    assert code == 128 + signal.SIGINT, said
    assert "Traceback" not in said, said
    assert "Exception ignored" not in said, said
    stops = [line for line in said.splitlines() if "stopped" in line]
    assert len(stops) == 1, said
    if "Error: stopped" in stops[0]:
        assert Run(run).saved_at() is None, said
        assert not run.exists() or not any(run.iterdir())
    else:
        assert "everything saved" in stops[0]
        assert said.splitlines()[-1].startswith("charlstm train --resume ")
        assert Run(run).last.is_file()


@pytest.mark.parametrize("kernel", ["torch", "compiled"])
def test_7_a_signal_at_any_call_of_the_start(
    zygote: Zygote, folder: Path, count: Count, record: Record, kernel: str
) -> None:
    if kernel == "compiled":
        pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    moments = count("moments", 3, 200)
    start = [*START, "--kernel", kernel]
    run = folder / "checkpoints" / "x"
    for _ in range(2):  # the first may compile
        shutil.rmtree(run, ignore_errors=True)
        assert zygote.run(*start, cwd=folder, moment=[10**12, signal.SIGINT]).code == 0
    calls = int((folder / "calls").read_text())
    chance = random.Random(7)
    for number in range(moments):
        shutil.rmtree(run)
        moment = calls * number // moments + chance.randint(1, calls // moments)
        child = zygote.run(*start, cwd=folder, moment=[moment, signal.SIGINT])
        assert child.code is not None
        assert_stopped(child.errors, child.code, run)
        run.mkdir(parents=True, exist_ok=True)
    record(7, f"Ctrl-C at {moments} of {calls:,} calls before the first step, kernel {kernel}")


def test_7_a_stop_is_no_error_of_compiled_code(zygote: Zygote, folder: Path) -> None:
    """The check whether compiled code works handles any error; a stop is none."""
    pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    die = ["charlstm.nn.kernel_ops.lstm_window", 1, False, signal.SIGINT]
    child = zygote.run(*START, "--kernel", "compiled", cwd=folder, die=die)
    assert child.code is not None
    assert_stopped(child.errors, child.code, folder / "checkpoints" / "x")


def test_7_ctrl_c_on_a_terminal(folder: Path, count: Count, record: Record) -> None:
    """A new process on a terminal: its imports, its set-up and its first steps."""
    times = count("keys", 2, 200)
    run = folder / "checkpoints" / "x"
    seconds = 0.0
    for number in range(times + 1):
        shutil.rmtree(run, ignore_errors=True)
        began = time.monotonic()
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(folder)
            os.execv(
                sys.executable, [sys.executable, "-m", "charlstm", *START, "--epochs", "99999"]
            )
        if number == 0:  # how long the start takes
            said = read_terminal(terminal, until=b"streams of up to")
            seconds = time.monotonic() - began
        else:
            # The interpreter's own start, about 0.1 seconds, is not the program's.
            read = 0.25 + seconds * (number - 1) / times
            time.sleep(read)
            said = b""
        os.write(terminal, b"\x03")
        said += read_terminal(terminal)
        _, status = os.waitpid(process, 0)
        os.close(terminal)
        assert_stopped(said.decode(), os.waitstatus_to_exitcode(status), run)
    record(7, f"Ctrl-C on a terminal at {times} times in the first {seconds:.1f} s")
