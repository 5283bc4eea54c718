"""What is a trained model worth as the start for another text?

    python benchmarks/collection.py FOLDER --half choose
    python benchmarks/fine_tune.py FOLDER DRAMA

DRAMA is a text of drama, such as tiny Shakespeare. For each pair, a model is trained on the base
text. Then the contestants have equal times for a new text of some size, and each best model is
evaluated on the 40,000 characters after it:

- `--from`: fine-tuning.
- from scratch: the automatic choice for that time.
- by index: as `--from`, but without matching characters. Number n of the old alphabet becomes
  number n of the new one, as in programs that load weights whatever the alphabet is.

`--starts` adds contestants that differ from `--from` in how new characters start: from random rows
even where a similar character is known, from the mean of all rows, or without a bias for their
frequency. `--with "name: OPTIONS"` adds one that is `--from` with other options.

Each loss is a mean over the characters that the new text has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from common import machine, markdown

import charlstm
from charlstm.text.alphabets import Alphabets, match_alphabets
from charlstm.text.tokenizer import CharTokenizer
from charlstm.training import fine_tune

PAIRS = {
    "drama to verse": ("DRAMA", "paradise"),
    "one author to another": ("handbook", "alice"),
    "prose to verse": ("handbook", "paradise"),
    "English to Russian": ("handbook", "russian"),
    "logs to logs": ("packages", "alternatives"),
}
"""Base text and new text; DRAMA is the text given."""
SIZES = (10_000, 50_000, 300_000)
TESTED = 40_000
LEAST_TESTED = 10_000
"""Characters of a new text's test part; a shorter text is left out."""

Change = Callable[[], Any]


def by_index(base: CharTokenizer, tokenizer: CharTokenizer) -> Alphabets:
    """Alphabets matched by number; the rest of a longer one is new."""
    found = match_alphabets(base, tokenizer)
    ids = np.arange(len(tokenizer))
    ids[len(base) :] = -1
    return Alphabets(found.copied, found.new, found.dropped, ids, np.full_like(ids, -1))


def without_siblings(base: CharTokenizer, tokenizer: CharTokenizer) -> Alphabets:
    """Alphabets matched by character, in which no character is similar to another."""
    found = match_alphabets(base, tokenizer)
    none = np.full_like(found.sibling_ids, -1)
    return Alphabets(found.copied, found.new, found.dropped, found.base_ids, none)


def mean_rows(table: Any, alphabets: Alphabets, generator: Any) -> Any:
    """Rows of which new ones without a similar character are the mean of all."""
    del generator
    sources = np.where(alphabets.base_ids >= 0, alphabets.base_ids, alphabets.sibling_ids)
    rows = table[sources]
    rows[sources < 0] = table.mean(axis=0)
    return rows


def plain_biases(biases: Any, alphabets: Alphabets, counts: Any) -> Any:
    """Biases of which new ones are that of the sibling, or the mean."""
    del counts
    sources = np.where(alphabets.base_ids >= 0, alphabets.base_ids, alphabets.sibling_ids)
    made = biases[sources]
    made[sources < 0] = biases.mean()
    return made


PLAIN: Mapping[str, Mapping[str, Any]] = {"--from": {}, "by index": {"match_alphabets": by_index}}
STARTS: Mapping[str, Mapping[str, Any]] = {
    "new: random row": {"match_alphabets": without_siblings},
    "new: mean row": {"_rows": mean_rows},
    "new: plain bias": {"_biases": plain_biases},
}
SCRATCH = "from scratch"


@contextmanager
def changed(functions: Mapping[str, Any]) -> Iterator[None]:
    """A context in which fine-tuning uses other functions."""
    with mock.patch.multiple(fine_tune, **functions) if functions else mock.patch.dict({}):
        yield


