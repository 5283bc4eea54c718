"""Batches in which some streams read another text, against the batches of each text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import WindowConfig
from charlstm.text.document_part import DocumentPart
from charlstm.text.mixed_windows import MixedWindows, replay_streams
from charlstm.text.parts import Part
from charlstm.text.windows import make_windows


@pytest.mark.parametrize(
    ("batch", "fraction", "streams"), [(2, 0.01, 1), (2, 0.99, 1), (8, 0.25, 2), (10, 0.25, 2)]
)
def test_streams(batch: int, fraction: float, streams: int) -> None:
    assert replay_streams(batch, fraction) == streams


def part_of(size: int, first: int, documents: bool) -> Part:
    """A text of one kind of character, and of boundaries if it has documents."""
    ids = np.full(size, first, dtype=np.uint8)
    if not documents:
        return Part(ids, [(0, size // 3), (size // 3, size)])
    ids[::5] = ids[-1] = 0
    return DocumentPart.of_stream(ids)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(60, 200), st.integers(60, 200), st.booleans(), st.booleans(),
    st.sampled_from([0.0, 0.5]), st.integers(0, 3),
)  # fmt: skip
def test_each_text_keeps_its_own_batches(
    own: int, old: int, stateless: bool, documents: bool, reset: float, epoch: int
) -> None:
    config = WindowConfig(maxlen=4, batch_size=3, stateless=stateless, reset=reset)
    one = make_windows(part_of(own, 1, documents), config, 1)
    other = make_windows(part_of(old, 2, documents), config, 1)
    mixed = MixedWindows(one, other)
    assert mixed.batches_per_epoch == one.batches_per_epoch
    for index in range(one.batches_per_epoch):
        number = epoch * one.batches_per_epoch + index
        a = one.batch(epoch, index)
        b = other.batch(number // other.batches_per_epoch, number % other.batches_per_epoch)
        both = mixed.batch(epoch, index)
        count = a.inputs.shape[1]
        for name in ("inputs", "targets"):
            found = getattr(both, name)
            np.testing.assert_array_equal(found[:, :count], getattr(a, name))
            np.testing.assert_array_equal(found[:, count:], getattr(b, name))
        assert (both.starts is not None) == documents
        zeroed = np.full(found.shape[1], both.fresh)
        zeroed |= False if both.reset is None else both.reset
        expected = [
            batch.fresh or (batch.reset is not None and bool(batch.reset[stream]))
            for batch in (a, b)
            for stream in range(batch.inputs.shape[1])
        ]
        assert zeroed.tolist() == expected
