from __future__ import annotations

import math

import numpy as np
import pytest

from charlstm.config import ModelConfig
from charlstm.errors import CorpusError
from charlstm.format.weights import weight_shapes
from charlstm.inference import scoring
from charlstm.inference.engine import Engine
from charlstm.inference.scoring import Score, cross_entropy, plan_streams, score_cold, score_ids

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
    plan = plan_streams(size)
    counted = np.zeros(plan.predictions, dtype=int)
    for first in range(plan.start, plan.length, 700):
        places, mask = plan.positions(first, min(first + 700, plan.length))
        np.add.at(counted, places[mask], 1)
    assert (counted == 1).all()
    assert plan.count == 1 or plan.start == -scoring.WARM_UP


def test_parallel_streams_score_as_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(1).integers(5, size=9000).astype(np.uint8)
    many = score_ids(engine(), ids)
    assert plan_streams(len(ids)).count == 4
    monkeypatch.setattr(scoring, "_MAX_STREAMS", 1)
    assert score_ids(engine(), ids).nats_per_char == pytest.approx(many.nats_per_char, abs=1e-6)


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
