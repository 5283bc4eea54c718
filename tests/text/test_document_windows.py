"""Packed documents: each once an epoch, starts where they begin, any batch at any time."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import WindowConfig
from charlstm.errors import CorpusError
from charlstm.text import document_windows
from charlstm.text.document_part import DocumentPart
from charlstm.text.document_splits import DocumentRecord, DocumentSplit, document_split
from charlstm.text.repetition import repeated_fraction
from charlstm.text.windows import fit, make_windows

LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=60)


def stream(lengths: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint16]]:
    """Documents of those lengths: each of its own character, its number plus 1."""
    parts = [[0]]
    for number, length in enumerate(lengths):
        parts.append([number + 1] * length + [0])
    return np.concatenate(parts).astype(np.uint16)


def test_a_part_by_hand() -> None:
    ids = stream([2, 1, 3])
    part = DocumentPart.of_stream(ids)
    assert part.spans.tolist() == [[0, 4], [3, 6], [5, 10]]
    assert len(part) == part.predictions == 9  # six characters and three ends
    assert [segment.tolist() for segment in part.segments][1] == [0, 2, 0]
    for most in (1, 4, 7, 100):
        joined = np.concatenate(list(part.arrays(most)))
        assert joined.tolist() == [1, 1, 0, 2, 0, 3, 3, 3, 0]
    assert part.groupable.tolist() == [[3, 6], [0, 4], [5, 10]]


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 70))
def test_shortened_parts_hold_whole_documents(lengths: list[int], most: int) -> None:
    part = DocumentPart.of_stream(stream(lengths))
    short = part.shortened(most)
    assert len(short) <= max(most, int(part.lengths.max()) - 1)
    assert {tuple(span) for span in short.spans} <= {tuple(span) for span in part.spans}
    assert len(short.spans) >= 1


@settings(max_examples=150, deadline=None)
@given(LENGTHS, st.integers(1, 30), st.integers(1, 9), st.integers(0, 3), st.booleans())
def test_streams_read_whole_documents(
    lengths: list[int], maxlen: int, batch_size: int, epoch: int, resets: bool
) -> None:
    part = DocumentPart.of_stream(stream(lengths))
    asked = WindowConfig(maxlen=maxlen, batch_size=batch_size, reset=0.5 * resets)
    config = fit(part, asked)
    assert fit(part, config) == config
    windows = make_windows(part, config, seed=3)
    again = make_windows(part, config, seed=3)
    assert windows.batches_per_epoch >= 1
    columns = []
    for index in range(windows.batches_per_epoch):
        batch = windows.batch(epoch, index)
        assert batch.inputs.shape == batch.targets.shape == (config.maxlen, config.batch_size)
        assert batch.fresh == (index == 0)
        assert (batch.reset is not None) == resets
        assert batch.starts is not None
        np.testing.assert_array_equal(batch.starts, batch.inputs == 0)
        columns.append(np.concatenate([batch.inputs, batch.targets[-1:]]))
    last = windows.batches_per_epoch - 1
    again.batch(epoch + 1, 0)  # another order in between
    np.testing.assert_array_equal(
        again.batch(epoch, last).inputs, windows.batch(epoch, last).inputs
    )
    # Windows of a stream continue each other, and no character is read twice.
    read = Counter[int]()
    for stream_number in range(config.batch_size):
        own = [column[:, stream_number] for column in columns]
        for one, other in pairwise(own):
            assert one[-1] == other[0]
        text = np.concatenate([*(column[:-1] for column in own), own[-1][-1:]])
        read.update(text[1:].tolist())
        documents = "".join(map(chr, text)).split("\0")
        for document in documents[1:-1]:  # whole ones
            assert set(document) == {document[0]}
            assert len(document) == lengths[ord(document[0]) - 1]
        if len(documents[0]) and documents[0] != documents[-1]:  # it began within a document
            assert max(lengths) + 1 > config.maxlen or windows.batches_per_epoch == 1
    for number, length in enumerate(lengths):
        assert read[number + 1] <= length
    assert read[0] <= len(lengths)


def test_an_epoch_reads_almost_everything_in_another_order() -> None:
    rng = np.random.default_rng(1)
    lengths = rng.integers(3, 12, 3000).tolist()
    part = DocumentPart.of_stream(stream(lengths))
    config = fit(part, WindowConfig(maxlen=32, batch_size=16))
    windows = make_windows(part, config, seed=1)
    orders = []
    for epoch in range(2):
        batches = [windows.batch(epoch, n) for n in range(windows.batches_per_epoch)]
        text = np.concatenate([batch.targets for batch in batches]).T.ravel()
        assert len(text) > 0.97 * len(part)
        counts = np.bincount(text, minlength=3001)[1:]
        assert (counts <= lengths).all()
        orders.append(text[text > 0][:50].tolist())
        first = batches[0]
        assert first.starts is not None
        assert first.starts[0].all()  # every stream begins with a document
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_long_documents_are_read_from_within() -> None:
    """Two documents, eight streams: most begin somewhere in a document."""
    part = DocumentPart.of_stream(stream([500, 700]))
    config = fit(part, WindowConfig(maxlen=10, batch_size=8))
    assert config.batch_size == 8
    windows = make_windows(part, config, seed=1)
    text = np.concatenate([windows.batch(0, n).targets for n in range(windows.batches_per_epoch)])
    assert text.size >= 0.9 * 1202
    assert Counter(text.ravel().tolist())[1] <= 500


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_the_order_does_not_depend_on_how_it_is_computed(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = DocumentPart.of_stream(stream([3, 1, 4, 1, 5, 9, 2, 6]))
    config = WindowConfig(maxlen=4, batch_size=2)
    expected = make_windows(part, config, seed=1).batch(2, 1)
    monkeypatch.setattr(document_windows, "_BLOCK", block)
    np.testing.assert_array_equal(
        make_windows(part, config, seed=1).batch(2, 1).inputs, expected.inputs
    )


def test_shuffled_windows_of_documents() -> None:
    lengths = [3, 1, 4, 1, 5, 9, 2, 6]
    part = DocumentPart.of_stream(stream(lengths))
    config = fit(part, WindowConfig(maxlen=6, batch_size=4, stateless=True, step=2))
    windows = make_windows(part, config, seed=1)
    seen = Counter[tuple[int, ...]]()
    for index in range(windows.batches_per_epoch):
        batch = windows.batch(1, index)
        assert batch.fresh
        assert batch.starts is not None
        np.testing.assert_array_equal(batch.starts, batch.inputs == 0)
        np.testing.assert_array_equal(batch.inputs[1:], batch.targets[:-1])
        seen.update(map(tuple, batch.inputs.T.tolist()))
    assert sum(seen.values()) == (len(part) - 6) // 2 + 1
    small = fit(part, WindowConfig(maxlen=1000, batch_size=4, stateless=True))
    assert (small.maxlen, small.batch_size) == (len(part), 1)


# ---------------------------------------------------------------- splits


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=60), st.floats(0, 0.5), st.floats(0, 0.45))
def test_parts_are_whole_documents(lengths: list[int], val: float, test: float) -> None:
    ids = stream(lengths)
    split = document_split(ids, val, test)
    parts = (split.train, split.val, split.test)
    spans = sorted(tuple(span) for part in parts for span in part.spans.tolist())
    assert spans == [tuple(span) for span in DocumentPart.of_stream(ids).spans.tolist()]
    assert len(split.train.spans) >= 1
    for part, fraction in ((split.val, val), (split.test, test)):
        assert len(part) <= int(sum(lengths) + len(lengths)) * fraction or len(part.spans) == 1
        if not fraction:
            assert not len(part.spans)
    assert (len(split.val.spans) > 0) == (val > 0)
    record = split.record
    assert DocumentRecord.from_json(record.to_json()) == record
    assert document_split(ids, val, test, record).to_json() == split.to_json()


def test_held_out_documents_are_spread_over_the_text() -> None:
    split = document_split(stream([5] * 1000), 0.1, 0.1)
    assert (len(split.val.spans), len(split.test.spans)) == (100, 100)
    for part in (split.val, split.test):
        places = part.spans[:, 0] / 6000
        counts, _ = np.histogram(places, bins=10, range=(0, 1))
        assert counts.min() >= 3
        assert counts.max() <= 20


def test_a_large_document_is_not_held_out_where_smaller_ones_are() -> None:
    for size in range(2, 30):
        split = document_split(stream([10_000, *[3] * size]), 0.1, 0.0)
        assert 1 in split.train.ids[split.train.spans[0, 0] : split.train.spans[0, 1]]
    two = document_split(stream([50, 30]), 0.1, 0.1)
    assert (len(two.train), len(two.val), len(two.test)) == (51, 31, 0)


def test_the_rule_stays_what_it_is() -> None:
    """Checkpoints record its result's digest: another rule could not read them."""
    split = document_split(stream([3, 1, 4, 1, 5, 9, 2, 6, 5, 3]), 0.2, 0.2)
    assert split.to_json() == EXPECTED


