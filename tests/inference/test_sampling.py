from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from charlstm.config import SampleConfig
from charlstm.inference.sampling import (
    Floats,
    Sampler,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    softmax,
    stream_rng,
)
from charlstm.inference.stop_text import StopText

# Probabilities 0.5, 0.25, 0.125, 0.125.
LOGITS = np.log(np.array([[4.0, 2.0, 1.0, 1.0]]))


def kept(logits: Floats) -> list[int]:
    return np.flatnonzero(np.isfinite(logits[0])).tolist()


def test_softmax() -> None:
    np.testing.assert_allclose(softmax(LOGITS), [[0.5, 0.25, 0.125, 0.125]])


@pytest.mark.parametrize(
    ("k", "ids"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2, 3]), (9, [0, 1, 2, 3])]
)
def test_top_k(k: int, ids: list[int]) -> None:
    assert kept(keep_top_k(LOGITS, k)) == ids  # the third is tied with the fourth


@pytest.mark.parametrize(
    ("p", "ids"), [(0.01, [0]), (0.5, [0]), (0.51, [0, 1]), (0.8, [0, 1, 2]), (1.0, [0, 1, 2, 3])]
)
def test_top_p(p: float, ids: list[int]) -> None:
    assert kept(keep_top_p(LOGITS, p)) == ids


@pytest.mark.parametrize(
    ("share", "ids"), [(0.0, [0, 1, 2, 3]), (0.2, [0, 1, 2, 3]), (0.3, [0, 1]), (1.0, [0])]
)
def test_min_p(share: float, ids: list[int]) -> None:
    assert kept(keep_min_p(LOGITS, share)) == ids


@given(
    arrays(np.float32, (3, 7), elements=st.floats(-50, 50, width=32)),
    st.integers(1, 9),
    st.floats(0.01, 1),
    st.floats(0, 1),
)
def test_filters_keep_the_likeliest(
    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]], k: int, p: float, share: float
) -> None:
    for filtered in (keep_top_k(logits, k), keep_top_p(logits, p), keep_min_p(logits, share)):
        assert (filtered.max(axis=1) == logits.max(axis=1)).all()


@pytest.mark.parametrize(
    ("uniform", "char_id"), [(0.0, 0), (0.49, 0), (0.5, 1), (0.74, 1), (0.76, 2), (0.99, 3)]
)
def test_draw_inverts_the_cumulative_distribution(uniform: float, char_id: int) -> None:
    assert draw(LOGITS, np.array([uniform])).tolist() == [char_id]


def test_what_was_dropped_is_never_drawn() -> None:
    logits = np.array([[-np.inf, 0.0, -np.inf]])
    for uniform in (0.0, 0.5, 1 - 2.0**-40):
        assert draw(logits, np.array([uniform])).tolist() == [1]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.3},
        {"temperature": 0.0},
        {"top_k": 3},
        {"top_p": 0.7, "min_p": 0.1, "temperature": 1.7},
    ],
)
def test_one_stream_draws_what_the_first_of_many_draws(options: dict[str, float]) -> None:
    config = SampleConfig(**options)  # type: ignore[arg-type]
    logits = np.random.default_rng(0).normal(size=(600, 4, 9)).astype(np.float32) * 3
    many, one = Sampler(config, 4, seed=5), Sampler(config, 1, seed=5)
    for step in logits:
        assert many.choose(step)[0] == one.choose_one(step[0])


SEEDS = [0, 1, 7, 2**32 - 1, 2**32, 2**32 + 7, 7 * 2**32, 2**33 + 7, 2**63 - 1]


def test_streams_of_all_seeds_are_distinct() -> None:
    numbers = {(s, n): tuple(stream_rng(s, n).random(3)) for s in SEEDS for n in (0, 1, 2, 7, 4095)}
    assert len(set(numbers.values())) == len(numbers)
    # Together, alone and as part of a group, a stream is the same.
    for seed in SEEDS:
        together = Sampler(SampleConfig(), 8, seed).uniforms(3)
        assert tuple(together[:, 7]) == numbers[seed, 7]
        assert tuple(Sampler(SampleConfig(), 1, seed).uniforms(3)[:, 0]) == numbers[seed, 0]
        assert tuple(Sampler(SampleConfig(), 2, seed, first=6).uniforms(3)[:, 1]) == tuple(
            together[:, 7]
        )


def test_seeds_of_32_bits_keep_their_texts() -> None:
    """They draw what released versions draw."""
    for seed, stream in ((0, 0), (7, 0), (7, 3), (2**32 - 1, 4095)):
        expected = np.random.default_rng([seed, stream]).random(5)
        np.testing.assert_array_equal(stream_rng(seed, stream).random(5), expected)


def test_a_draw_does_not_depend_on_the_layout() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 9)).astype(np.float32) * 3
    uniforms = np.minimum(rng.random(300), 1 - 2.0**-22)
    columns = np.asfortranarray(logits)  # as a session of many streams returns them
    np.testing.assert_array_equal(draw(logits, uniforms), draw(columns, uniforms))
    alone = [draw(row[None, :], uniforms[n : n + 1])[0] for n, row in enumerate(logits)]
    np.testing.assert_array_equal(alone, draw(columns, uniforms))


def test_a_last_character_without_probability_is_never_drawn() -> None:
    logits = np.array([0.0, 1.0, -200.0], dtype=np.float32)  # exp(-201) is 0 in float32
    sampler = Sampler(SampleConfig(temperature=1.0), 1, seed=1)
    sampler.uniforms(256)[:] = 1 - 2.0**-22
    sampler._used = 0
    assert sampler.choose_one(logits) == 1
    assert draw(logits[None, :], np.array([1 - 2.0**-22])).tolist() == [1]


