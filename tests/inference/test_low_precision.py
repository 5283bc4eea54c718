"""Sampling with weights in bfloat16 and int8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlstm.config import SampleConfig
from charlstm.errors import ConfigError, DeviceError
from charlstm.inference import generation
from charlstm.kernels.availability import unavailable
from tests.inference.writers import NO_NUMBA, make_engine

# How far logits and their mean may be off, for weights as lively as these.
NEAR = {"bfloat16": (0.25, 0.03), "int8": (0.5, 0.08)}


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("streams", [1, 7, 17])
@pytest.mark.parametrize("hidden", [7, 32])
@pytest.mark.parametrize("precision", NEAR)
def test_low_precision_comes_near(precision: str, streams: int, hidden: int) -> None:
    """Logits stay within rounding of those of float32, over the same characters."""
    fast_writer = pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    if unavailable(precision) is not None:
        pytest.skip(f"this processor has no {precision} products (avx512_bf16, avx2)")
    engine = make_engine(2, hidden, 20, compiled=None)
    session, plain = engine.session(streams), engine.session(streams)
    start: Any = 1 if streams == 1 else np.arange(streams) % 20
    session.step(start)
    writer = fast_writer.FastWriter(session, precision)
    exact = plain.step(start)
    uniforms = np.random.default_rng(4).random((40, streams))
    for chosen in np.concatenate([writer.write(part, 0.8) for part in np.split(uniforms, 4)]):
        exact = plain.step(int(chosen[0]) if streams == 1 else chosen)
    low = session.outs[-1][engine.rows :].T
    assert not np.array_equal(low, exact)  # it is another arithmetic
    most, mean = NEAR[precision]
    np.testing.assert_allclose(low, exact, atol=most)
    assert np.abs(low - exact).mean() < mean
    # What it left in its session goes on by numpy, in float32.
    again: Any = 0 if streams == 1 else np.zeros(streams, dtype=np.int64)
    np.testing.assert_allclose(session.step(again), plain.step(again), atol=most)


@pytest.mark.parametrize("precision", NEAR)
def test_low_precision_is_asked_for(monkeypatch: pytest.MonkeyPatch, precision: str) -> None:
    low = SampleConfig(precision=precision)
    engine = make_engine(1, 8, 9, compiled=None)
    monkeypatch.setattr(generation, "load_writer", lambda *_: None)
    with pytest.raises(DeviceError, match=r"needs numba \(pip install 'charlstm\[fast\]'\)"):
        generation.check_precision(engine, low)
    generation.check_precision(engine, SampleConfig())
    for other, config in (
        (make_engine(1, 8, 9, compiled=None, cell="gru"), low),
        (engine, SampleConfig(precision=precision, top_k=3)),
        (engine, SampleConfig(precision=precision, temperature=0.0)),
    ):
        with pytest.raises(ConfigError, match=f"--precision {precision} needs a model with --cell"):
            generation.check_precision(other, config)
