"""How long until something is seen, and how much memory does it take?

Of `sample`, its first character; of `train`, its first message and its first step, which is the
first line in metrics.jsonl with `--log-every 1`; of the others, their end.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import ROOT, Timing, interleave, machine, markdown
from until import Seen, until

from charlstm.config import Config
from charlstm.format.checkpoint import save_checkpoint
from charlstm.format.weights import weight_shapes
from charlstm.text.tokenizer import CharTokenizer

CHARLSTM = [sys.executable, "-m", "charlstm"]
LAYERS, HIDDEN = 2, 256


def save_model(path: Path) -> None:
    """A model with random weights."""
    config = Config().override({"num_layers": LAYERS, "hidden_size": HIDDEN})
    tokenizer = CharTokenizer("".join(map(chr, range(32, 97))))
    rng = np.random.default_rng(0)
    weights = {
        f"model/{name}": (rng.normal(size=shape) / 16).astype(np.float32)
        for name, shape in weight_shapes(config.model, len(tokenizer)).items()
    }
    meta = {"config": config.to_json(), "tokenizer": tokenizer.to_json()}
    save_checkpoint(path, meta, weights)


def training(sign: str) -> Seen:
    """`train` until a first sign."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            *CHARLSTM, "train", str(ROOT / "corpora" / "lighthouse.txt"), "--runs-dir", folder,
            "--layers", str(LAYERS), "--hidden-size", str(HIDDEN), "--log-every", "1",
        ]  # fmt: skip
        return until(command, sign, Path(folder))


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    python, size = [sys.executable, "-c"], f"{LAYERS}x{HIDDEN}"
    bare_name = "bare interpreter, `python -c pass`"
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.npz"
        save_model(model)
        sample = [*CHARLSTM, "sample", str(model), "--length", "200"]
        works: dict[str, Callable[[], Seen]] = {
            bare_name: functools.partial(until, [*python, "pass"]),
            "`python -c 'import numpy'`": functools.partial(until, [*python, "import numpy"]),
            "`python -c 'import torch'`": functools.partial(until, [*python, "import torch"]),
            "`charlstm --help`": functools.partial(until, [*CHARLSTM, "--help"]),
            "`charlstm train --help`": functools.partial(until, [*CHARLSTM, "train", "--help"]),
            f"`charlstm sample`, {size}, first character": functools.partial(until, sample),
            f"`charlstm train`, {size}, first message": functools.partial(training, "message"),
            f"`charlstm train`, {size}, first step": functools.partial(training, "step"),
        }
        seen: dict[str, list[Seen]] = {name: [] for name in works}

        def one_round(name: str) -> float:
            seen[name].append(works[name]())
            last = seen[name][-1]
            return last.seconds if ", first" in name else last.whole

        times = interleave({n: functools.partial(one_round, n) for n in works}, options.rounds)
    bare = times[bare_name].median
    rows = [
        [
            name, f"{t.median:.3f} ({t.spread})", f"{t.median - bare:+.3f}",
            f"{Timing([s.peak_mb for s in seen[name]]).median:.0f}",
        ]
        for name, t in times.items()
    ]  # fmt: skip
    print(
        "## Start-up: seconds from the start of the process, and peak memory\n\n"
        f"`python benchmarks/startup.py`. {machine()}.\n\n"
        + markdown(["what", "seconds", "above the bare interpreter", "peak memory, MB"], rows)
    )


if __name__ == "__main__":
    main()
