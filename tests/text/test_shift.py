from __future__ import annotations

import inspect
import re
import string
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from charlstm.config import TextConfig
from charlstm.text.corpus import make_split
from charlstm.text.shift import Shift, is_other_tail, measure_shift
from charlstm.text.tokenizer import CharTokenizer, Ids
from tests.conftest import PLAY

PLAIN = Shift(0.0, (0.02, 0.01, 0.03), 2.0, 0.5)


def encode(text: str) -> tuple[Ids, int]:
    tokenizer = CharTokenizer.from_text(text)
    return tokenizer.encode(text), len(tokenizer)


def chosen(text: str, **options: float) -> str:
    ids, size = encode(text)
    return make_split(ids, size, TextConfig(**options)).method  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def play() -> str:
    return PLAY.read_text("utf-8")


@pytest.fixture(scope="module")
def code() -> str:
    """Python, of its own library."""
    modules = (inspect, textwrap, re, string)
    return "".join(Path(str(module.__file__)).read_text("utf-8") for module in modules)


@pytest.fixture(scope="module")
def cyrillic(play: str) -> str:
    """The play's last fifth in another alphabet: every letter is a new one."""
    letters = {ord(c): 0x430 + n for n, c in enumerate(string.ascii_lowercase)}
    return play[-16_000:].lower().translate(letters)


def words(count: int) -> list[str]:
    """Random words of two to four syllables."""
    rng = np.random.default_rng(1)
    syllables = [a + b + c for a in "bdfgklmnprstvw" for b in "aeiou" for c in ("", "n", "r", "s")]
    return [
        "".join(syllables[n] for n in rng.integers(len(syllables), size=rng.integers(2, 5)))
        for _ in range(count)
    ]


def test_a_text_of_one_kind_keeps_its_tail(play: str, code: str) -> None:
    assert chosen(play) == "tail"
    assert chosen(play, val_fraction=0.05, test_fraction=0.05) == "tail"
    assert chosen(play[:25_000]) == "tail"
    assert chosen(code[:120_000]) == "tail"


@pytest.mark.parametrize("count", [1500, 20_000])
def test_the_order_of_a_list_decides(count: int) -> None:
    listed = words(count)
    assert chosen("\n".join(listed)) == "tail"
    assert chosen("\n".join(sorted(listed))) == "blocks"


def test_another_kind_at_the_end(play: str, code: str, cyrillic: str) -> None:
    assert chosen(play + cyrillic) == "blocks", "another alphabet"
    assert chosen(play + cyrillic[:4000]) == "blocks", "half of the tail is enough"
    assert chosen(play + code[:12_000]) == "blocks", "prose, then code"
    assert chosen(code[:80_000] + play[:12_000]) == "blocks", "code, then prose"
    assert chosen(play + code[:80_000]) == "blocks", "two books in a row"


def test_the_end_of_a_short_second_kind_represents_the_text(play: str, code: str) -> None:
    """What matters is the tail, not the start."""
    assert chosen(code[:8000] + play) == "tail"


def test_two_books_of_one_language_in_a_row() -> None:
    """The same words with other frequencies: the tail is not novel, but of the second only."""
    rng = np.random.default_rng(2)
    vocabulary = words(400)
    weights = 1 / np.arange(1, 401)
    books = []
    for order in (np.arange(400), np.arange(400)[::-1]):
        p = weights[order] / weights.sum()
        books.append(" ".join(vocabulary[n] for n in rng.choice(400, size=25_000, p=p)))
    assert chosen(books[0]) == chosen(books[1]) == "tail"
    assert chosen(books[0] + books[1]) == "blocks"


def test_too_little_text_to_tell_keeps_the_tail(play: str, cyrillic: str) -> None:
    short = play[:8000] + cyrillic[:900]
    assert measure_shift(*encode(short), 900) is None
    assert chosen(short) == "tail"
    assert chosen(play + cyrillic, val_fraction=0.0) == "tail"
    assert chosen("ab") == "tail"


def test_most_of_the_text_held_out(play: str, cyrillic: str) -> None:
    assert chosen(play, val_fraction=0.6) == "tail"
    assert chosen(play[:40_000] + cyrillic * 3, val_fraction=0.6) == "blocks"


def test_novelty_and_change_by_hand() -> None:
    """The tail is of one new character, the rest of another: every prediction is a surprise."""
    ids = np.repeat(np.array([0, 1], dtype=np.uint8), [90_000, 10_000])
    shift = measure_shift(ids, 2, 10_000)
    assert shift is not None
    assert shift.novelty > 5
    assert max(shift.elsewhere) == pytest.approx(0, abs=1e-3)
    assert shift.position == 0.9
    same = measure_shift(np.zeros(100_000, dtype=np.uint8), 1, 10_000)
    assert same is not None
    assert same.novelty == pytest.approx(0, abs=1e-3)
    assert same.change == 0


@pytest.mark.parametrize(
    ("shift", "large"),
    [
        (PLAIN, False),
        (Shift(0.31, (0.1, 0.2), 0, 0.5), True),
        (Shift(0.31, (), 0, 0.5), True),
        (Shift(0.31, (0.1, 0.32), 0, 0.5), False),
        (Shift(0.31, (0.26, 0.26, 0.4), 0, 0.5), True),
        (Shift(0.2, (0.26, 0.26, 0.4), 0, 0.5), False),
        (Shift(0.0, (0.1,), 8.1, 0.5), True),
        (Shift(0.0, (0.1,), 8.1, 0.4), False),
        (Shift(0.16, (0.1,), 4.1, 0.9), True),
        (Shift(0.16, (0.1,), 3.9, 0.9), False),
        (Shift(0.16, (0.1,), 4.1, 0.3), False),
        (Shift(0.16, (0.17,), 4.1, 0.9), False),
        (Shift(0.14, (0.1,), 4.1, 0.9), False),
    ],
)
def test_thresholds(shift: Shift, large: bool) -> None:
    assert shift.is_large == large


def test_long_texts_are_sampled(play: str, cyrillic: str) -> None:
    """The same answer, twice, in a time that does not grow with the text."""
    ids, size = encode(play)
    other, other_size = encode(play + cyrillic)
    begun = time.process_time()
    long = np.tile(ids, 250)  # 20 million characters
    assert not is_other_tail(long, size, len(long) // 10)
    shifted = np.concatenate([np.tile(other[: len(play)], 250), np.tile(other[len(play) :], 140)])
    first, second = (measure_shift(shifted, other_size, len(shifted) // 10) for _ in range(2))
    assert first is not None
    assert first == second
    assert first.is_large
    assert time.process_time() - begun < 5
