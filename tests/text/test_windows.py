from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import WindowConfig
from charlstm.errors import CorpusError
from charlstm.text.windows import (
    CarriedWindows,
    IndependentWindows,
    fit,
    make_windows,
    shuffle,
)

IDS = np.arange(100, dtype=np.uint8)


def test_targets_are_inputs_one_later_and_windows_continue() -> None:
    windows = CarriedWindows(IDS, maxlen=5, batch_size=3, seed=1)
    first, second = windows.batch(0, 0), windows.batch(0, 1)
    assert first.inputs.shape == first.targets.shape == (5, 3)
    np.testing.assert_array_equal(first.targets, first.inputs + 1)
    np.testing.assert_array_equal(second.inputs[0], first.targets[-1])
    assert first.fresh
    assert not second.fresh


@given(
    size=st.integers(2, 400),
    maxlen=st.integers(1, 60),
    batch=st.integers(1, 40),
    epoch=st.integers(0, 5),
    stateless=st.booleans(),
    step=st.integers(1, 9),
)
def test_every_batch_lies_inside_the_text(
    size: int, maxlen: int, batch: int, epoch: int, stateless: bool, step: int
) -> None:
    ids = np.arange(size, dtype=np.uint16)
    config = WindowConfig(maxlen=maxlen, batch_size=batch, stateless=stateless, step=step)
    config = fit(size, config)
    windows = make_windows(ids, config, seed=3)
    assert windows.batches_per_epoch >= 1
    seen: set[int] = set()
    for index in range(windows.batches_per_epoch):
        made = windows.batch(epoch, index)
        assert made.inputs.shape[0] == config.maxlen
        np.testing.assert_array_equal(made.targets, made.inputs + 1)
        starts = set(made.inputs[0].tolist()) if stateless else set(made.inputs.ravel().tolist())
        assert not starts & seen  # nothing twice
        seen |= starts
    if stateless:
        assert seen == set(range(0, size - config.maxlen, step))
    else:
        # What an epoch leaves out is less than a window for each stream.
        assert len(seen) > size - 1 - config.batch_size * config.maxlen - config.maxlen


def test_epochs_differ_and_repeat_by_seed() -> None:
    for make in (
        lambda seed: CarriedWindows(IDS, 7, 2, seed),
        lambda seed: IndependentWindows(IDS, 7, 2, 3, seed),
    ):
        same = [make(1).batch(epoch, 0).inputs.tolist() for epoch in range(4)]
        assert same == [make(1).batch(epoch, 0).inputs.tolist() for epoch in range(4)]
        assert same != [make(2).batch(epoch, 0).inputs.tolist() for epoch in range(4)]
        assert len({str(batch) for batch in same}) > 1


@pytest.mark.parametrize(
    ("size", "maxlen", "batch_size"),
    [(2, 1, 1), (4, 3, 1), (9, 8, 1), (10, 8, 1), (17, 8, 2), (1000, 8, 4)],
)
def test_fit(size: int, maxlen: int, batch_size: int) -> None:
    fitted = fit(size, WindowConfig(maxlen=8, batch_size=4))
    assert (fitted.maxlen, fitted.batch_size) == (maxlen, batch_size)


@pytest.mark.parametrize("size", [0, 1])
def test_too_little_text(size: int) -> None:
    with pytest.raises(CorpusError, match=f"has {size} character"):
        fit(size, WindowConfig())


@given(size=st.integers(1, 300), key=st.integers(0, 2**63 - 1))
def test_shuffle_is_a_permutation(size: int, key: int) -> None:
    places = np.arange(size, dtype=np.uint64)
    assert sorted(shuffle(places, size, key).tolist()) == list(range(size))


def test_shuffle_leaves_few_in_place() -> None:
    places = np.arange(10_000, dtype=np.uint64)
    assert (shuffle(places, 10_000, 12345) == places).sum() < 10


def test_a_share_of_windows_begins_afresh() -> None:
    ids = (np.arange(8000) % 250).astype(np.uint8)
    plan = make_windows(ids, WindowConfig(maxlen=4, batch_size=10, reset=0.25), seed=3)
    resets = [plan.batch(epoch, n).reset for epoch in (0, 1) for n in range(100)]
    again = [plan.batch(epoch, n).reset for epoch in (0, 1) for n in range(100)]
    for one, other in zip(resets, again, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one, other)
    assert np.mean([reset for reset in resets if reset is not None]) == pytest.approx(
        0.25, abs=0.03
    )
    plain = make_windows(ids, WindowConfig(maxlen=4, batch_size=10), seed=3)
    assert plain.batch(0, 1).reset is None
