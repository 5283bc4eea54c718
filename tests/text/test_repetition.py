from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.text import repetition
from charlstm.text.parts import Part
from charlstm.text.repetition import PASSAGE, repeated_fraction
from charlstm.text.tokenizer import Ids

RNG = np.random.default_rng(0)


def ids(count: int, kinds: int = 60, dtype: type = np.uint8) -> Ids:
    return RNG.integers(0, kinds, count).astype(dtype)


def share(train: Ids, val: Ids) -> float:
    return repeated_fraction(Part.whole(train), Part.whole(val))


def by_looking(train: Ids, val: Ids) -> float:
    """The same, by comparing bytes."""
    text = train.tobytes()
    found = [
        val[start : start + PASSAGE].tobytes() in text
        for start in range(0, len(val) - PASSAGE + 1, PASSAGE)
    ]
    return sum(found) / len(found) if found else 0.0


def test_a_new_text_repeats_nothing_and_a_copy_everything() -> None:
    train = ids(5000)
    assert share(train, ids(1000)) == 0
    assert share(train, train[777:2000]) == 1
    assert share(train, np.concatenate([train[1000:1320], ids(320)])) == 0.5


def test_a_text_without_a_passage_repeats_nothing() -> None:
    train = ids(500)
    assert share(train, train[:0]) == 0
    assert share(train, train[: PASSAGE - 1]) == 0
    assert share(train[: PASSAGE - 1], train) == 0
    assert share(train[:0], train) == 0


@given(
    st.lists(st.integers(0, 1), min_size=0, max_size=300),
    st.lists(st.integers(0, 1), min_size=0, max_size=200),
    st.integers(0, 250),
)
def test_it_is_what_comparing_says(train: list[int], val: list[int], copied: int) -> None:
    first = np.array(train, np.uint8)
    second = np.concatenate([first[copied:], np.array(val, np.uint8)])
    assert share(first, second) == by_looking(first, second)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_passages_across_chunks_are_found(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "_CHUNK", 50)
    train = ids(1000, 200, dtype)
    for start in range(200):
        assert share(train, train[start : start + PASSAGE]) == 1


def test_a_long_text_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repetition, "_MOST_PASSAGES", 10)
    monkeypatch.setattr(repetition, "_MOST_CHARS", 1000)
    train, new = ids(5000), ids(1600)
    assert share(train, new) == 0
    assert share(train, train[-960:]) == 1
    assert share(train, np.concatenate([train[-960:], new[:960]])) == 0.5
    assert share(train, train[:960]) == 0  # not among what is searched
