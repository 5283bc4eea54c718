"""Dividing sources into lines, documents and files; standard input as it arrives."""

from __future__ import annotations

import bz2
import gzip
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text import passages
from charlstm.text.live import LiveSource
from charlstm.text.passages import Blank, Passage, read_blocks
from charlstm.text.sources import find_sources

CONFIG = TextConfig()


def read(
    paths: list[Path], by: str, config: TextConfig = CONFIG, *, documents: bool = False
) -> tuple[list[Passage], int]:
    blank = Blank()
    sources = find_sources(map(str, paths))
    blocks = list(read_blocks(sources, by, config, blank, has_documents=documents))
    assert all(blocks)
    return [passage for block in blocks for passage in block], blank.count


def of(passage: Passage) -> tuple[int, str]:
    assert passage.ends
    assert passage.last
    assert not passage.before
    return passage.number, passage.text


def test_lines_keep_their_numbers_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"one\r\n\n  \ntwo\nthree")
    found, blank = read([path], "line")
    assert [of(passage) for passage in found] == [(1, "one"), (4, "two"), (5, "three")]
    assert {passage.source for passage in found} == {str(path)}
    assert blank == 2


def test_carriage_returns_that_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"one\r\ntwo\r\n")
    kept = TextConfig(keep_newlines=True)
    assert [p.text for p in read([path], "line", kept)[0]] == ["one\r", "two\r"]
    assert [p.text for p in read([path], "line", kept, documents=True)[0]] == ["one", "two"]


def test_documents(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("\n\na\nb\n\n\nc\n%\nd\n", "utf-8")
    paragraphs, blank = read([path], "document")
    assert [of(passage) for passage in paragraphs] == [(1, "a\nb"), (2, "c\n%\nd")]
    assert blank == 0
    cut = TextConfig(documents="%\\n")
    assert [of(p) for p in read([path], "document", cut, documents=True)[0]] == [
        (1, "a\nb\n\n\nc"), (2, "d"),
    ]  # fmt: skip


def test_files(tmp_path: Path) -> None:
    texts = {"a.txt": "one\n\ntwo\n\n", "b.txt": "three", "c.txt": " \n", "d.txt": ""}
    paths = [tmp_path / name for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.write_text(text, "utf-8")
    found, blank = read(paths, "file")
    assert [of(passage) for passage in found] == [(0, "one\n\ntwo\n"), (0, "three")]
    assert blank == 2
    lines = TextConfig(documents="line")
    found, _ = read(paths, "file", lines, documents=True)
    assert [(p.number, p.document, p.text, p.ends, p.last) for p in found] == [
        (0, 1, "one", True, False), (0, 2, "two", True, True), (0, 1, "three", True, True),
    ]  # fmt: skip


@given(st.lists(st.text("ab \n", max_size=12), max_size=8), st.integers(1, 9))
def test_long_texts_come_in_passages(chunks: list[str], longest: int) -> None:
    """Whatever the chunks, joined passages are the lines, and each has what is before it."""
    chunks = [*filter(None, chunks), "\n"]  # as `read_text` ends
    text = "".join(chunks)
    for separator in ("\n", ""):
        blank = Blank()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(passages, "_LONGEST", longest)
            patch.setattr(passages, "CONTEXT", 4)
            found = list(passages._divided(chunks, "x", separator, blank))
        whole: list[str] = [""]
        number = 0
        for passage in filter(None, found):
            assert len(passage.text) <= longest + max(map(len, chunks))
            if passage.before:
                assert passage.number == number
                assert whole[-1].endswith(passage.before)
                assert len(passage.before) == min(4, len(whole[-1]))
            else:
                assert passage.number >= number
            number = passage.number
            whole[-1] += passage.text
            assert passage.last == passage.ends
            if passage.ends:
                whole.append("")
        expected = text.split("\n")[:-1] if separator else [text.removesuffix("\n")]
        kept = [line for line in whole if line.strip()]
        assert kept == [line for line in expected if line.strip()]
        assert whole.pop() == ""
        assert len(whole) + blank.count == len(expected)


def test_blocks_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passages, "BLOCK_CHARS", 10)
    monkeypatch.setattr(passages, "BLOCK_PASSAGES", 3)
    path = tmp_path / "x.txt"
    path.write_text("aaaa\nbbbb\ncccc\nd\ne\nf\ng\n", "utf-8")
    sources = find_sources([str(path)])
    blocks = list(read_blocks(sources, "line", CONFIG, Blank(), has_documents=False))
    assert [[p.text for p in block] for block in blocks] == [
        ["aaaa", "bbbb", "cccc"], ["d", "e", "f"], ["g"],
    ]  # fmt: skip


# --- Standard input ---


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], None]]:
    """A function that writes to what is standard input; without data, it closes it."""
    reader, writer = os.pipe()
    stream: IO[str] = os.fdopen(reader)
    monkeypatch.setattr(sys, "stdin", stream)
    is_open = True

    def write(data: bytes) -> None:
        nonlocal is_open
        if data:
            os.write(writer, data)
        elif is_open:
            os.close(writer)
            is_open = False

    yield write
    write(b"")
    stream.close()


def live(by: str = "line") -> Iterator[list[tuple[int, str]]]:
    sources = [LiveSource("standard input", None)]
    for block in read_blocks(sources, by, CONFIG, Blank(), has_documents=False):
        yield [(passage.number, passage.text) for passage in block]


def test_lines_are_there_before_the_end(pipe: Callable[[bytes], None]) -> None:
    pipe(b"one\ntwo\nthr")
    blocks = live()
    assert next(blocks) == [(1, "one"), (2, "two")]
    pipe("ee\n\u00e9".encode()[:-1])  # half a character
    assert next(blocks) == [(3, "three")]
    pipe("\u00e9".encode()[-1:] + b"\r")
    pipe(b"")
    assert next(blocks) == [(4, "\u00e9")]
    assert list(blocks) == []


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
def test_compressed_standard_input(
    pipe: Callable[[bytes], None], pack: Callable[[bytes], bytes]
) -> None:
    pipe(pack(b"one\ntwo\n"))
    pipe(b"")
    assert list(live()) == [[(1, "one"), (2, "two")]]


def test_other_encodings_and_binary_data(pipe: Callable[[bytes], None]) -> None:
    pipe("\ufeffone\ntwo\n".encode("utf-16-le"))
    pipe(b"")
    assert list(live("file")) == [[(0, "one\ntwo")]]


def test_binary_data(pipe: Callable[[bytes], None]) -> None:
    pipe(b"one\0two\n")
    with pytest.raises(SourceError, match="standard input looks binary"):
        list(live())


def test_an_empty_standard_input(pipe: Callable[[bytes], None]) -> None:
    pipe(b"")
    assert list(live()) == []
