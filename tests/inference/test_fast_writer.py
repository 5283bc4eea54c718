"""The compiled loop against the readable one, and sampling where it cannot be used."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from charlstm.cells import SAMPLING_KERNEL_CELLS
from charlstm.config import SampleConfig
from charlstm.inference import generation
from charlstm.inference.generation import generate_ids
from charlstm.inference.sampling import Sampler
from charlstm.kernels.availability import unavailable
from tests.inference.writers import NO_NUMBA, NUMBA_S, make_engine, written


@pytest.mark.parametrize("streams", [1, 2, 3, 9, 40])
@pytest.mark.parametrize(
    ("layers", "hidden", "vocab"), [(1, 1, 2), (1, 7, 300), (2, 33, 65), (3, 16, 300), (2, 128, 65)]
)
@pytest.mark.parametrize("cell", SAMPLING_KERNEL_CELLS)
def test_same_logits_and_ids(
    cell: str, layers: int, hidden: int, vocab: int, streams: int, parts: int
) -> None:
    fast_writer = pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    engine = make_engine(layers, hidden, vocab, compiled=True, cell=cell)
    start: Any = 1 if streams == 1 else np.arange(streams) % vocab
    session, plain = engine.session(streams), engine.session(streams)
    session.step(start)
    writer = fast_writer.FastWriter(session)
    assert len(writer._parts) == (min(parts, hidden) if streams < 8 else 1)
    logits = plain.step(start)
    uniforms = np.random.default_rng(4).random((60, streams))
    ids = np.concatenate([writer.write(part, 0.8) for part in np.split(uniforms, [1, 2, 17, 17])])
    for row, chosen in zip(uniforms, ids, strict=True):
        wide = logits.astype(np.float64).reshape(streams, vocab)
        powers = np.cumsum(np.exp((wide - wide.max(axis=1, keepdims=True)) / 0.8), axis=1)
        shares = powers / powers[:, -1:]
        expected = (shares > row[:, None]).argmax(axis=1)
        # Between two characters within rounding, either is right.
        near = np.abs(shares - row[:, None]).min(axis=1) < 1e-5
        assert ((chosen == expected) | near).all()
        logits = plain.step(int(chosen[0]) if streams == 1 else chosen)
    for own, other in zip(session.outs, plain.outs, strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5, rtol=1e-5)
    # What it left in its session goes on by numpy.
    again: Any = 0 if streams == 1 else np.zeros(streams, dtype=np.int64)
    np.testing.assert_allclose(session.step(again), plain.step(again), atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("hidden", [3, 33, 200])
@pytest.mark.parametrize("cell", SAMPLING_KERNEL_CELLS)
def test_the_same_bits_by_any_number_of_threads(
    cell: str, hidden: int, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However they are shared, and from wherever on others come too late: one seed is one text."""
    fast_writer = pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    if unavailable(precision) is not None:
        pytest.skip(f"this processor has no {precision} products (avx512_bf16, avx2)")
    monkeypatch.setattr(fast_writer, "_max_threads", lambda: 3)
    fast_writer._pool.cache_clear()
    uniforms = np.random.default_rng(4).random((400, 1))
    engine = make_engine(2, hidden, 65, compiled=True, cell=cell)
    results = []
    for counts in ((1, 1), (2, 2), (3, 3), (3, 1), (1, 2)):
        monkeypatch.setattr(fast_writer, "_unit_threads", lambda *_, n=counts[0]: n)
        session = engine.session()
        session.step(1)
        writer = fast_writer.FastWriter(session, precision)
        ids = [writer.write(uniforms[:200], 0.8)]
        monkeypatch.setattr(fast_writer, "_unit_threads", lambda *_, n=counts[1]: n)
        writer._is_alone = False  # as it may be on a busy machine
        writer._divide()
        assert len(writer._parts) == counts[1]
        ids.append(writer.write(uniforms[200:], 0.8))
        results.append([np.concatenate(ids), *session.outs, *(s.h_one for s in session.cells)])
    for other in results[1:]:
        for own, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(own, expected)


