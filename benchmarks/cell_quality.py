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

from charlstm.config import Config
from charlstm.nn.cells import CELLS
from charlstm.training.events import Stepped
from charlstm.training.setup import new_run
from charlstm.training.trainer import Trainer
from charlstm.training.validation import validate


class Timed(Trainer):
    """A trainer whose schedule is the clock's."""

    budget = 180.0
    began = 0.0

    @property
    def total_steps(self) -> int:
        """Steps that the budget has room for, at the speed so far."""
        done = self.progress.step
        share = (time.monotonic() - self.began) / self.budget
        return max(done + 1, round(done / share)) if done else 10**9

    def _evaluation_is_due(self) -> bool:
        return False


def learn(text: Path, cell: str, seconds: float, options: dict[str, object]) -> list[str]:
    """One cell's line of the table."""
    config = Config().override(
        {"cell": cell, "epochs": 10**6, "sample_every": 0, "save_every": 10**9, **options}
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = new_run(
            [str(text)], config, runs_dir=Path(folder), name="x", notice=lambda _text: None
        )
        trainer.__class__ = Timed
        assert isinstance(trainer, Timed)
        trainer.budget, trainer.began = seconds, time.monotonic()
        chars = 0
        for event in trainer.train():
            if isinstance(event, Stepped):
                chars += event.chars
                if time.monotonic() - trainer.began >= seconds:
                    trainer.ask_to_stop()
        spent = time.monotonic() - trainer.began
        nats = validate(trainer.network, trainer.corpus.val, lambda: False)
    assert nats is not None
    weights = sum(p.numel() for p in trainer.parameters)
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
