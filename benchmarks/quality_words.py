"""What does a loss mean for what the model writes?

    python benchmarks/quality_words.py TEXT [TEXT ...] --minutes 0.02 0.05 0.12 0.3 0.8

Each run is `charlstm train TEXT --minutes M`, so that the losses go from poor to good. Then each
model writes text, and the table has the share of its words that occur in the training part, and of
its pairs and triples of neighbouring words. The same shares of the validation part, which a person
has written, stand in the last line of each text: no model can be expected to exceed them.

Losses are relative to the entropy of the text's character frequencies, which a checkpoint records,
and to the size that xz reaches. `charlstm/planner/words.py` has the relation that results.

Words are runs of letters, in lower case. A text without spaces between words has none to count.
"""

from __future__ import annotations

import argparse
import lzma
import math
import re
import sys
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from common import ROOT, machine, markdown

import charlstm

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
TEMPERATURES = (1.0, 0.8)
SAMPLES, LENGTH = 24, 1000
EDGES = (0.0, 0.445, 0.495, 0.563, 0.6, 0.71)
"""Ratios that divide the levels; above the last, words are single letters, by chance."""


def words(text: str) -> list[str]:
    """The words of a text, in lower case."""
    return [word.lower() for word in WORD.findall(text)]


def ngrams(found: Sequence[str], length: int) -> Iterable[tuple[str, ...]]:
    """Sequences of `length` neighbouring words."""
    return zip(*(found[first:] for first in range(length)), strict=False)


@dataclass(frozen=True)
class Known:
    """The words, pairs and triples of words of a text."""

    by_length: tuple[frozenset[tuple[str, ...]], ...]

    @classmethod
    def of(cls, text: str) -> Known:
        """Those of a text."""
        found = words(text)
        return cls(tuple(frozenset(ngrams(found, length)) for length in (1, 2, 3)))

    def shares(self, texts: Iterable[str]) -> list[float]:
        """The shares of some texts' words, pairs and triples that are known."""
        known, total = [0, 0, 0], [0, 0, 0]
        for text in texts:
            found = words(text)[:-1]  # the last may be cut off
            for number, seen in enumerate(self.by_length):
                for ngram in ngrams(found, number + 1):
                    total[number] += 1
                    known[number] += ngram in seen
        return [k / max(1, n) for k, n in zip(known, total, strict=True)]


@dataclass(frozen=True)
class Line:
    """A line of the table.

    Attributes:
        text: the text's name.
        nats: the validation loss; nan for the validation part itself.
        unigram_nats: entropy of the character frequencies of the training part.
        shares: known words, pairs and triples, at each temperature.
        note: what general compressors reach, for the validation part's line.
    """

    text: str
    nats: float
    unigram_nats: float
    shares: list[float]
    note: str = ""

    @property
    def ratio(self) -> float:
        """The loss relative to the unigram entropy."""
        return self.nats / self.unigram_nats

    def cells(self) -> list[str]:
        """The line as text."""
        shown = [f"{share:.0%}" for share in self.shares]
        if self.note:
            empty = [""] * (3 * len(TEMPERATURES) - len(shown))
            return [f"{self.text}, validation part", self.note, "", *shown, *empty]
        return [self.text, f"{self.nats:.4f}", f"{self.ratio:.3f}", *shown]


def levels(lines: Sequence[Line]) -> str:
    """The lines of `charlstm/planner/words.py`: ranges of the shares, by ratio."""
    found = []
    for low, high in pairwise(EDGES):
        inside = [line for line in lines if low <= line.ratio < high]
        if inside:
            ratios = [line.ratio for line in inside]
            words, cool_words, cool_pairs = (
                _range([line.shares[number] for line in inside]) for number in (0, 3, 4)
            )
            found.append(
                f"    Level(({min(ratios):.3f}, {max(ratios):.3f}), {words}, {cool_words}, "
                f"{cool_pairs}),  # {len(inside)} models"
            )
    people = [line.shares for line in lines if line.note]
    words, pairs = (_range([shares[number] for shares in people]) for number in (0, 1))
    return "\n".join([*found, f"PEOPLE_WORDS, PEOPLE_PAIRS = {words}, {pairs}"])


def _range(shares: Sequence[float]) -> tuple[int, int]:
    return round(100 * min(shares)), round(100 * max(shares))


def measure(path: Path, minutes: Sequence[float]) -> list[Line]:
    """The table's lines of one text."""
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for budget in minutes:
            training = charlstm.start_training(
                path, runs_dir=folder, name=f"{budget}", minutes=budget, sample_every=0,
                split="tail",
            )  # fmt: skip
            for _event in training:
                pass
            corpus = training.trainer.corpus
            unigram = training.trainer.saver.corpus_meta["unigram_nats"]
            assert isinstance(unigram, float)
            train, val = (
                corpus.tokenizer.decode(part.joined()) for part in (corpus.train, corpus.val)
            )
            known = Known.of(train)
            model = training.result.load()
            nats = model.score_ids(corpus.val).nats_per_char
            shares: list[float] = []
            for temperature in TEMPERATURES:
                samples = model.samples(SAMPLES, temperature=temperature, length=LENGTH, seed=1)
                shares += known.shares(sample.text for sample in samples)
            lines.append(Line(path.stem, nats, unigram, shares))
            print(lines[-1], file=sys.stderr, flush=True)
    lines.sort(key=lambda line: line.ratio, reverse=True)
    data = (train + val).encode()
    gzip, xz = (8 * len(pack(data)) / len(train + val) for pack in (zlib.compress, lzma.compress))
    note = f"entropy {unigram:.3f} nats; gzip {gzip:.3f}, xz {xz:.3f} bits per character"
    return [*lines, Line(path.stem, math.nan, unigram, known.shares([val]), note)]


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="*", type=Path, default=[ROOT / "corpora/lighthouse.txt"])
    parser.add_argument("--minutes", nargs="+", type=float, default=[0.02, 0.05, 0.12, 0.3, 0.8])
    asked = parser.parse_args()
    header = ["text", "validation nats", "of unigram entropy"]
    header += [
        f"{what}, temp {t:g}" for t in TEMPERATURES for what in ("words", "pairs", "triples")
    ]
    lines = [line for path in asked.texts for line in measure(path, asked.minutes)]
    print("## What does a loss mean for the words that a model writes?\n")
    print(f"{machine()}, `python benchmarks/quality_words.py TEXT ...`\n")
    print(markdown(header, [line.cells() for line in lines]))
    print(f"\n```text\n{levels(lines)}\n```")


if __name__ == "__main__":
    main()
