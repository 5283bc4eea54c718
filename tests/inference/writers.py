"""Engines with random weights, and the characters that they write."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from charlstm.config import ModelConfig, SampleConfig
from charlstm.format.weights import weight_shapes
from charlstm.inference import generation
from charlstm.inference.engine import Engine
from charlstm.inference.generation import generate_ids
from charlstm.inference.sampling import Sampler

NUMBA_S = (generation.FAST_WRITER, "charlstm.kernels.lstm_sampling")


NO_NUMBA = "numba is not installed: pip install 'charlstm[fast]'"


def make_engine(
    layers: int, hidden: int, vocab: int, *, compiled: bool | None, **options: Any
) -> Engine:
    config = ModelConfig(num_layers=layers, hidden_size=hidden, **options)
    rng = np.random.default_rng(layers)
    weights = {
        name: (2.0 * rng.normal(size=shape) / hidden**0.5).astype(np.float32)
        for name, shape in weight_shapes(config, vocab).items()
    }
    return Engine(weights, config, vocab, compiled=compiled)


def written(engine: Engine, count: int, length: int = 0, **options: Any) -> list[int]:
    session = engine.session()
    logits = session.step(1)
    sampler = Sampler(SampleConfig(**options), 1, seed=3)
    return list(itertools.islice(generate_ids(session, logits, sampler, length), count))
