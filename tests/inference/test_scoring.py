from __future__ import annotations

import math

import numpy as np
import pytest

from charlstm.cells import SAMPLING_KERNEL_CELLS
from charlstm.config import ModelConfig
from charlstm.errors import CorpusError
from charlstm.format.weights import weight_shapes
from charlstm.inference import scoring
from charlstm.inference.engine import Engine
from charlstm.inference.generation import FAST_WRITER
from charlstm.inference.score import Score
from charlstm.inference.scoring import cross_entropy, plan_streams, score_cold, score_ids
from charlstm.kernels.availability import unavailable
from charlstm.text.parts import Part

CONFIG = ModelConfig(num_layers=1, hidden_size=6)


def engine(scale: float = 0.5) -> Engine:
    rng = np.random.default_rng(0)
    return Engine(
        {
            name: (scale * rng.normal(size=shape)).astype(np.float32)
            for name, shape in weight_shapes(CONFIG, 5).items()
        },
        CONFIG,
        5,
    )


def test_score_s_arithmetic() -> None:
    score = Score(nats=10 * math.log(4), count=10)
    assert score.nats_per_char == pytest.approx(math.log(4))
    assert score.bits_per_char == pytest.approx(2)
    assert score.perplexity == pytest.approx(4)
    assert Score(1e6, 1).perplexity == math.inf


def test_a_model_without_weights_scores_log_v() -> None:
    ids = np.array([0, 1, 2, 3, 4, 0], dtype=np.uint8)
    score = score_ids(engine(0.0), ids)
    assert score.count == 5
    assert score.nats_per_char == pytest.approx(math.log(5))


def test_cross_entropy_by_hand() -> None:
    logits = np.log(np.array([[1, 3], [1, 1]])).astype(np.float32)
    loss = cross_entropy(logits, np.array([1, 0]))
    np.testing.assert_allclose(loss, [math.log(4 / 3), math.log(2)], rtol=1e-6)


@pytest.mark.parametrize("size", [2, 3, 500, 4096, 4097, 10_001, 200_000])
def test_streams_count_every_position_once(size: int) -> None:
    (plan,) = plan_streams(Part.whole(np.zeros(size, np.uint8)))
    counted = np.zeros(plan.predictions, dtype=int)
    for first in range(plan.start, plan.length, 700):
        places, mask = plan.positions(first, min(first + 700, plan.length))
        np.add.at(counted, places[mask], 1)
    assert (counted == 1).all()
    assert plan.count == 1 or plan.start == -scoring.WARM_UP


def test_parallel_streams_score_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(1).integers(5, size=9000).astype(np.uint8)
    many = score_ids(engine(), ids)
    assert plan_streams(Part.whole(ids))[0].count == 4
    monkeypatch.setattr(scoring, "_MAX_STREAMS", 1)
    assert score_ids(engine(), ids).nats_per_char == pytest.approx(many.nats_per_char, abs=1e-6)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", SAMPLING_KERNEL_CELLS)
