"""Fixtures of the tests of compiled sampling."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from charlstm.inference import generation
from tests.inference.writers import NO_NUMBA, NUMBA_S


@pytest.fixture
def fresh() -> Iterator[None]:
    """Nothing of numba has been asked for, nor is it after the test."""
    loaded = {name: sys.modules.pop(name, None) for name in NUMBA_S}
    generation.load_writer.cache_clear()
    yield
    generation.load_writer.cache_clear()
    sys.modules.update({name: module for name, module in loaded.items() if module})


@pytest.fixture(params=[1, 2, 3], ids="{} threads".format)
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many threads share the units of models that are far too small for it."""
    fast_writer = pytest.importorskip(generation.FAST_WRITER, reason=NO_NUMBA)
    count: int = request.param
    monkeypatch.setattr(
        fast_writer, "_unit_threads", lambda engine, kind: max(1, min(count, engine.hidden_size))
    )
    monkeypatch.setattr(fast_writer, "_max_threads", lambda: max(2, count))
    fast_writer._pool.cache_clear()  # for more threads than this machine has
    return count
