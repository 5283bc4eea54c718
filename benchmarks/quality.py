"""How well does a text come out of so many minutes?

Each contestant is `charlstm train TEXT --minutes M` with options of its own: this program's choice,
other programs' recipes, and fixed models, all by the clock. Then the validation part (the last
tenth) is read once by `charlstm eval`: with the state carried, in cold windows of 256 and of 64
characters, and with weights that follow the text.

    python benchmarks/quality.py TEXT [TEXT ...] --minutes 1.333 4.5 --seeds 1 2 3

`texts.py` gathers texts of several kinds.

`--held-out` leaves the last tenth alone and reads the tenth before it instead: to choose by.
`--with "name: OPTIONS"` adds a contestant, `--static` leaves weights that follow the text out.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, machine, markdown

CONTESTANTS = {
    "charlstm": "",
    "char-rnn": "--recipe char-rnn",
    "torch-rnn": "--recipe torch-rnn",
    "keras": "--recipe keras",
    "fixed 1x768": "--cell lstm --hidden-size 768 --embedding 64 --maxlen 48 --lr 0.008 "
    "--dropout 0.3 --logit-scale 1 --weight-decay 0.1 --reset 0 --average 0 --epochs 1000000",
}
PROTOCOLS = {
    "carried": ["--protocol", "carried"],
    "cold 256": ["--protocol", "cold", "--window", "256"],
    "cold 64": ["--protocol", "cold", "--window", "64"],
}
DYNAMIC = "carried, dynamic"


def program(*arguments: str) -> Any:
    """What `charlstm ARGUMENTS --json` prints."""
    command = [sys.executable, "-m", "charlstm", *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def learn(
    text: Path, options: str, minutes: float, seed: int, *, held_out: bool, dynamic: bool
) -> dict[str, Any]:
    """One run's figures."""
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/x"
        begun = time.monotonic()
        summary = program(
            "train", str(text), "--runs-dir", folder, "--name", "x", "--quiet",
            "--minutes", str(minutes), "--seed", str(seed), "--sample-every", "0",
            "--split", "tail", *(["--test-fraction", "0.1"] if held_out else []),
            *shlex.split(options),
        )  # fmt: skip
        found: dict[str, Any] = {"seconds": time.monotonic() - begun, "epochs": summary["epoch"]}
        for name, protocol in PROTOCOLS.items():
            found[name] = program("eval", run, *protocol)["nats_per_char"]
        if dynamic:
            found[DYNAMIC] = program("eval", run, "--dynamic")["dynamic_nats_per_char"]
        config = program("info", run)["config"]
    model, windows, train = config["model"], config["windows"], config["train"]
    found["model"] = (
        f"{model['cell']} {model['num_layers']}x{model['hidden_size']}, dropout "
        f"{model['dropout']:g}, rate {train['lr']:g}, {windows['batch_size']}x{windows['maxlen']}"
    )
    return found


def row(text: Path, minutes: float, name: str, found: list[dict[str, Any]]) -> list[str]:
    """A line of the table: means over seeds, and how far the seeds lie apart."""

    def mean(key: str) -> str:
        values = [one[key] for one in found]
        spread = f" ±{(max(values) - min(values)) / 2:.4f}" if len(values) > 1 else ""
        return f"{statistics.fmean(values):.4f}{spread}"

    return [
        text.name, f"{minutes:g}", name, found[0]["model"],
        f"{statistics.fmean(one['epochs'] for one in found):.0f}",
        f"{max(one['seconds'] for one in found):.0f}",
        *map(mean, (*PROTOCOLS, *([DYNAMIC] if DYNAMIC in found[0] else []))),
    ]  # fmt: skip


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="*", type=Path, default=[ROOT / "corpora/lighthouse.txt"])
    parser.add_argument("--minutes", nargs="+", type=float, default=[80 / 60])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--contestants", nargs="+", default=list(CONTESTANTS))
    parser.add_argument("--with", dest="more", action="append", default=[], metavar="NAME: OPTIONS")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--static", action="store_true")
    asked = parser.parse_args()
    contestants = {name: CONTESTANTS[name] for name in asked.contestants if name in CONTESTANTS}
    for more in asked.more:
        name, _, options = more.partition(":")
        contestants[name] = options
    rows = []
    for text in asked.texts:
        for minutes in asked.minutes:
            for name, options in contestants.items():
                found = [
                    learn(text, options, minutes, seed,
                          held_out=asked.held_out, dynamic=not asked.static)
                    for seed in asked.seeds
                ]  # fmt: skip
                rows.append(row(text, minutes, name, found))
                print("\t".join(rows[-1]), file=sys.stderr, flush=True)
    header = [
        "text", "minutes", "program", "model", "epochs", "seconds, most",
        *PROTOCOLS, *([] if asked.static else [DYNAMIC]),
    ]  # fmt: skip
    part = "the tenth before the last" if asked.held_out else "the last tenth"
    print(
        f"## Quality: nats per character on {part}, by minutes of training\n\n"
        f"`python benchmarks/quality.py`. {machine()}. Seeds {asked.seeds}.\n\n"
        + markdown(header, rows)
    )


if __name__ == "__main__":
    main()
