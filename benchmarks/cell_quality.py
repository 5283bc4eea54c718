"""How well does each cell learn a text in the same time?

Every cell gets the program's default settings and as many seconds; the learning rate falls to 0
by the clock. Then the whole validation part (the last tenth) is predicted once, the state
carried. `python benchmarks/cell_quality.py TEXT --seconds 180`.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import torch  # noqa: F401 - before the clock starts
from common import ROOT, machine, markdown

import charlstm
from charlstm.cells import CELLS
from charlstm.config import SECTIONS, Config
from charlstm.training.events import Stepped


def defaults() -> dict[str, Any]:
    """The default of every option, so that nothing is chosen automatically."""
    return {
        spec.name: getattr(getattr(Config(), section), spec.name)
        for section, kind in SECTIONS.items()
        for spec in dataclasses.fields(kind)  # type: ignore[arg-type]
    }


def learn(text: Path, cell: str, seconds: float, options: dict[str, Any]) -> list[str]:
    """One cell's line of the table."""
    with tempfile.TemporaryDirectory() as folder:
        training = charlstm.start_training(
            text, runs_dir=folder, name="x",
            **defaults() | {"cell": cell, "epochs": 10**6, "sample_every": 0, "save_every": 10**9,
                            "minutes": seconds / 60, "split": "tail"} | options,
        )  # fmt: skip
        chars, begun = 0, time.monotonic()
        for event in training:
            if isinstance(event, Stepped):
                chars += event.chars
        spent = time.monotonic() - begun
        nats = training.result.history[-1]["val_nats"]
        model = training.result.load()
    assert nats is not None
    weights, sizes = sum(array.size for array in model.weights.values()), model.config.model
    return [
        f"{cell} {sizes.num_layers}x{sizes.hidden_size}", f"{weights:,}",
        f"{chars / len(training.trainer.corpus.train):.1f}", f"{chars / spent:,.0f}",
        f"{spent:.0f}", f"{nats:.4f}", f"{nats / math.log(2):.4f}",
    ]  # fmt: skip


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", nargs="?", type=Path, default=ROOT / "corpora/lighthouse.txt")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--cells", nargs="+", default=list(CELLS))
    parser.add_argument("--lr", type=float, default=Config().train.lr)
    options = parser.parse_args()
    rows = [
        learn(options.text, cell, options.seconds, {"lr": options.lr}) for cell in options.cells
    ]
    header = [
        "cell", "weights", "epochs", "chars/s", "seconds", "validation nats/char", "bits/char",
    ]  # fmt: skip
    print(
        f"## Cells: {options.seconds:.0f} seconds of {options.text.name}, rate {options.lr:g}\n\n"
        f"`python benchmarks/cell_quality.py`. {machine()}. One seed.\n\n" + markdown(header, rows)
    )


if __name__ == "__main__":
    main()
