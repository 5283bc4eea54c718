"""Which score finds odd lines in a log, and is a neural network better at it than n-grams?

    python benchmarks/oddities.py --minutes 3

Each log (`log_files.py`) is divided: the first two thirds train a model of documents, one a line,
and a 6-gram model with Witten-Bell smoothing (`ngram.py`). Oddities of four kinds (`planted.py`)
are planted in lines of the last third. Each kind of score is judged in two ways, by kind of oddity:

- AUC: the probability that an odd line has a higher score than another one. 0.5 is chance.
- Precision: of 1,000 lines, one is odd. As many lines as are odd are taken, those with the highest
  scores; what part of them is odd? It is the mean over draws of odd lines.

Unknown characters are charged alike in both models (`--unknown skip`). Beside the models: the
difference of a line's length from the median, the number of its tokens that the training part
lacks, and their rarity, the mean of -log(frequency).
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import machine, markdown
from log_files import LOGS
from ngram import WittenBell
from numpy.typing import NDArray
from planted import KINDS, planted

import charlstm
from charlstm.inference.text_score import TextScore

TRAINING_CHARS = 1_500_000  # at most
TEST_LINES = 6000  # at most
ODD_LINES = 250  # of each kind
DRAWS = 1000
TOKEN = re.compile(r"\w+|[^\w\s]")

Scores = dict[str, NDArray[np.float64]]


def auc(odd: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The probability that an odd line's score is higher; equal scores count a half."""
    others = np.sort(others)
    below = np.searchsorted(others, odd, side="left")
    return float((below + np.searchsorted(others, odd, side="right")).mean() / 2 / len(others))


def precision(
    odd: NDArray[np.float64], others: NDArray[np.float64], rng: np.random.Generator
) -> float:
    """The precision at the number planted, one in 1,000 lines.

    Of lines with equal scores at the border, a part is taken that is the same for both kinds.
    """
    count = max(1, round(len(others) / 1000))
    highest = np.sort(others)[::-1][: 2 * count]
    found = []
    for _ in range(DRAWS):
        drawn = rng.choice(odd, count, replace=False)
        border = np.sort(np.concatenate([drawn, highest]))[::-1][count - 1]
        sure, equal = (drawn > border).sum(), (drawn == border).sum()
        room = count - sure - (highest > border).sum()
        all_equal = equal + (others == border).sum()
        found.append((sure + room * equal / max(1, all_equal)) / count)
    return float(np.mean(found))


def of_the_lstm(
    training: list[str], lines: list[str], minutes: float, seed: int
) -> tuple[Scores, str]:
    """Scores by a network, and a line about it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.txt"
        path.write_text("\n".join(training) + "\n", "utf-8")
        run = charlstm.train(
            path, documents="line", minutes=minutes, seed=seed, runs_dir=folder, name="log",
            sample_every=0,
        )  # fmt: skip
        model = run.load()
        best = run.best_nats_per_char
    begin = time.perf_counter()
    scores = list(model.score_each(lines, unknown="skip"))
    seconds = time.perf_counter() - begin
    speed = sum(score.count for score in scores) / seconds
    shape = model.config.model
    note = (
        f"{shape.num_layers}x{shape.hidden_size}, validation {best:.4f} nats, "
        f"{speed:,.0f} characters scored per second"
    )
    kinds: dict[str, Callable[[TextScore], float]] = {
        "peaks": lambda score: score.peaks,
        "highest": lambda score: score.highest,
        "mean": lambda score: score.nats_per_char,
        "total": lambda score: score.nats,
    }
    return {f"LSTM {k}": np.array([f(score) for score in scores]) for k, f in kinds.items()}, note


def of_ngrams(training: list[str], lines: list[str]) -> Scores:
    """Scores by the 6-gram model."""
    losses = WittenBell(training).losses(lines)
    kinds: dict[str, Callable[[NDArray[np.float64]], float]] = {
        "peaks": lambda values: float(np.sort(values)[-3:].mean()),
        "highest": lambda values: float(values.max()),
        "mean": lambda values: float(values.mean()),
        "total": lambda values: float(values.sum()),
    }
    return {f"6-gram {k}": np.array([f(own) for own in losses]) for k, f in kinds.items()}


def without_a_model(training: list[str], lines: list[str]) -> Scores:
    """Scores by length and by tokens."""
    counts = Counter(token for line in training for token in TOKEN.findall(line))
    total = sum(counts.values())
    middle = statistics.median(map(len, training))
    tokens = [TOKEN.findall(line) or [""] for line in lines]
    return {
        "line length": np.array([abs(len(line) - middle) for line in lines]),
        "unseen tokens": np.array([float(sum(t not in counts for t in own)) for own in tokens]),
        "rarity": np.array(
            [np.mean([-np.log((counts[t] + 0.5) / total) for t in own]) for own in tokens]
        ),
    }


def judge(log: str, minutes: float, seed: int) -> str:
    """One log's table, in Markdown."""
    lines = LOGS[log]()
    border = 2 * len(lines) // 3
    training, size = list[str](), 0
    for line in lines[:border]:
        size += len(line) + 1
        if size > TRAINING_CHARS:
            break
        training.append(line)
    others = [line for line in lines[border:] if line.strip()][:TEST_LINES]
    odd = {kind: planted(log, kind, others, ODD_LINES, seed) for kind in KINDS}
    everything = [*others, *(line for kind in KINDS for line in odd[kind])]
    scores, note = of_the_lstm(training, everything, minutes, seed)
    scores |= of_ngrams(training, everything) | without_a_model(training, everything)
    rng = np.random.default_rng(seed)
    rows = []
    for name, values in scores.items():
        own, *by_kind = np.split(values, [len(others) + n * ODD_LINES for n in range(len(KINDS))])
        aucs = [auc(part, own) for part in by_kind]
        shares = [precision(part, own, rng) for part in by_kind]
        cells = [f"{a:.4f} {p:.2f}" for a, p in zip(aucs, shares, strict=True)]
        rows.append([name, *cells, f"{np.mean(aucs):.4f} {np.mean(shares):.2f}"])
    return (
        f"### {log}: {len(training):,} lines to train on, {len(others):,} to search\n\n{note}.\n\n"
        + markdown(["AUC, precision", *KINDS, "mean"], rows)
    )


def main() -> None:
    """Print the tables, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3.0, help="of each training")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    options = parser.parse_args()
    tables = []
    for log in options.logs:
        try:
            tables.append(judge(log, options.minutes, options.seed))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"{log}: left out ({error})", file=sys.stderr, flush=True)
    print(
        f"## Odd lines in logs\n\n`python benchmarks/oddities.py --minutes {options.minutes:g} "
        f"--seed {options.seed}`. {machine()}. One odd line in 1,000.\n\n" + "\n\n".join(tables)
    )


if __name__ == "__main__":
    main()
