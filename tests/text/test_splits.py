from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import CorpusError
from charlstm.text.parts import Part
from charlstm.text.splits import (
    BLOCK_CHARS,
    MAX_BLOCKS,
    METHODS,
    MIN_BLOCK_CHARS,
    Split,
    block_split,
    tail_split,
)

FRACTIONS = st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)).filter(
    lambda pair: sum(pair) < 1
)


@given(
    method=st.sampled_from(sorted(METHODS)),
    size=st.integers(1, 3_000_000_000),
    fractions=FRACTIONS,
)
def test_spans_partition_the_text(method: str, size: int, fractions: tuple[float, float]) -> None:
    split = METHODS[method](size, *fractions)
    spans = sorted(split.train + split.val + split.test)
    ends = [0, *(end for span in spans for end in span), size]
    assert ends[::2] == ends[1::2], "each range begins where the one before ends"
    assert all(start < stop for start, stop in spans)
    for part, fraction in ((split.val, fractions[0]), (split.test, fractions[1])):
        assert sum(b - a for a, b in part) == int(size * fraction)
        assert list(part) == sorted(part)
    assert Split.from_json(json.loads(json.dumps(split.to_json())), size) == split


@given(size=st.integers(1, 100_000_000), fractions=FRACTIONS)
def test_blocks_are_of_equal_length_and_few(size: int, fractions: tuple[float, float]) -> None:
    split = block_split(size, *fractions)
    assert len(split.val) + len(split.test) <= MAX_BLOCKS
    for part in (split.val, split.test):
        lengths = [b - a for a, b in part]
        assert not lengths or max(lengths) - min(lengths) <= 1
        assert len(lengths) <= 1 or min(lengths) >= MIN_BLOCK_CHARS
    train = [b - a for a, b in split.train]
    middle = train[1:-1] if split.train and split.train[0][0] == 0 else train
    assert not middle or max(middle) - min(middle) <= 1


def test_the_tail_as_it_always_was() -> None:
    assert tail_split(1000, 0.1, 0.0) == Split("tail", 1000, ((900, 1000),), ())
    assert tail_split(1000, 0.2, 0.1) == Split("tail", 1000, ((700, 900),), ((900, 1000),))
    assert tail_split(9, 0.1, 0.0) == Split("tail", 9, (), ())
    assert tail_split(9, 0.1, 0.0).train == ((0, 9),)


def test_blocks_by_hand() -> None:
    """Two blocks of 500 characters: a quarter of the rest, a block, a half, a block, a quarter."""
    assert block_split(10_000, 0.1, 0.0).val == ((2250, 2750), (7250, 7750))
    split = block_split(10_000, 0.1, 0.1)
    assert split.val == ((3500, 4000), (8500, 9000))
    assert split.test == ((1000, 1500), (6000, 6500))


@pytest.mark.parametrize(
    ("size", "blocks", "length"),
    [(5_000, 1, 500), (30_000, 6, 500), (100_000, 8, 1250), (1_000_000, 25, BLOCK_CHARS),
     (100_000_000, MAX_BLOCKS, 156_250)],
)  # fmt: skip
def test_blocks_shrink_for_short_texts(size: int, blocks: int, length: int) -> None:
    val = block_split(size, 0.1, 0.0).val
    assert len(val) == blocks
    assert {b - a for a, b in val} == {length}


@given(size=st.integers(100_000, 10_000_000), val=st.floats(0.01, 0.45), test=st.floats(0.01, 0.45))
def test_kinds_of_blocks_alternate(size: int, val: float, test: float) -> None:
    """Each half of the text has half of the blocks of each kind."""
    split = block_split(size, val, test)
    for part in (split.val, split.test):
        early = sum(a + b < size for a, b in part)
        assert abs(2 * early - len(part)) <= 3, (split.val, split.test)


GOOD = {"method": "blocks", "val": [[2, 4], [8, 9]], "test": [[4, 6]]}


@pytest.mark.parametrize(
    "bad",
    [
        None, [], "x", {}, {"val": [], "test": []}, {**GOOD, "more": 1}, {**GOOD, "method": "x"},
        {**GOOD, "method": None}, {**GOOD, "method": ["tail"]}, {**GOOD, "val": None},
        {**GOOD, "val": 3}, {**GOOD, "val": "34"}, {**GOOD, "val": {"0": [1, 2]}},
        {**GOOD, "val": [[1]]}, {**GOOD, "val": [[1, 2, 3]]}, {**GOOD, "val": [3, 4]},
        {**GOOD, "val": [[True, 4]]}, {**GOOD, "val": [[1.0, 4]]}, {**GOOD, "val": [["1", 4]]},
        {**GOOD, "val": [[-1, 2]]}, {**GOOD, "val": [[9, 11]]}, {**GOOD, "val": [[3, 3]]},
        {**GOOD, "val": [[3, 2]]}, {**GOOD, "val": [[8, 9], [2, 4]]}, {**GOOD, "test": [[3, 5]]},
        {**GOOD, "test": [[0, 10]]}, {**GOOD, "val": [[0, 10**400]]},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_record_is_refused(bad: Any) -> None:
    assert Split.from_json(GOOD, 10).train == ((0, 2), (6, 8), (9, 10))
    with pytest.raises(CorpusError, match="record of the held-out"):
        Split.from_json(bad, 10)


IDS = np.arange(100, dtype=np.uint8)


def test_a_part_s_segments_are_views() -> None:
    part = Part(IDS, [(0, 3), (5, 5), (10, 14)])
    assert len(part) == 7
    assert part.predictions == 5
    assert [segment.tolist() for segment in part.segments] == [[0, 1, 2], [10, 11, 12, 13]]
    assert all(np.shares_memory(segment, IDS) for segment in part.segments)
    assert part.joined().tolist() == [0, 1, 2, 10, 11, 12, 13]
    assert np.shares_memory(Part.whole(IDS).joined(), IDS)
    assert len(Part.whole(IDS[:0]).spans) == len(Part.whole(IDS[:0]).joined()) == 0


@given(
    cuts=st.lists(st.integers(0, 100), max_size=8, unique=True), wanted=st.integers(0, 120),
    end=st.booleans(),
)  # fmt: skip
def test_shortened_parts(cuts: list[int], wanted: int, end: bool) -> None:
    cuts = sorted(cuts)[: len(cuts) // 2 * 2]
    part = Part(IDS, list(zip(cuts[::2], cuts[1::2], strict=True)))
    short = part.shortened(wanted, end=end)
    assert len(short) == min(wanted, len(part))
    kept = {int(n) for n in short.joined()}
    for start, stop in part.spans.tolist():
        own = sorted(kept & set(range(start, stop)))
        edge = range(stop - len(own), stop) if end else range(start, start + len(own))
        assert own == list(edge)
        assert abs(len(own) - min(1, wanted / len(part)) * (stop - start)) <= 1
