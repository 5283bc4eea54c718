"""How fast is training beside programs that keep processors busy?

0, 1 and 2 endless loops run beside `charlstm.train` with the automatic number of threads, and with
each fixed number. A round is a fresh process that trains for some seconds after its first steps.
The last part ends the loops while a run trains, and gives its steps in each half second.

`--old FOLDER` has another checkout take part.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from common import ROOT, machine, markdown
from train_overhead import precision

from charlstm.training.device import pick_kernel

LOOPS = (0, 1, 2)
WARM_UP_SECONDS = 1.0  # the load is known by then
LOOP = [sys.executable, "-S", "-c", "while True: pass"]
RUN = """
import sys, tempfile, time
from pathlib import Path
from charlstm.config import Config
from charlstm.training.events import Stepped
from charlstm.training.setup import new_run

text, hidden, threads, warm_up, seconds, part, precision, kernel = sys.argv[1:]
config = Config().override({
    "hidden_size": int(hidden), "num_layers": 1, "batch_size": 32, "maxlen": 64, "epochs": 10**6,
    "threads": int(threads), "sample_every": 0, "eval_every": 10**9, "val_fraction": 0.001,
    "split": "tail", "precision": precision, "kernel": kernel,
})
with tempfile.TemporaryDirectory() as folder:
    trainer = new_run(
        [text], config, runs_dir=Path(folder), name="run", notice=lambda _text: None
    )
    print("ready", flush=True)
    begun, steps, counts = time.monotonic(), 0, []
    for event in trainer.train():
        elapsed = time.monotonic() - begun - float(warm_up)
        while elapsed >= len(counts) * float(part):  # several after a slow step
            counts.append(steps)
        if elapsed >= float(seconds):
            break
        steps += isinstance(event, Stepped)
    for before, after in zip(counts, counts[1:]):
        print((after - before) / float(part), flush=True)
"""


Run = subprocess.Popen[str]


@functools.cache
def kernel() -> str:
    """What `--kernel auto` takes; probed once, before the loops run, as is the precision."""
    return pick_kernel("auto", "lstm", precision(), torch.device("cpu"))


@contextlib.contextmanager
def loops(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Endless loops beside what the block does."""
    running = [subprocess.Popen(LOOP) for _ in range(count)]
    try:
        yield running
    finally:
        end(running)


def end(running: list[subprocess.Popen[bytes]]) -> None:
    """End loops."""
    for loop in running:
        loop.kill()
        loop.wait()


def start(checkout: Path, hidden: int, threads: int, seconds: float, part: float) -> Run:
    """Start a run; it prints `ready`, and steps a second for each `part` of its time."""
    text = ROOT / "corpora" / "lighthouse.txt"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    words = [text, hidden, threads, WARM_UP_SECONDS, seconds, part, precision(), kernel()]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *map(str, words)],
        stdout=subprocess.PIPE, text=True, cwd=tempfile.gettempdir(),
        env={**environment, "PYTHONPATH": str(checkout)},
    )  # fmt: skip


def speeds(run: Run) -> list[float]:
    """What a run prints from here on."""
    assert run.stdout is not None
    found = [float(line) for line in run.stdout if line.strip() != "ready"]
    if run.wait():
        raise SystemExit("a run failed")
    return found


def beside(hidden: int, seconds: float, rounds: int, old: Path | None) -> str:
    """The table of speeds."""
    contestants = {"automatic": (ROOT, 0)}
    contestants |= {f"--threads {n}": (ROOT, n) for n in range(1, (os.cpu_count() or 1) + 1)}
    if old is not None:
        contestants["automatic, before"] = (old, 0)
        contestants["--threads 1, before"] = (old, 1)
    rows = []
    for count in LOOPS:
        times: dict[str, list[float]] = {name: [] for name in contestants}
        for _ in range(rounds):
            with loops(count):
                for name, (checkout, threads) in contestants.items():
                    run = start(checkout, hidden, threads, seconds, seconds)
                    times[name].append(speeds(run)[0])
        middles = {name: statistics.median(found) for name, found in times.items()}
        fixed = max(v for name, v in middles.items() if name.startswith("--threads"))
        rows.append(
            [
                str(count), *(f"{v:.1f}" for v in middles.values()),
                f"{100 * middles['automatic'] / fixed:.0f}%",
            ]
        )  # fmt: skip
    return markdown(["loops", *contestants, "automatic / best fixed"], rows)


def recovery(hidden: int) -> str:
    """Steps a second in each half second, before and after the loops end."""
    with loops(2) as running:
        run = start(ROOT, hidden, 0, 5.0, 0.5)
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(WARM_UP_SECONDS + 2.0)
        end(running)
        found = speeds(run)
    return markdown(
        ["second", *(f"{0.5 * n:.1f}" for n in range(len(found)))],
        [["steps a second", *(f"{speed:.0f}" for speed in found)]],
    )


def main() -> None:
    """Print the section."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden-size", type=int, default=384)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--old", type=Path)
    options = parser.parse_args()
    kernel()
    table = beside(options.hidden_size, options.seconds, options.rounds, options.old)
    print(
        "## Training beside endless loops, steps per second\n\n"
        f"`python benchmarks/busy_training.py`. {machine()}. 1x{options.hidden_size}, 32 streams "
        f"of 64 characters; medians of {options.rounds} rounds of {options.seconds:g} s.\n\n"
        f"{table}\n\nTwo loops end at second 2:\n\n{recovery(options.hidden_size)}"
    )


if __name__ == "__main__":
    main()
