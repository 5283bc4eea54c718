"""Figures of a sample: entropies worked by hand, n-gram losses, repeated passages, compression."""

from __future__ import annotations

import bz2
import lzma
import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.checkup import compression
from charlstm.checkup.compression import bits_per_char
from charlstm.checkup.ngrams import measure
from charlstm.checkup.passages import repeated_passages
from charlstm.text.code_points import code_points

IDS = st.lists(st.integers(0, 3), min_size=1, max_size=60)


def ids_of(text: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([ord(c) - ord("a") for c in text], dtype=np.int64)


def test_entropies_worked_by_hand() -> None:
    # a b a b a b a b: half a, half b; each follows from the one before.
    found = measure(ids_of("abababab"), 2, 0)
    assert found.entropies == pytest.approx((1, 0, 0, 0, 0, 0), abs=1e-12)
    # a a b b: after a comes a or b, after b comes b; two of three pairs begin with a.
    found = measure(ids_of("aabb"), 2, 0)
    assert found.entropies[:3] == pytest.approx((1, 2 / 3, 0))
    # a a a b: p = 3/4 and 1/4; of three pairs all begin with a: two aa and one ab.
    found = measure(ids_of("aaab"), 2, 0)
    assert found.entropies[0] == pytest.approx(2 - 0.75 * math.log2(3))
    assert found.entropies[1] == pytest.approx(math.log2(3) - 2 / 3)
    assert measure(ids_of("a"), 1, 0).entropies == (0.0,)


def test_a_loss_worked_by_hand() -> None:
    # Training part a a b, then a, of V = 2. Unigrams: (2 + 2 * 1/2) / (3 + 2) = 3/5.
    # Bigrams: after b nothing was seen, so that the unigram's prediction stays.
    found = measure(ids_of("aaba"), 2, 1)
    assert found.loss == pytest.approx(-math.log2(3 / 5))
    # a a b a, then b: unigrams (1 + 2/2) / (4 + 2) = 1/3; after a came a and b, each once:
    # (1 + 2 * 1/3) / (2 + 2) = 5/12; after ba nothing.
    found = measure(ids_of("aabab"), 2, 1)
    assert found.loss == pytest.approx(-math.log2(5 / 12))
    assert found.order == 1


@given(IDS, st.integers(0, 10))
def test_ngram_figures_are_those_of_counting(values: list[int], held: int) -> None:
    held = min(held, len(values) - 1)
    found = measure(np.array(values), 4, held)
    for order, entropy in enumerate(found.entropies):
        grams = [tuple(values[n : n + order + 1]) for n in range(len(values) - order)]
        contexts = [gram[:-1] for gram in grams]
        bits = [math.log2(contexts.count(g[:-1]) / grams.count(g)) for g in grams]
        assert entropy == pytest.approx(sum(bits) / len(bits), abs=1e-12)
    losses = [_loss(values, len(values) - held, order) for order in range(8)] if held else []
    if held:
        assert found.loss is not None
        assert found.loss == pytest.approx(losses[found.order])
        assert found.loss <= min(losses[:6]) + 1e-9
    else:
        assert found.loss is None


def _loss(values: list[int], train: int, most: int) -> float:
    """Witten-Bell's loss by its formula, for orders up to `most` where training has them."""
    total = 0.0
    for position in range(train, len(values)):
        p = 1 / 4
        for order in range(min(most, train - 1) + 1):
            context = tuple(values[position - order : position])
            seen = [
                values[n + order]
                for n in range(train - order)
                if tuple(values[n : n + order]) == context
            ]
            if seen:
                types = len(set(seen))
                p = (seen.count(values[position]) + types * p) / (len(seen) + types)
        total -= math.log2(p)
    return total / (len(values) - train)


def test_many_distinct_characters() -> None:
    values = np.arange(3000) % 1500 * 700  # ids up to a million
    assert measure(values, 1_050_000, 0).entropies[1] == 0


# --- Repeated passages ---


def naive_fraction(text: str, length: int = 32) -> float:
    covered = set[int]()
    for n in range(len(text) - length + 1):
        if text.find(text[n : n + length]) < n:
            covered |= set(range(n, n + length))
    return len(covered) / len(text)


def repetition(text: str, *stops: int) -> tuple[float, int]:
    found = repeated_passages(code_points(text), np.array([*stops, len(text)]))
    if found.length:
        first, second, size = found.first, found.second, found.length
        assert text[first : first + size] == text[second : second + size]
        assert first + size <= second
    return found.fraction, found.length


def noise(count: int, seed: int = 0) -> str:
    return "".join(map(chr, np.random.default_rng(seed).integers(97, 123, count)))


def test_passages() -> None:
    assert repetition("short") == (0.0, 0)
    assert repetition(noise(1000)) == (0.0, 0)
    text = noise(100, 1)
    assert repetition(text + noise(300) + text) == (0.2, 100)
    # The largest of several, neither of whose lengths is a power of two.
    other = noise(45, 2)
    mixed = text + other + noise(200) + other + "." + text
    fraction, length = repetition(mixed)
    assert fraction == pytest.approx(naive_fraction(mixed))
    assert length == 100
    # A run of one character: a passage without overlap.
    assert 32 <= repetition("-" * 101)[1] <= 50
    # No passage crosses a border between pieces.
    assert repetition(text + noise(300) + text, 50, 450)[1] == 50


@given(st.text("ab", min_size=32, max_size=120), st.integers(0, 90), st.integers(30, 60))
def test_passages_are_those_of_comparing(text: str, start: int, length: int) -> None:
    text += "".join(text[start : start + length])
    fraction, found = repetition(text)
    assert fraction == pytest.approx(naive_fraction(text))
    longest = max(
        (n for n in range(32, len(text) // 2 + 1)
         if any(text.find(text[i : i + n], i + n) >= 0 for i in range(len(text) - n))),
        default=0,
    )  # fmt: skip
    assert found <= longest
    assert bool(found) == bool(longest)


def test_compressors_say_what_they_say() -> None:
    text = "abc\u00e9" * 500
    data = text.encode()
    found = bits_per_char([text])
    assert found["xz"] == 8 * len(lzma.compress(data)) / len(text)
    assert found["bzip2"] == 8 * len(bz2.compress(data)) / len(text)
    assert zlib.decompress(zlib.compress(data, 6)) == data
    assert found["gzip"] == 8 * len(zlib.compress(data, 6)) / len(text)


def test_compressors_read_two_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "_MOST_BYTES", 1000)
    pieces = [noise(400, seed) for seed in range(6)]
    assert bits_per_char(pieces) == bits_per_char(pieces[::3])
    assert bits_per_char(["".join(pieces)]) == bits_per_char(["".join(pieces)[:800]])
