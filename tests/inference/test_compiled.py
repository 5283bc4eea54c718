"""The compiled loop against the readable one, and sampling where it cannot be used."""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.config import ModelConfig, SampleConfig
from charlstm.errors import ConfigError, DeviceError
from charlstm.inference import sampling
from charlstm.inference.engine import Engine
from charlstm.inference.sampling import Sampler, generate_ids
from charlstm.inference.weights import weight_shapes

ROOT = Path(__file__).parents[2]
NUMBA_S = (sampling.COMPILED, "charlstm.compiled")
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


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing of numba has been asked for, nor is it after the test."""
    loaded = {name: sys.modules.pop(name, None) for name in NUMBA_S}
    sampling.load_writer.cache_clear()
    yield
    sampling.load_writer.cache_clear()
    sys.modules.update({name: module for name, module in loaded.items() if module})


@pytest.mark.parametrize("vocab", [2, 65, 300])
@pytest.mark.parametrize("hidden", [1, 7, 33, 128])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", ["lstm", "coupled"])
def test_same_logits_and_ids(cell: str, layers: int, hidden: int, vocab: int) -> None:
    compiled = pytest.importorskip(sampling.COMPILED, reason=NO_NUMBA)
    engine = make_engine(layers, hidden, vocab, compiled=True, cell=cell)
    session = engine.session()
    writer = compiled.Writer(session, session.step(1))
    uniforms = np.random.default_rng(4).random(300)
    ids = [i for part in np.split(uniforms, 30) for i in writer.write(part, 0.8)]

    plain = engine.session()
    logits = plain.step(1)
    for number, (uniform, char_id) in enumerate(zip(uniforms, ids, strict=True)):
        powers = np.cumsum(np.exp((logits - logits.max()) / np.float32(0.8), dtype=np.float64))
        # Between two characters within rounding, either is right.
        near = np.abs(powers / powers[-1] - uniform).min() < 1e-5
        assert near or char_id == np.searchsorted(powers, uniform * powers[-1], "right"), number
        logits = plain.step(char_id)
    for own, other in zip(session.outs, plain.outs, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5, rtol=1e-5)
    # What it left in its session goes on by numpy.
    np.testing.assert_allclose(session.step(0), plain.step(0), atol=1e-5)


@pytest.mark.parametrize("streams", [2, 3, 9, 40])
@pytest.mark.parametrize(("layers", "hidden", "vocab"), [(1, 7, 2), (2, 33, 65), (3, 16, 300)])
@pytest.mark.parametrize("cell", ["lstm", "coupled"])
def test_many_streams(cell: str, layers: int, hidden: int, vocab: int, streams: int) -> None:
    compiled = pytest.importorskip(sampling.COMPILED, reason=NO_NUMBA)
    engine = make_engine(layers, hidden, vocab, compiled=True, cell=cell)
    start = np.arange(streams) % vocab
    session, plain = engine.session(streams), engine.session(streams)
    writer = compiled.ManyWriter(session, session.step(start))
    logits = plain.step(start)
    uniforms = np.random.default_rng(4).random((60, streams))
    ids = np.concatenate([writer.write(part, 0.8) for part in np.split(uniforms, 4)])
    for row, chosen in zip(uniforms, ids, strict=True):
        wide = logits.astype(np.float64)
        powers = np.cumsum(np.exp((wide - wide.max(axis=1, keepdims=True)) / 0.8), axis=1)
        shares = powers / powers[:, -1:]
        expected = (shares > row[:, None]).argmax(axis=1)
        # Between two characters within rounding, either is right.
        near = np.abs(shares - row[:, None]).min(axis=1) < 1e-5
        assert ((chosen == expected) | near).all()
        logits = plain.step(chosen)
    for own, other in zip(session.outs, plain.outs, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5, rtol=1e-5)
    # What it left in its session goes on by numpy.
    again = np.zeros(streams, dtype=np.int64)
    np.testing.assert_allclose(session.step(again), plain.step(again), atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "coupled"])
def test_the_same_texts_by_both(cell: str) -> None:
    pytest.importorskip(sampling.COMPILED, reason=NO_NUMBA)
    texts = []
    for compiled, length in ((False, 0), (True, 0), (None, 10**6)):
        engine = make_engine(2, 33, 40, compiled=compiled, cell=cell)
        session = engine.session(5)
        logits = session.step(np.ones(5, dtype=np.int64))
        sampler = Sampler(SampleConfig(), 5, seed=3)
        steps = itertools.islice(generate_ids(session, logits, sampler, length), 300)
        texts.append(np.stack(list(steps)))
    assert (texts[0] == texts[1]).all()
    assert (texts[0] == texts[2]).all()


def test_its_exp() -> None:
    compiled = pytest.importorskip(sampling.COMPILED, reason=NO_NUMBA)
    values = np.linspace(-86, 0, 5001, dtype=np.float32)
    found = np.array([compiled.exp(value) for value in values])
    np.testing.assert_allclose(found, np.exp(values.astype(np.float64)), rtol=1e-6)
    assert compiled.exp(np.float32(-np.inf)) < 1e-37


def test_its_tanh() -> None:
    compiled = pytest.importorskip(sampling.COMPILED, reason=NO_NUMBA)
    values = np.linspace(-12, 12, 5001, dtype=np.float32)
    found = np.array([compiled.tanh(value) for value in values])
    np.testing.assert_allclose(found, np.tanh(values.astype(np.float64)), atol=5e-7)
    assert compiled.tanh(np.float32(np.inf)) == pytest.approx(1)


@pytest.mark.parametrize("cell", ["lstm", "coupled"])
def test_the_same_text_by_both(monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    pytest.importorskip(sampling.COMPILED, reason=NO_NUMBA)
    monkeypatch.setattr(sampling, "_BEFORE_COMPILED", 50)
    texts = [
        written(make_engine(2, 33, 40, compiled=compiled, cell=cell), 700, length)
        for compiled, length in ((False, 0), (True, 0), (None, 0), (None, 10**6))
    ]
    assert texts[0] == texts[1] == texts[2] == texts[3]


@pytest.mark.parametrize(
    ("model", "options"),
    [
        ({"cell": "gru"}, {}),
        ({"residual": True}, {}),
        ({"dense_output": True}, {}),
        ({}, {"top_k": 3}),
        ({}, {"temperature": 0.0}),
    ],
    ids=str,
)
def test_the_rest_is_left_to_numpy(model: dict[str, Any], options: dict[str, Any]) -> None:
    texts = [
        written(make_engine(2, 9, 12, compiled=compiled, **model), 100, **options)
        for compiled in (False, True)
    ]
    assert texts[0] == texts[1]


@pytest.mark.usefixtures("fresh")
def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = written(make_engine(1, 8, 9, compiled=False), 1500)
    monkeypatch.setattr(sampling, "_BEFORE_COMPILED", 1000)
    monkeypatch.setitem(sys.modules, "numba", None)
    for compiled, length in ((True, 0), (None, 10**6)):
        assert written(make_engine(1, 8, 9, compiled=compiled), 1500, length) == expected
    assert sampling.load_writer() is None


@pytest.mark.usefixtures("fresh")
def test_short_texts_do_not_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "load_writer", lambda *_: pytest.fail("it was asked for"))
    written(make_engine(1, 8, 9, compiled=None), 1500, sampling.WORTH_COMPILING - 1)
    written(make_engine(1, 8, 9, compiled=None), 900, sampling.WORTH_COMPILING)


SCRIPT = """
import numpy as np
from charlstm.errors import ConfigError, DeviceError
from charlstm.inference import sampling
from tests.inference.test_compiled import make_engine, written
texts = [written(make_engine(1, 8, 9, compiled=compiled), 300) for compiled in (True, False)]
print(texts[0] == texts[1], sampling.load_writer() is not None)
"""


HARMS = {
    "none": "",
    "no folder": "import numba.core.caching as n; n.CacheImpl._locator_classes = []",
    "disk full": "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (0, 0))",
    "damaged": "",
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_cache_that_cannot_be_used(harm: str, tmp_path: Path) -> None:
    pytest.importorskip("numba", reason=NO_NUMBA)
    env = os.environ | {
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-W", "error", "-c", HARMS[harm] + SCRIPT]
    run = functools.partial(
        subprocess.run, command, env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    if harm == "damaged":
        run()
        for path in tmp_path.rglob("*.nb?"):
            path.write_bytes(path.read_bytes()[:100])
    result = run()
    assert result.stderr == ""
    assert result.stdout.split() == ["True", str(harm == "none")]


LOW = "this processor has no bfloat16 products (avx512_bf16)"


def low_works() -> bool:
    return sampling.load_writer(False, True) is not None


@pytest.mark.parametrize("streams", [1, 7])
@pytest.mark.parametrize("hidden", [7, 32])
def test_bfloat16_comes_near(streams: int, hidden: int) -> None:
    """Logits stay within bfloat16's rounding of those of float32, over the same characters."""
    compiled = pytest.importorskip(sampling.COMPILED, reason=NO_NUMBA)
    if not low_works():
        pytest.skip(LOW)
    engine = make_engine(2, hidden, 20, compiled=None)
    session, plain = engine.session(streams), engine.session(streams)
    start: Any = 1 if streams == 1 else np.arange(streams) % 20
    writer = compiled.ManyWriter(session, session.step(start), low=True)
    exact = plain.step(start)
    uniforms = np.random.default_rng(4).random((40, streams))
    for chosen in writer.write(uniforms, 0.8):
        exact = plain.step(int(chosen[0]) if streams == 1 else chosen)
    low = session.outs[-1][engine.rows :].T
    assert not np.array_equal(low, exact)  # it is another arithmetic
    np.testing.assert_allclose(low, exact, atol=0.25)
    assert np.abs(low - exact).mean() < 0.03


def test_bfloat16_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    low = SampleConfig(precision="bfloat16")
    engine = make_engine(1, 8, 9, compiled=None)
    monkeypatch.setattr(sampling, "load_writer", lambda *_: None)
    with pytest.raises(DeviceError, match=r"needs numba \(pip install 'charlstm\[fast\]'\)"):
        sampling.check_precision(engine, low)
    sampling.check_precision(engine, SampleConfig())
    for other, config in (
        (make_engine(1, 8, 9, compiled=None, cell="gru"), low),
        (engine, SampleConfig(precision="bfloat16", top_k=3)),
        (engine, SampleConfig(precision="bfloat16", temperature=0.0)),
    ):
        with pytest.raises(ConfigError, match="--precision bfloat16 is for lstm and coupled"):
            sampling.check_precision(other, config)
