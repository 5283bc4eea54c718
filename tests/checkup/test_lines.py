"""Counts over lines and characters, against a naive reference."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.checkup import scan as scanning
from charlstm.checkup.hashing import RangeHasher
from charlstm.checkup.lines import LineTable
from charlstm.checkup.sample import Sampler
from charlstm.checkup.scan import Scan, scan
from charlstm.config import TextConfig
from charlstm.text.code_points import code_points
from charlstm.text.sources import Source
from charlstm.text.string_source import source_from_text

KEEP = TextConfig(keep_newlines=True)
TEXTS = st.text(st.sampled_from("ab \t\r\n\u00e9\u4e2d\U0001f600"), max_size=60)


def scanned(*texts: str, sampler: Sampler | None = None) -> Scan:
    return scan([source_from_text(text, KEEP) for text in texts], TextConfig(), sampler=sampler)


def whole(*texts: str) -> str:
    """The text as it is read: each source ends in a line end."""
    return "".join(t if not t or t.endswith(("\n", "\r")) else t + "\n" for t in texts)


def check_against_reference(found: Scan, *texts: str) -> None:
    text = whole(*texts)
    # A source's CR never joins the next one's LF.
    parts = [re.split(r"\r\n|\r|\n", whole(one))[:-1] for one in texts if one]
    lines = [line for part in parts for line in part]
    figures = found.lines
    ends = Counter({"\n": "LF", "\r": "CR", "\r\n": "CRLF"}[end] for one in texts
                   for end in re.findall(r"\r\n|\r|\n", one))  # fmt: skip
    assert figures.ends == dict(ends)
    assert figures.first_end.keys() == ends.keys()
    assert figures.count == len(lines)
    assert figures.blank == lines.count("")
    assert figures.trailing == sum(line.endswith((" ", "\t")) for line in lines)
    assert figures.longest == max(map(len, lines), default=0)
    assert {chr(p): int(found.counts[p]) for p in np.flatnonzero(found.counts)} == Counter(text)
    copies = sum((n - 1) * len(line) for line, n in Counter(lines).items())
    total = sum(map(len, lines))
    assert figures.table.repeated_fraction() == pytest.approx(copies / total if total else 0)
    for character in set(text):
        first = next(n for n, one in enumerate(lines_with_ends(*texts)) if character in one)
        assert found.first_lines[ord(character)] == first


def lines_with_ends(*texts: str) -> list[str]:
    return [line for one in texts for line in re.findall(r"[^\r\n]*(?:\r\n|\r|\n)", whole(one))]


@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_counts_are_those_of_a_naive_reference(texts: list[str]) -> None:
    check_against_reference(scanned(*texts), *texts)


@given(TEXTS, st.integers(1, 7), st.integers(0, 5))
def test_blocks_make_no_difference(text: str, size: int, unfinished: int) -> None:
    chunks = [text[n : n + size] for n in range(0, len(text), size)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scanning, "_UNFINISHED", unfinished)
        blocks = list(scanning._whole_lines(chunks))
        assert "".join(blocks) == text
        for block, following in pairwise(blocks):
            assert not (block.endswith("\r") and following.startswith("\n"))
    found = Scan(KEEP)
    for block in blocks:
        found.lines.add(code_points(block), "\r" in block)
    lines = re.split(r"\r\n|\r|\n", text)[:-1]
    assert found.lines.count == len(lines)
    assert found.lines.longest == max(map(len, lines), default=0)
    assert found.lines.blank == lines.count("")
    assert found.lines.trailing == sum(line.endswith((" ", "\t")) for line in lines)


@given(st.lists(TEXTS, min_size=2, max_size=2), st.booleans())
def test_equal_ranges_have_equal_hashes(texts: list[str], same: bool) -> None:
    first, second = texts[0], texts[0] if same else texts[1]
    points = code_points("xy" + first + "z" + second)
    hasher = RangeHasher()
    starts = np.array([2, 3 + len(first)])
    stops = starts + np.array([len(first), len(second)])
    keys = hasher.hashes(hasher.sums(points), starts, stops)
    assert (keys[0] == keys[1]) == (first == second)


def test_a_hash_does_not_depend_on_the_kind_of_block() -> None:
    ascii_line = scanned("a line\nother\n").lines.texts_of
    found = scanned("a line\n\u00e9\na line\n").lines.table.most_repeated(1)[0]
    assert ascii_line({found.key}, "x\na line\n") == {found.key: "a line"}


@settings(max_examples=30)
@given(st.lists(st.integers(0, 300), max_size=2000), st.integers(4, 64))
def test_a_full_table_is_an_unbiased_sample(numbers: list[int], most: int) -> None:
    hasher = RangeHasher()
    points = np.array(numbers, dtype=np.uint32)
    starts = np.arange(len(points))
    keys = hasher.hashes(hasher.sums(points), starts, starts + 1)
    table = LineTable(most)
    for n in range(0, len(keys), 50):
        part = slice(n, n + 50)
        table.add(keys[part], np.full(len(keys[part]), 7), starts[part])
    table.repeated_fraction()
    kept = {line.key: line for line in table.most_repeated(1000)}
    for key, count in Counter(keys.tolist()).items():
        is_kept = not table.halvings or key >> (64 - table.halvings) == 0
        assert (key in kept) == (is_kept and count > 1)
        if key in kept:
            assert kept[key].count == count
            assert kept[key].first == keys.tolist().index(key)
    assert len(kept) <= most


def test_repetition_of_many_lines_is_estimated() -> None:
    text = "".join(f"line {n % 3000}\n" for n in range(6000))
    exact = scanned(text).lines.table
    assert exact.repeated_fraction() == pytest.approx(0.5)
    table = LineTable(200)
    hasher = RangeHasher()
    points = code_points(text)
    ends = np.flatnonzero(points == 10)
    starts = np.append(0, ends[:-1] + 1)
    table.add(hasher.hashes(hasher.sums(points), starts, ends), ends - starts, np.arange(6000))
    assert table.repeated_fraction() == pytest.approx(0.5)
    assert table.halvings >= 4


def test_places_name_the_source_and_its_line(tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt"]
    paths[0].write_text("one\ntwo")
    paths[1].write_text("three\nfour!\n")
    found = scan([Source(path.name, path) for path in paths], TextConfig())
    assert str(found.place_of("w")) == "a.txt:2"
    assert str(found.place_of("!")) == "b.txt:2"
    assert [(s.lines, s.chars, s.num_bytes) for s in found.sources] == [(2, 8, 7), (2, 12, 12)]
    assert found.sources[1].checksum != found.sources[0].checksum


def test_an_empty_source_has_no_lines() -> None:
    found = scanned("", "a\n")
    assert (found.lines.count, found.place(0).line) == (1, 1)
    assert found.sources[0].lines == 0


# --- The sample ---


@given(TEXTS, st.integers(1, 9), st.integers(1, 3))
def test_a_sample_is_evenly_spaced(text: str, size: int, most: int) -> None:
    sampler = Sampler(size, most)
    found = scanned(text, sampler=sampler)
    text = whole(text)
    number = -(-len(text) // size)
    stride = 1
    while -(-number // stride) > most:
        stride *= 2
    if stride == 1:
        assert [piece.text for piece in found.pieces] == ([text] if text else [])
    else:
        kept = range(0, len(text), size * stride)
        assert [piece.text for piece in found.pieces] == [text[n : n + size] for n in kept]
    starts = range(0, len(text), size * stride)
    for start, piece in zip(starts, found.pieces, strict=False):
        ends = [m.end() for m in re.finditer(r"\r\n|\r|\n", text)]
        if text[start - 1 : start + 1] != "\r\n":
            assert piece.line == sum(end <= start for end in ends)