def test_draws_follow_the_probabilities() -> None:
    sampler = Sampler(SampleConfig(temperature=1.0), 1, seed=1)
    logits = LOGITS[0].astype(np.float32)
    counts = np.bincount([sampler.choose_one(logits) for _ in range(8000)], minlength=4)
    # Within five standard deviations.
    expected = np.array([0.5, 0.25, 0.125, 0.125])
    assert (np.abs(counts / 8000 - expected) < 5 * np.sqrt(expected / 8000)).all()


FILTERS: list[dict[str, float]] = [
    {"temperature": 1.0},
    {"temperature": 0.5},
    {"temperature": 1.7},
    {"top_k": 1},
    {"top_k": 4, "temperature": 1.3},
    {"top_p": 0.3},
    {"top_p": 0.9, "temperature": 1.5},
    {"min_p": 0.2},
    {"min_p": 0.05, "temperature": 2.0},
    {"top_k": 6, "top_p": 0.8, "temperature": 1.5},
    {"top_k": 6, "min_p": 0.3},
    {"top_p": 0.9, "min_p": 0.3, "temperature": 1.2},
    {"top_k": 5, "top_p": 0.9, "min_p": 0.1, "temperature": 3.0},
    {"top_k": 99, "top_p": 1.0, "min_p": 1.0},
]


def expected_shares(logits: list[float], config: SampleConfig) -> list[float]:
    """Each character's probability, by the documented order and definitions, in plain Python."""

    def normalised(weights: dict[int, float]) -> dict[int, float]:
        total = math.fsum(weights.values())
        return {n: weight / total for n, weight in weights.items()}

    shares = normalised({n: math.exp(x / config.temperature) for n, x in enumerate(logits)})
    ranked = sorted(shares, key=lambda n: -shares[n])
    if config.top_k:
        shares = normalised({n: shares[n] for n in ranked[: config.top_k]})
    kept: list[int] = []
    for n in ranked[: len(shares)]:
        if math.fsum(shares[k] for k in kept) < config.top_p:
            kept.append(n)
    shares = normalised({n: shares[n] for n in kept})
    least = config.min_p * max(shares.values())
    shares = normalised({n: share for n, share in shares.items() if share >= least})
    return [shares.get(n, 0.0) for n in range(len(logits))]


@pytest.mark.parametrize("options", FILTERS, ids=str)
@pytest.mark.parametrize("streams", [1, 200])
def test_draws_follow_the_filtered_probabilities(options: dict[str, float], streams: int) -> None:
    """Chi-square; the seed is fixed, so the test is the same each time."""
    config = SampleConfig(**options)  # type: ignore[arg-type]
    logits = np.random.default_rng(2).normal(size=12).astype(np.float32) * 2
    sampler = Sampler(config, streams, seed=1)
    if streams == 1:
        drawn = np.array([sampler.choose_one(logits) for _ in range(4000)])
    else:
        many = np.repeat(logits[None, :], streams, axis=0)
        drawn = np.concatenate([sampler.choose(many) for _ in range(200)])
    found = np.bincount(drawn, minlength=12)
    expected = len(drawn) * np.array(expected_shares(logits.tolist(), config))
    possible = expected > 0
    assert not found[~possible].any()
    degrees = int(possible.sum()) - 1
    chi_square = float(((found - expected)[possible] ** 2 / expected[possible]).sum())
    # Mean and standard deviation are n and sqrt(2 n) for n degrees of freedom.
    assert chi_square <= degrees + 5 * math.sqrt(2 * degrees)


def test_temperature_is_applied_before_top_p() -> None:
    # At temperature 0.5 the probabilities are 16 : 4 : 1 : 1, so 0.7 keeps the first alone.
    sampler = Sampler(SampleConfig(temperature=0.5, top_p=0.7), 1, seed=1)
    logits = LOGITS[0].astype(np.float32)
    assert {sampler.choose_one(logits) for _ in range(300)} == {0}


def ended_before(text: str, stops: list[str]) -> str:
    """The reference: the text up to the stop that begins first."""
    return text[: min([text.find(stop) for stop in stops if stop in text], default=len(text))]


@given(
    st.text("abc", max_size=30),
    st.lists(st.text("abc", min_size=1, max_size=5), max_size=4),
    st.randoms(),
)
@example("xABCx", ["ABCDE", "C"], Random(0))  # the first to begin is not completed
@example("xABC", ["ABCDE", "C"], Random(0))  # nor at the text's end
@example("xS:y", [":", "S:"], Random(0))
@example("aab", ["ab", "aab"], Random(0))
def test_stop_text(text: str, stops: list[str], random: Random) -> None:
    expected = ended_before(text, stops)
    for order in (stops, stops[::-1], random.sample(stops, len(stops))):
        stop, out = StopText(tuple(order)), ""
        for character in text:
            out += stop.feed(character)
            assert expected.startswith(out)  # nothing has to be taken back
            if stop.found:
                break
        out += stop.rest()
        assert out == expected
        assert stop.found == (expected != text)


def test_what_cannot_be_a_stop_text_is_not_held_back() -> None:
    stop = StopText(("abc", "bd"))
    assert [stop.feed(c) for c in "xabxabd"] == ["x", "", "", "abx", "", "", "a"]
    assert stop.found
