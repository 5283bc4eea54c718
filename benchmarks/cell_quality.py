"""How well does each cell learn a text in the same time?

Every cell gets the program's default settings and as many seconds; the learning rate falls to 0
by the clock. Then the whole validation part (the last tenth) is predicted once, the state
carried. `python benchmarks/cell_quality.py TEXT --seconds 180`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path

from common import ROOT, machine, markdown

from charlstm.cells import CELLS
from charlstm.config import Config
from charlstm.format.progress import Evaluated
from charlstm.training.events import Stepped
from charlstm.training.setup import new_run


def learn(text: Path, cell: str, seconds: float, options: dict[str, object]) -> list[str]:
    """One cell's line of the table."""
    config = Config().override(
        {"cell": cell, "epochs": 10**6, "sample_every": 0, "save_every": 10**9,
         "minutes": seconds / 60, **options}
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = new_run(
            [str(text)], config, runs_dir=Path(folder), name="x", notice=lambda _text: None
        )
        chars, begun = 0, time.monotonic()
        for event in trainer.train():
            if isinstance(event, Stepped):
                chars += event.chars
            elif isinstance(event, Evaluated):
                nats = event.val_nats
        spent = time.monotonic() - begun
    assert nats is not None
    weights = sum(p.numel() for p in trainer.state.parameters)
    model = config.model
    return [
        f"{cell} {model.num_layers}x{model.hidden_size}", f"{weights:,}",
        f"{chars / len(trainer.corpus.train):.1f}", f"{chars / spent:,.0f}", f"{spent:.0f}",
        f"{nats:.4f}", f"{nats / math.log(2):.4f}",
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