def test_compiled_code_scores_as_numpy_does(
    cell: str, layers: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One stream, whose units threads share; streams with a warm-up; and cold windows."""
    fast_writer = pytest.importorskip(FAST_WRITER, reason="numba is not installed")
    if (fault := unavailable("float32")) is not None:
        pytest.skip(str(fault))
    monkeypatch.setattr(fast_writer, "_unit_threads", lambda *_: parts)
    monkeypatch.setattr(fast_writer, "_max_threads", lambda: 2)
    fast_writer._pool.cache_clear()
    config = ModelConfig(num_layers=layers, hidden_size=33, cell=cell)
    rng = np.random.default_rng(0)
    weights = {
        name: (0.3 * rng.normal(size=shape)).astype(np.float32)
        for name, shape in weight_shapes(config, 70).items()
    }
    plain, compiled = (Engine(weights, config, 70, compiled=own) for own in (False, True))
    ids = rng.integers(70, size=25_000).astype(np.uint8)
    for text in (ids[:700], ids):
        expected, found = score_ids(plain, text), score_ids(compiled, text)
        assert found.count == expected.count
        assert found.nats_per_char == pytest.approx(expected.nats_per_char, abs=2e-7)
    expected, found = (score_cold(model, ids[:5000], 40) for model in (plain, compiled))
    assert found.nats_per_char == pytest.approx(expected.nats_per_char, abs=2e-7)


@pytest.mark.parametrize("work", [-1, 0])
def test_compiled_code_scores_where_it_is_worth_it(
    work: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(scoring, "load_writer", asked.append)  # none is loaded: numpy goes on
    model = engine()
    monkeypatch.setattr(scoring, "WORTH_COMPILING", 99 * model.columns.size - work)
    score_ids(model, np.zeros(100, dtype=np.uint8))
    assert asked == ["float32"] * (work == 0)


@pytest.mark.parametrize("size", [0, 1])
def test_too_short(size: int) -> None:
    with pytest.raises(CorpusError, match="at least 2"):
        score_ids(engine(), np.zeros(size, dtype=np.uint8))


@pytest.mark.parametrize("size", [2, 7, 8, 9, 50, 700])
@pytest.mark.parametrize("window", [1, 2, 8, 1000])
def test_cold_windows_are_scored_one_by_one(size: int, window: int) -> None:
    model = engine()
    ids = np.random.default_rng(size).integers(5, size=size).astype(np.uint8)
    nats, count = 0.0, 0
    for start in range(0, size - 1, window):
        part = ids[start : min(start + window, size - 1) + 1]
        alone = score_ids(model, part)
        nats, count = nats + alone.nats, count + alone.count
    score = score_cold(model, ids, window)
    assert score.count == count == size - 1
    assert score.nats == pytest.approx(nats, rel=1e-5)


def part_of(size: int, *lengths: int) -> Part:
    """Segments of some lengths, with gaps, of a random text."""
    ids = np.random.default_rng(size).integers(5, size=size).astype(np.uint8)
    spans, start = [], 7
    for length in lengths:
        spans.append((start, start + length))
        start += length + 3
    assert start <= size
    return Part(ids, spans)


PARTS = {
    "short": part_of(100, 2, 1, 9, 30),
    "one": part_of(5000, 4500),
    "unequal": part_of(20_000, 30, 9000, 1, 5000, 2049),
    "many": part_of(60_000, *range(1, 300)),
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_streams_count_every_position_of_a_part_once(part: Part) -> None:
    counted = np.zeros(len(part.ids), dtype=int)
    for plan in plan_streams(part):
        assert plan.count <= 128
        for first in range(plan.start, plan.length, 700):
            places, mask = plan.positions(first, min(first + 700, plan.length))
            np.add.at(counted, places[mask], 1)
            owners = np.searchsorted(part.spans[:, 0], places, side="right") - 1
            np.testing.assert_array_equal(
                part.spans[owners, 0], plan.segments[None, :] + 0 * places
            )
            assert (places + 1 < part.spans[owners, 1]).all(), "targets are of the same segment"
    inside = np.zeros_like(counted)
    for start, stop in part.spans.tolist():
        inside[start : stop - 1] = 1
    np.testing.assert_array_equal(counted, inside)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_a_part_scores_as_its_segments_one_by_one(part: Part) -> None:
    """Each from the zero state; every character but a segment's first counts."""
    alone = [score_ids(engine(), ids) for ids in part.segments if len(ids) > 1]
    done: list[int] = []
    score = score_ids(engine(), part, done.append)
    assert score.count == part.predictions == sum(one.count for one in alone) == done[-1]
    assert score.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-6)
    assert done == sorted(done)


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("window", [1, 8, 1000])
def test_cold_windows_lie_within_a_segment(part: Part, window: int) -> None:
    alone = [score_cold(engine(), ids, window) for ids in part.segments if len(ids) > 1]
    score = score_cold(engine(), part, window)
    assert score.count == part.predictions
    assert score.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-6)


def test_a_part_without_two_characters_in_a_row_is_too_short() -> None:
    with pytest.raises(CorpusError, match="at least 2"):
        score_ids(engine(), part_of(100, 1, 1, 1))
