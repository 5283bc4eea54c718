from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import WindowConfig
from charlstm.errors import CorpusError
from charlstm.text.parts import Part
from charlstm.text.permutation import shuffle
from charlstm.text.windows import (
    CarriedWindows,
    IndependentWindows,
    fit,
    make_windows,
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
    config = fit(Part.whole(ids), config)
    windows = make_windows(Part.whole(ids), config, seed=3)
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
        lambda seed: IndependentWindows(Part.whole(IDS), 7, 2, 3, seed),
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
    fitted = fit(Part.whole(np.zeros(size, np.uint8)), WindowConfig(maxlen=8, batch_size=4))
    assert (fitted.maxlen, fitted.batch_size) == (maxlen, batch_size)


@pytest.mark.parametrize("size", [0, 1])
def test_too_little_text(size: int) -> None:
    with pytest.raises(CorpusError, match=f"has {size} character"):
        fit(Part.whole(np.zeros(size, np.uint8)), WindowConfig())


@given(size=st.integers(1, 300), key=st.integers(0, 2**63 - 1))
def test_shuffle_is_a_permutation(size: int, key: int) -> None:
    places = np.arange(size, dtype=np.uint64)
    assert sorted(shuffle(places, size, key).tolist()) == list(range(size))


def test_shuffle_leaves_few_in_place() -> None:
    places = np.arange(10_000, dtype=np.uint64)
    assert (shuffle(places, 10_000, 12345) == places).sum() < 10


def test_a_share_of_windows_begins_afresh() -> None:
    ids = (np.arange(8000) % 250).astype(np.uint8)
    plan = make_windows(Part.whole(ids), WindowConfig(maxlen=4, batch_size=10, reset=0.25), seed=3)
    resets = [plan.batch(epoch, n).reset for epoch in (0, 1) for n in range(100)]
    again = [plan.batch(epoch, n).reset for epoch in (0, 1) for n in range(100)]
    for one, other in zip(resets, again, strict=True):
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one, other)
    assert np.mean([reset for reset in resets if reset is not None]) == pytest.approx(
        0.25, abs=0.03
    )
    plain = make_windows(Part.whole(ids), WindowConfig(maxlen=4, batch_size=10), seed=3)
    assert plain.batch(0, 1).reset is None


# Positions as ids: a target that is not one more than its input would cross a border.
TEXT = np.arange(2000, dtype=np.uint16)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """A part of `TEXT` of one to eight segments with gaps, some of them short."""
    lengths = draw(st.lists(st.integers(1, 120), min_size=1, max_size=8))
    start, spans = 0, []
    for length in lengths:
        start += draw(st.integers(1, 40))
        spans.append((start, start + length))
        start += length
    return Part(TEXT, spans)


@given(
    part=parts().filter(lambda part: part.predictions > 0),
    maxlen=st.integers(1, 60),
    batch=st.integers(1, 40),
    epoch=st.integers(0, 5),
    reset=st.sampled_from([0.0, 0.3]),
)
def test_no_carried_window_or_state_crosses_a_border(
    part: Part, maxlen: int, batch: int, epoch: int, reset: float
) -> None:
    config = fit(part, WindowConfig(maxlen=maxlen, batch_size=batch, reset=reset))
    assert config == fit(part, config)
    windows = make_windows(part, config, seed=3)
    inside = {n for start, stop in part.spans.tolist() for n in range(start, stop - 1)}
    seen: set[int] = set()
    before = None
    assert windows.batches_per_epoch >= 1
    for index in range(windows.batches_per_epoch):
        made = windows.batch(epoch, index)
        assert made.inputs.shape == (config.maxlen, config.batch_size)
        np.testing.assert_array_equal(made.targets, made.inputs + 1)
        assert made.fresh == (index == 0)
        own = made.inputs.ravel().tolist()
        assert set(own) <= inside
        assert len(set(own)) == len(own)
        assert not set(own) & seen, "nothing twice"
        seen |= set(own)
        if before is not None:
            kept = np.ones(config.batch_size, bool) if made.reset is None else ~made.reset
            carried = before.targets[-1] == made.inputs[0]
            assert (carried | ~kept).all(), "a state is carried to the next character only"
            if not reset:
                np.testing.assert_array_equal(carried, kept)
        before = made
    if len(part.spans) > 1:
        # Less than a window of each segment that is long enough, and less than one a stream.
        long = [pairs for pairs in part.lengths.tolist() if pairs > config.maxlen]
        whole = sum((pairs - 1) // config.maxlen for pairs in long)
        assert len(seen) > (whole - config.batch_size) * config.maxlen
        assert 2 * sum(pairs - 1 for pairs in long) >= part.predictions


@given(
    part=parts().filter(lambda part: part.predictions > 0),
    maxlen=st.integers(1, 60),
    batch=st.integers(1, 40),
    step=st.integers(1, 9),
)
def test_independent_windows_of_segments_are_those_of_each(
    part: Part, maxlen: int, batch: int, step: int
) -> None:
    config = WindowConfig(maxlen=maxlen, batch_size=batch, stateless=True, step=step)
    config = fit(part, config)
    windows = make_windows(part, config, seed=3)
    batches = [windows.batch(1, index) for index in range(windows.batches_per_epoch)]
    starts: list[int] = []
    for made in batches:
        np.testing.assert_array_equal(made.targets, made.inputs + 1)
        assert made.fresh
        starts += made.inputs[0].tolist()
    expected = [
        start
        for first, stop in part.spans.tolist()
        for start in range(first, stop - config.maxlen, step)
    ]
    assert sorted(starts) == expected


def test_all_characters_of_segments_are_read_in_time() -> None:
    part = Part(TEXT, [(0, 95), (200, 333), (400, 450)])
    windows = make_windows(part, WindowConfig(maxlen=20, batch_size=3), seed=1)
    seen = {
        int(n)
        for epoch in range(200)
        for index in range(windows.batches_per_epoch)
        for n in windows.batch(epoch, index).targets.ravel()
    }
    assert seen == {n for first, stop in part.spans.tolist() for n in range(first + 1, stop)}


def test_windows_are_no_longer_than_most_segments() -> None:
    few = Part(TEXT, [(0, 30), (40, 70), (80, 110), (200, 261)])
    assert fit(few, WindowConfig(maxlen=100, batch_size=2)).maxlen == 29
    one = Part(TEXT, [(0, 30), (80, 110), (200, 301)])
    assert fit(one, WindowConfig(maxlen=200, batch_size=2)).maxlen == 100
    assert fit(one, WindowConfig(maxlen=100, batch_size=20)).batch_size == 1
    with pytest.raises(CorpusError, match="has 3 character"):
        fit(Part(TEXT, [(0, 1), (5, 6), (8, 9)]), WindowConfig())