def test_it_goes_on_alone_where_others_are_late(monkeypatch: pytest.MonkeyPatch) -> None:
    fast_writer = pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    monkeypatch.setattr(fast_writer, "_unit_threads", lambda *_: 2)
    monkeypatch.setattr(fast_writer, "_max_threads", lambda: 2)
    engine = make_engine(2, 33, 20, compiled=True)
    uniforms = np.random.default_rng(4).random((30, 1))
    session, plain = engine.session(), engine.session()
    session.step(1)
    plain.step(1)
    writer, alone = fast_writer.FastWriter(session), fast_writer.FastWriter(plain)
    advance, stops = fast_writer.FastWriter._advance, [7, 0, 30, 5, 20, 10]
    clock = [0.0]
    monkeypatch.setattr(fast_writer, "monotonic", lambda: clock[0])
    monkeypatch.setattr(fast_writer, "_PIECE", 8)

    def stopped(self: Any, temperature: float, *arrays: Any) -> int:
        """As if it had been late at that step, where it is not alone."""
        most = stops.pop(0) if len(self._parts) > 1 and self is writer else len(arrays[1])
        done = 0
        while done < most:  # whether or not it was
            done += advance(self, temperature, *(array[done:most] for array in arrays))
        return done

    monkeypatch.setattr(fast_writer.FastWriter, "_advance", stopped)
    shared = []
    for clock[0] in (0.0, 0.05, 0.06, 0.17, 0.18, 0.2, 0.25, 0.27):
        expected, ids = alone.write(uniforms, 0.8), writer.write(uniforms, 0.8)
        assert (ids == expected).all()
        shared.append(len(writer._parts))
    # Alone for 60 ms, and twice as long where it is late again; after a whole block, for 60 ms.
    # The last time it stops too, but is faster than alone.
    assert shared == [1, 1, 1, 1, 2, 1, 1, 2]
    assert not stops


def test_writers_of_several_threads_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each writer's threads wait for each other; none of another's takes their place for ever."""
    fast_writer = pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    monkeypatch.setattr(fast_writer, "_unit_threads", lambda *_: 3)
    monkeypatch.setattr(fast_writer, "_max_threads", lambda: 3)
    fast_writer._pool.cache_clear()
    engine = make_engine(2, 33, 20, compiled=True)
    expected = written(engine, 600)
    with ThreadPoolExecutor(5) as pool:
        texts = list(pool.map(lambda _: written(engine, 600), range(10)))
    assert all(text == expected for text in texts)


@pytest.mark.parametrize("cell", SAMPLING_KERNEL_CELLS)
def test_the_same_texts_by_both(cell: str) -> None:
    pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
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


@pytest.mark.parametrize("cell", SAMPLING_KERNEL_CELLS)
def test_the_same_text_by_both(monkeypatch: pytest.MonkeyPatch, cell: str) -> None:
    pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    monkeypatch.setattr(generation, "_BEFORE_COMPILED", 50)
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
    monkeypatch.setattr(generation, "_BEFORE_COMPILED", 1000)
    monkeypatch.setitem(sys.modules, "numba", None)
    for compiled, length in ((True, 0), (None, 10**6)):
        assert written(make_engine(1, 8, 9, compiled=compiled), 1500, length) == expected
    assert generation.load_writer("float32") is None


@pytest.mark.usefixtures("fresh")
def test_short_texts_do_not_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "load_writer", lambda *_: pytest.fail("it was asked for"))
    written(make_engine(1, 8, 9, compiled=None), 1500, generation.WORTH_COMPILING - 1)
    written(make_engine(1, 8, 9, compiled=None), 900, generation.WORTH_COMPILING)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child has none of its parent's threads, and a lock may be held by one of them."""
    fast_writer = pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    monkeypatch.setattr(fast_writer, "_unit_threads", lambda *_: 3)
    monkeypatch.setattr(fast_writer, "_max_threads", functools.cache(lambda: 3))
    fast_writer._pool.cache_clear()
    engine = make_engine(2, 33, 20, compiled=True)
    expected = written(engine, 300)
    fast_writer._parallel_lock.acquire()
    pid = os.fork()
    if pid == 0:  # its end is its answer: no exception may reach the tests' own process
        code = 1
        try:
            signal.alarm(20)
            code = 0 if written(engine, 300) == expected else 2
        finally:
            os._exit(code)
    fast_writer._parallel_lock.release()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert written(engine, 300) == expected


