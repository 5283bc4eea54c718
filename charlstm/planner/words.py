"""What a validation loss means for the words that a model writes, from measured examples.

The table is that of `benchmarks/quality_words.py`: models of eight texts (English, German and
French prose, English verse and drama, Python code), trained for 2 to 70 seconds each. For a ratio
of the loss to the entropy of the text's character frequencies, it has the lowest and the highest
share of words that occur in the training part. For other kinds of text the relation differs:
models of Russian texts write 10 to 30 points fewer known words at the same ratio. So nothing is
said where the letters (mostly ASCII), the entropy or the ratio is outside that of the examples.
"""

from __future__ import annotations

from dataclasses import dataclass

UNIGRAM_NATS = (3.1, 3.35)
"""The entropy of character frequencies of the examples, in nats per character."""
_MAX_OTHER_LETTERS = 0.3  # of the letters of the vocabulary; the examples have up to 0.26


@dataclass(frozen=True)
class Level:
    """Examples with similar losses; shares are percentages, the lowest and the highest.

    Attributes:
        ratio: range of the loss, divided by the unigram entropy.
        words: share of the written words that occur in the training part, at temperature 1.
        cool_words: the same at temperature 0.8.
        cool_pairs: share of the pairs of neighbouring words, at temperature 0.8.
    """

    ratio: tuple[float, float]
    words: tuple[int, int]
    cool_words: tuple[int, int]
    cool_pairs: tuple[int, int]


LEVELS = (
    Level((0.37, 0.447), (66, 81), (78, 92), (30, 55)),  # 13 models
    Level((0.447, 0.498), (58, 80), (73, 90), (25, 52)),  # 6 models
    Level((0.498, 0.563), (35, 66), (50, 80), (9, 39)),  # 10 models
    Level((0.563, 0.602), (35, 49), (47, 65), (9, 24)),  # 4 models
    Level((0.602, 0.71), (22, 41), (29, 54), (2, 16)),  # 9 models
)
"""Levels meet half-way between the ratios of their models."""

PEOPLE_WORDS, PEOPLE_PAIRS = (92, 96), (38, 60)
"""The same shares of the validation parts, which people have written."""


def in_words(nats: float, unigram_nats: object, characters: str) -> str:
    """A sentence on what a validation loss means; empty where no example is near.

    Args:
        nats: the validation loss of a forward model, in nats per character.
        unigram_nats: entropy of the training part's character frequencies, if it is known.
        characters: the vocabulary.
    """
    low, high = UNIGRAM_NATS
    if not isinstance(unigram_nats, float) or not low <= unigram_nats <= high:
        return ""
    letters = [c for c in characters if c.isalpha()]
    others = sum(not c.isascii() for c in letters)
    if " " not in characters or not letters or others > _MAX_OTHER_LETTERS * len(letters):
        return ""
    ratio = nats / unigram_nats
    for level in LEVELS:
        if level.ratio[0] <= ratio <= level.ratio[1]:
            return (
                "In words: with such a loss, models of similar texts wrote words of which "
                f"{_range(level.words)} occur in the training text ({_range(level.cool_words)} at "
                f"--temp 0.8),\nand {_range(level.cool_pairs)} of the pairs of neighbouring words "
                f"(at --temp 0.8). In new text by people it is {_range(PEOPLE_WORDS)} and "
                f"{_range(PEOPLE_PAIRS)}."
            )
    return ""


def _range(shares: tuple[int, int]) -> str:
    return f"{shares[0]} to {shares[1]}%"