def train(
    contestant: str, base: Path, text: str, test: str, functions: Mapping[str, Any], **options: Any
) -> dict[str, float | None]:
    """Figures of one run: test loss, and the validation loss before training."""
    with tempfile.TemporaryDirectory() as folder, changed(functions):
        file = Path(folder) / "new.txt"
        file.write_text(text, "utf-8")
        if contestant == SCRATCH:
            run = charlstm.train(file, runs_dir=folder, **options)
        else:
            run = charlstm.fine_tune(base, file, runs_dir=folder, **options)
        known = set(text)
        nats = run.load().score("".join(c for c in test if c in known)).nats_per_char
        start = run.history[0]["val_nats"] if contestant != SCRATCH else None
        return {"nats": nats, "start": start, "epochs": run.epoch, "seconds": run.seconds}


def parse(words: str) -> dict[str, Any]:
    """Options such as `--lr 0.002 --freeze 1`, as keywords."""
    parts = words.split()
    names = [name.removeprefix("--").replace("-", "_") for name in parts[::2]]
    return dict(zip(names, map(json.loads, parts[1::2]), strict=True))


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("drama", type=Path)
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--seconds", nargs="+", type=float, default=[20, 80])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--base-seconds", type=float, default=240)
    parser.add_argument("--bases", type=Path, help="keep the base models in this folder")
    parser.add_argument("--starts", action="store_true")
    parser.add_argument("--with", dest="more", action="append", default=[], metavar="NAME: OPTIONS")
    asked = parser.parse_args()
    contestants = {name: (functions, "") for name, functions in PLAIN.items()}
    contestants |= {name: (f, "") for name, f in STARTS.items() if asked.starts}
    contestants[SCRATCH] = ({}, "")
    for more in asked.more:
        name, _, options = more.partition(":")
        contestants[name] = ({}, options)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        bases = asked.bases or Path(scratch)
        for pair in asked.pairs:
            old, new = PAIRS[pair]
            choose = asked.folder / "choose"
            base_text = asked.drama if old == "DRAMA" else choose / f"{old}.txt"
            base = bases / base_text.stem
            if not (base / "best.npz").exists():
                charlstm.train(
                    base_text, runs_dir=bases, name=base_text.stem, sample_every=0,
                    minutes=asked.base_seconds / 60,
                )  # fmt: skip
            text = (choose / f"{new}.txt").read_text("utf-8")
            for size in asked.sizes:
                test = text[size : size + TESTED]
                if len(test) < LEAST_TESTED:
                    continue
                for seconds in asked.seconds:
                    found: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
                    for seed in asked.seeds:  # contestants take turns
                        for name, (functions, options) in contestants.items():
                            begun = time.monotonic()
                            one = train(
                                name, base, text[:size], test, functions, seed=seed,
                                minutes=seconds / 60, sample_every=0, **parse(options),
                            )  # fmt: skip
                            found[name].append({**one, "wall": time.monotonic() - begun})
                    rows += table(pair, size, seconds, found)
    header = ["pair", "new text", "seconds", "contestant", "epochs", "before", "nats", "gain"]
    print(
        "## Fine-tuning: nats per character on the text after a new text\n\n"
        f"`python benchmarks/fine_tune.py FOLDER DRAMA`. {machine()}. Seeds {asked.seeds}, base "
        f"models of {asked.base_seconds:g} s. *before*: validation loss of the base before "
        "training. *gain*: nats below training from scratch.\n\n" + markdown(header, rows)
    )


def table(
    pair: str, size: int, seconds: float, found: Mapping[str, list[dict[str, Any]]]
) -> list[list[str]]:
    """The lines of one text: means over seeds, and how far the seeds lie apart."""
    scratch = statistics.fmean(one["nats"] for one in found[SCRATCH])
    rows = []
    for name, runs in found.items():
        nats = [one["nats"] for one in runs]
        mean, spread = statistics.fmean(nats), (max(nats) - min(nats)) / 2
        start = runs[0]["start"]
        rows.append(
            [
                pair, f"{size / 1000:g} KB", f"{seconds:g}", name,
                f"{statistics.fmean(one['epochs'] for one in runs):.0f}",
                "" if start is None else f"{start:.4f}",
                f"{mean:.4f}" + (f" ±{spread:.4f}" if len(nats) > 1 else ""),
                "" if name == SCRATCH else f"{scratch - mean:+.4f}",
            ]
        )  # fmt: skip
        print("\t".join(rows[-1]), file=sys.stderr, flush=True)
    return rows


if __name__ == "__main__":
    main()
