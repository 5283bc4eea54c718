"""Does the automatic choice hold on texts of many kinds?

    python benchmarks/choice.py FOLDER --half choose --minutes 0.5 1.3 5

For each text of a collection (`collection.py FOLDER`) and each time budget, `charlstm train TEXT
--minutes M` trains by its own choice, and by the rivals' settings in the same time: `--recipe
char-rnn`, `torch-rnn`, `keras`, and a fixed 1x768. The table has the last and the best evaluation
of the automatic choice in nats per character, and the best evaluation of each rival. Everything is
measured by the runs themselves, on the validation part.

`--texts NAME ...` and `--contestants NAME ...` limit what runs; nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import machine, markdown
from quality import CONTESTANTS, program

OWN = "charlstm"
LAST_RISE = (0.02, 0.05)  # nats above the best: on nine texts of ten, and on all
WORSE = 0.01  # nats above a rival


@dataclass(frozen=True)
class Trained:
    """The evaluations of a run, in nats per character.

    Attributes:
        last, best: of all evaluations.
        at: the fraction of the run's steps at which the best was.
        model: cell, size and dropout.
        epochs: how many were done.
    """

    last: float
    best: float
    at: float
    model: str
    epochs: int


def train(text: Path, minutes: float, options: str, seed: int) -> Trained:
    """Train on a text for a time."""
    with tempfile.TemporaryDirectory() as folder:
        program(
            "train", str(text), "--runs-dir", folder, "--name", "x", "--quiet", "--seed", str(seed),
            "--minutes", str(minutes), "--sample-every", "0", *shlex.split(options),
        )  # fmt: skip
        found: dict[str, Any] = program("info", f"{folder}/x")
    history = [entry for entry in found["history"] if entry["val_nats"] is not None]
    losses = [entry["val_nats"] for entry in history]
    best = min(range(len(losses)), key=losses.__getitem__)
    model = found["config"]["model"]
    return Trained(
        losses[-1],
        losses[best],
        history[best]["step"] / history[-1]["step"],
        f"{model['cell']} {model['num_layers']}x{model['hidden_size']}, dropout "
        f"{model['dropout']:g}, {model['recurrent_dropout']:g}",
        history[-1]["epoch"],
    )


def row(entry: dict[str, Any], minutes: float, found: dict[str, Trained]) -> list[str]:
    """A line of the table."""
    own = found[OWN]
    rivals = {name: one.best for name, one in found.items() if name != OWN}
    ahead = f"{min(rivals.values()) - own.last:+.4f}" if rivals else ""
    return [
        entry["kind"], entry["name"], f"{entry['bytes']:,}", f"{minutes:g}", own.model,
        str(own.epochs), f"{own.last:.4f}", f"{own.best:.4f}", f"{own.at:.0%}",
        *(f"{nats:.4f}" for nats in rivals.values()), ahead,
    ]  # fmt: skip


def main() -> None:
    """Train, and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--half", choices=("choose", "report"), default="choose")
    parser.add_argument("--minutes", nargs="+", type=float, default=[0.5, 1.3, 5.0])
    parser.add_argument("--texts", nargs="+")
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS))
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    names = [OWN, *(name for name in asked.contestants if name != OWN)]
    manifest = json.loads((asked.folder / "manifest.json").read_text("utf-8"))
    entries = [one for one in manifest if one["half"] == asked.half]
    if asked.texts:
        entries = [one for one in entries if one["name"] in asked.texts]
    rows, rises, behind = [], [], 0
    for entry in entries:
        for minutes in asked.minutes:
            path = asked.folder / entry["half"] / f"{entry['name']}.txt"
            found = {name: train(path, minutes, CONTESTANTS[name], asked.seed) for name in names}
            rows.append(row(entry, minutes, found))
            print("\t".join(rows[-1]), file=sys.stderr, flush=True)
            rises.append(found[OWN].last - found[OWN].best)
            rivals = [one.best for name, one in found.items() if name != OWN]
            behind += found[OWN].last > min(rivals, default=float("inf")) + WORSE
    header = [
        "kind", "text", "bytes", "minutes", "chosen", "epochs", "last", "best", "best at",
        *(name for name in names if name != OWN), "ahead of the best rival",
    ]  # fmt: skip
    often, always = LAST_RISE
    print(
        f"## Does the automatic choice hold on other kinds of text? ({asked.half} half)\n\n"
        f"`python benchmarks/choice.py FOLDER --half {asked.half}`. {machine()}. Seed "
        f"{asked.seed}. Nats per character.\n\n{markdown(header, rows)}\n\n"
        f"Last evaluation within {often:g} nats of the best: "
        f"{sum(rise <= often for rise in rises)} of {len(rises)}; within {always:g}: "
        f"{sum(rise <= always for rise in rises)}."
        + (f" Worse than a rival by more than {WORSE:g}: {behind}." if len(names) > 1 else "")
    )


if __name__ == "__main__":
    main()
