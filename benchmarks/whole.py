"""`charlstm train` as a user runs it: a fresh process, and what it says of itself."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import timed
from train_overhead import PLAY, precision

CHARLSTM = [sys.executable, "-m", "charlstm"]


@dataclass(frozen=True)
class Shape:
    """A model and the batches it learns from."""

    layers: int
    hidden: int
    batch: int = 64
    maxlen: int = 64

    @property
    def name(self) -> str:
        """Layers x units."""
        return f"{self.layers}x{self.hidden}"


@dataclass(frozen=True)
class Run:
    """What a run learned from and took.

    Attributes:
        chars: target characters.
        seconds: the program's own: training with windows, clipping, log and saves, without the
            start of the interpreter and reading.
        whole: of the process.
    """

    chars: int
    seconds: float
    whole: float


@functools.cache
def has_processes() -> bool:
    """Whether training can be shared among processes here."""
    result = subprocess.run([*CHARLSTM, "train", "--help"], check=True, stdout=subprocess.PIPE)
    return b"--processes" in result.stdout


def train_options(shape: Shape, precision: str) -> dict[str, Any]:
    """Options of a run of one epoch, for `charlstm.train` or, with dashes, the command."""
    return {
        "layers": shape.layers, "hidden_size": shape.hidden, "batch_size": shape.batch,
        "maxlen": shape.maxlen, "dropout": 0,
        # What would be chosen otherwise: the rivals learn with a plain LSTM from one-hot rows.
        "cell": "lstm", "embedding": 0, "recurrent_dropout": 0, "grow": 0, "reset": 0,
        "epochs": 1, "sample_every": 0, "split": "tail", "val_fraction": 0.0002,
        "precision": precision,
    }  # fmt: skip


def arguments(text: Path, shape: Shape, folder: str, precision: str) -> list[str]:
    """Of a command that trains for one epoch and reports what it did as JSON."""
    words = ["train", str(text), "--runs-dir", folder, "--json", "--quiet"]
    for name, value in train_options(shape, precision).items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def train(text: Path, shape: Shape, processes: int = 0, kernel: str = "auto") -> Run:
    """One run over a text; 0 processes leave that option out."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*CHARLSTM, *arguments(text, shape, folder, precision())]
        command += ["--kernel", kernel]
        if processes:
            command += ["--processes", str(processes)]
        output: list[str] = []

        def run() -> None:
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            output.append(result.stdout)

        whole = timed(run)
    summary = json.loads(output[0])
    return Run(int(summary["step"]) * shape.batch * shape.maxlen, float(summary["seconds"]), whole)


def sized_text(path: Path, shape: Shape, seconds: float) -> Path:
    """Write a text that takes about so many seconds of training, by two quick probes.

    The play, again and again.
    """
    play = PLAY.read_text("utf-8")
    # A few steps; the first of them are slow, so that a second probe corrects the first.
    chars = 6 * shape.batch * shape.maxlen
    for share in (0.25, 1.0):
        path.write_text((play * math.ceil(chars / len(play)))[:chars], "utf-8")
        run = train(path, shape)
        chars = max(chars, round(run.chars / run.seconds * seconds * share))
    path.write_text((play * math.ceil(chars / len(play)))[:chars], "utf-8")
    return path
