"""How long until something is seen: help, and the first character of a sample?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from common import interleave, machine, markdown, timed

from charlstm.checkpoint import save_checkpoint
from charlstm.config import Config
from charlstm.inference.weights import weight_shapes
from charlstm.text.tokenizer import CharTokenizer

CHARLSTM = str(Path(sys.executable).parent / "charlstm")


def first_character(arguments: list[str]) -> float:
    """Seconds from starting a process to its first byte of output."""
    start = time.perf_counter()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        os.read(process.stdout.fileno(), 1)
        seconds = time.perf_counter() - start
        process.stdout.read()
    return seconds


def run() -> str:
    """The table, in Markdown."""
    config = Config().override({"num_layers": 2, "hidden_size": 256})
    tokenizer = CharTokenizer("".join(map(chr, range(32, 97))))
    rng = np.random.default_rng(0)
    weights = {
        f"model/{name}": (rng.normal(size=shape) / 16).astype(np.float32)
        for name, shape in weight_shapes(config.model, len(tokenizer)).items()
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        meta = {"config": config.to_json(), "tokenizer": tokenizer.to_json()}
        save_checkpoint(path, meta, weights)
        sample = [CHARLSTM, "sample", str(path), "--length", "200"]
        times = interleave(
            {
                "bare interpreter, `python -c pass`": lambda: timed(
                    lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)
                ),
                "`python -c 'import numpy'`": lambda: timed(
                    lambda: subprocess.run([sys.executable, "-c", "import numpy"], check=True)
                ),
                "`python -c 'import torch'`": lambda: timed(
                    lambda: subprocess.run([sys.executable, "-c", "import torch"], check=True)
                ),
                "`charlstm --help`": lambda: timed(
                    lambda: subprocess.run([CHARLSTM, "--help"], check=True, capture_output=True)
                ),
                "`charlstm train --help`": lambda: timed(
                    lambda: subprocess.run(
                        [CHARLSTM, "train", "--help"], check=True, capture_output=True
                    )
                ),
                "`charlstm sample`, 2x256, first character": lambda: first_character(sample),
            },
            rounds=9,
        )
    bare = times["bare interpreter, `python -c pass`"].median
    rows = [
        [name, f"{t.median:.3f} ({t.spread})", f"{t.median - bare:+.3f}"]
        for name, t in times.items()
    ]
    return (
        "## Start-up: seconds, whole process\n\n"
        f"`python benchmarks/startup.py`. {machine()}.\n\n"
        + markdown(["what", "seconds", "above the bare interpreter"], rows)
    )


if __name__ == "__main__":
    print(run())