@pytest.mark.usefixtures("parts")
@pytest.mark.parametrize("cell", SAMPLING_KERNEL_CELLS)
def test_a_prompt_is_read_by_both(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    monkeypatch.setattr(generation, "WORTH_COMPILING", 200)
    monkeypatch.setattr(generation, "_AT_A_TIME", 64)
    ids = np.random.default_rng(1).integers(20, size=200).astype(np.uint8)
    ids.flags.writeable = False  # as those of a mapped file
    sessions, found = [], []
    for compiled in (False, None, True):
        told: list[int] = []
        session = make_engine(2, 33, 20, compiled=compiled, cell=cell).session()
        found.append(generation.read_ids(session, ids, told.append).copy())
        sessions.append(session)
        assert told == [64, 128, 192, 200]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)
    np.testing.assert_array_equal(found[1], found[2])
    for session in sessions[1:]:
        for own, other in zip(session.outs, sessions[0].outs, strict=True):
            np.testing.assert_allclose(own, other, atol=1e-5)


@pytest.mark.usefixtures("fresh")
def test_short_prompts_do_not_load_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "load_writer", lambda *_: pytest.fail("it was asked for"))
    engine = make_engine(1, 8, 9, compiled=None)
    generation.read_ids(engine.session(), np.zeros(1000, dtype=np.uint8))


def test_reading_a_prompt_can_be_interrupted() -> None:
    """An exception from `progress`, or from a signal between parts, ends the reading."""

    def interrupt(done: int) -> None:
        raise KeyboardInterrupt(done)

    ids = np.zeros(50_000, dtype=np.uint8)
    with pytest.raises(KeyboardInterrupt, match="4096"):
        generation.read_ids(make_engine(1, 8, 9, compiled=None).session(), ids, interrupt)


@pytest.mark.parametrize("length", [300, 2000])
@pytest.mark.parametrize("streams", [1, 3])
def test_a_text_does_not_depend_on_what_was_loaded(
    length: int, streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same code writes before and after other calls have loaded compiled code."""
    pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    monkeypatch.setattr(generation, "WORTH_COMPILING", 1000)
    monkeypatch.setattr(generation, "_BEFORE_COMPILED", 50)
    engine = make_engine(1, 32, 20, compiled=None)
    codes: list[list[str]] = []
    step = type(engine.session()).step

    def by(session: Any) -> list[str]:
        """Which code wrote each of some characters."""
        log: list[str] = []

        def noted(own: Any, ids: Any) -> Any:
            log.append("numpy")
            return step(own, ids)

        monkeypatch.setattr(type(session), "step", noted)
        logits = session.step(1 if streams == 1 else np.ones(streams, dtype=np.int64))
        sampler = Sampler(SampleConfig(), streams, seed=3)
        for _ in itertools.islice(generate_ids(session, logits, sampler, length), 200):
            continue
        monkeypatch.setattr(type(session), "step", step)
        return log

    loaded = {name: sys.modules.pop(name) for name in NUMBA_S}
    generation.load_writer.cache_clear()
    codes.append(by(engine.session(streams)))
    sys.modules.update(loaded)
    assert generation.load_writer("float32") is not None
    codes.append(by(engine.session(streams)))
    assert codes[0] == codes[1]
    assert (len(codes[0]) < 200) == (length >= 1000)