EXPECTED = {
    "method": "documents", "rule": 1, "documents": 10, "val": 3, "test": 1, "val_chars": 7,
    "test_chars": 6, "sha256": "6af9ad4508da7d611e526497e0ee45293e4f94de228be3e3c48eb1bfd1912a2c",
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"rule": 2}, {"rule": "1"}, {"documents": -1}, {"documents": True}, {"val": 2**60},
        {"sha256": 3}, {"method": "tail"}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_hostile_records(change: dict[str, object]) -> None:
    good = document_split(stream([1, 2, 3]), 0.2, 0.0).to_json()
    with pytest.raises(CorpusError):
        DocumentRecord.from_json({**good, **change})
    others: list[object] = [None, 3, [good], {}]
    for other in others:
        with pytest.raises(CorpusError):
            DocumentRecord.from_json(other)


def test_a_record_of_another_text() -> None:
    record = document_split(stream([1, 2, 3]), 0.2, 0.0).record
    with pytest.raises(CorpusError, match="does not fit the text"):
        document_split(stream([1, 1, 1, 3]), 0.2, 0.0, record)


def test_repeated_documents() -> None:
    ids = np.array([0, 1, 2, 0, 3, 0, 1, 2, 0, 2, 1, 0, 1, 0], dtype=np.uint8)
    whole = DocumentPart.of_stream(ids)
    train, val = DocumentPart(ids, whole.spans[[0, 1]]), DocumentPart(ids, whole.spans[[2, 3, 4]])
    assert repeated_fraction(train, val) == pytest.approx(3 / 8)  # one of three, 3 of 8 characters
    assert repeated_fraction(train, DocumentPart(ids, whole.spans[:0])) == 0.0
    split = document_split(stream([3] * 500), 0.1, 0.0)
    assert isinstance(split, DocumentSplit)
    assert repeated_fraction(split.train, split.val) == 0.0  # every document is its own
