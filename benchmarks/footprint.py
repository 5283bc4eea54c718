"""What can be trained and sampled in 8 GB of memory, and how good is the estimate?

Each configuration trains for three steps and an evaluation, and writes 50 characters, each in a
process of its own whose memory is limited by RLIMIT_DATA (`ulimit -d`). The table has the peak of
the resident memory, and the estimate of `charlstm.training.footprint`.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from common import ROOT, machine, markdown

CHARLSTM = [sys.executable, "-m", "charlstm"]


class Shape(NamedTuple):
    """A configuration."""

    units: int
    layers: int
    batch_size: int
    maxlen: int
    precision: str
    kernel: str


SHAPES = (
    Shape(512, 1, 32, 64, "bfloat16", "compiled"),
    Shape(512, 2, 512, 128, "float32", "torch"),
    Shape(1024, 2, 128, 256, "bfloat16", "compiled"),
    Shape(2048, 2, 64, 128, "float32", "torch"),
    Shape(4096, 2, 16, 64, "float32", "torch"),
    Shape(4096, 3, 16, 64, "bfloat16", "compiled"),
    Shape(8192, 2, 16, 64, "bfloat16", "compiled"),
)


def limited(command: Sequence[str], limit: int) -> tuple[int, str, float]:
    """Exit code, stderr, and peak memory in GB of a command under a limit in bytes."""
    shell = ["sh", "-c", f'ulimit -d {limit // 1024}; exec "$@"', "sh", *command]
    process = subprocess.Popen(shell, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    unit = 1e9 if sys.platform == "darwin" else 1e9 / 1024  # bytes there, KiB elsewhere
    return os.waitstatus_to_exitcode(status), errors, usage.ru_maxrss / unit


def row(shape: Shape, text: str, limit: int) -> list[str]:
    """A line of the table."""
    chars = int(1.3 * shape.batch_size * shape.maxlen) + 200
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "text.txt"
        source.write_text((text * (chars // len(text) + 1))[:chars], "utf-8")
        train = [
            *CHARLSTM, "train", str(source), "--runs-dir", folder, "--name", "run",
            "--hidden-size", str(shape.units), "--layers", str(shape.layers),
            "--batch-size", str(shape.batch_size), "--maxlen", str(shape.maxlen),
            "--precision", shape.precision, "--kernel", shape.kernel, "--epochs", "1",
            "--stop-after", "3", "--sample-every", "0",
        ]  # fmt: skip
        code, errors, peak = limited(train, limit)
        estimate = re.search(r"([\d.]+) GB of memory", errors)
        sampled = ""
        if code == 0:
            sample = [*CHARLSTM, "sample", f"{folder}/run", "--length", "50"]
            sample_code, _, sample_peak = limited(sample, limit)
            sampled = "fails" if sample_code else f"{sample_peak:.2f}"
    return [
        f"{shape.layers}x{shape.units}", f"{shape.batch_size}x{shape.maxlen}",
        f"{shape.precision} {shape.kernel}", estimate[1] if estimate else "?",
        f"{peak:.2f}" if code == 0 else "refused" if "this training needs" in errors else "fails",
        sampled,
    ]  # fmt: skip


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=8.0)
    options = parser.parse_args()
    text = (ROOT / "corpora" / "lighthouse.txt").read_text("utf-8")
    header = ["model", "batch", "products", "estimate, GB", "training, GB", "sampling, GB"]
    rows = [row(shape, text, int(1e9 * options.gigabytes)) for shape in SHAPES]
    print(
        f"## What fits in {options.gigabytes:g} GB of memory?\n\n"
        f"`python benchmarks/footprint.py`. {machine()}. Coupled cells; peaks of resident memory "
        "in three steps of training with AdamW and an evaluation, and in sampling 50 characters; "
        "`refused`: an error before training.\n\n" + markdown(header, rows)
    )


if __name__ == "__main__":
    main()
