from __future__ import annotations

import math
import string
from itertools import pairwise

import pytest

from charlstm.planner.words import LEVELS, PEOPLE_PAIRS, PEOPLE_WORDS, UNIGRAM_NATS, in_words

ENGLISH = string.ascii_letters + " \n.,"
UNIGRAM = sum(UNIGRAM_NATS) / 2


def test_a_lower_loss_is_never_said_to_mean_fewer_words() -> None:
    for better, worse in pairwise(LEVELS):
        assert better.ratio[1] == worse.ratio[0]
        for shares in ("words", "cool_words", "cool_pairs"):
            for good, bad in zip(getattr(better, shares), getattr(worse, shares), strict=True):
                assert good >= bad
    for level in LEVELS:
        for low, high in (level.words, level.cool_words, level.cool_pairs):
            assert 0 <= low < high <= 100
        assert level.words[0] < level.cool_words[0], "a lower temperature writes more known words"
        assert level.cool_words[1] <= PEOPLE_WORDS[1]
        assert level.cool_pairs[1] <= PEOPLE_PAIRS[1]


@pytest.mark.parametrize("level", LEVELS)
def test_a_loss_within_the_examples(level: object) -> None:
    ratio = sum(level.ratio) / 2  # type: ignore[attr-defined]
    text = in_words(ratio * UNIGRAM, UNIGRAM, ENGLISH)
    low, high = level.words  # type: ignore[attr-defined]
    assert f"words of which {low} to {high}% occur" in text
    assert len(text.splitlines()) == 2


@pytest.mark.parametrize(
    ("nats", "unigram", "characters"),
    [
        (0.3 * UNIGRAM, UNIGRAM, ENGLISH),  # lower than any example: logs, say
        (0.9 * UNIGRAM, UNIGRAM, ENGLISH),
        (math.inf, UNIGRAM, ENGLISH),
        (math.nan, UNIGRAM, ENGLISH),
        (1.7, 3.4, ENGLISH),  # another distribution of characters
        (3.0, 6.6, ENGLISH),
        (1.4, None, ENGLISH),  # an old checkpoint
        (1.4, "3.2", ENGLISH),
        (1.4, UNIGRAM, ENGLISH.replace(" ", "")),  # no words
        (1.4, UNIGRAM, "абвгдежзиклмно abc"),
        (1.4, UNIGRAM, "01 \n"),
        (1.4, UNIGRAM, ""),
    ],
)
def test_nothing_is_said_where_no_example_is_near(
    nats: float, unigram: object, characters: str
) -> None:
    assert in_words(nats, unigram, characters) == ""
