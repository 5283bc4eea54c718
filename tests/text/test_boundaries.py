from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import TextConfig
from charlstm.errors import CorpusError
from charlstm.text.boundaries import Dropped, _Cutter, read_stream, stream_of
from charlstm.text.corpus import load_corpus
from charlstm.text.sources import Source
from charlstm.text.string_source import source_from_text
from charlstm.text.tokenizer import BOUNDARY, CharTokenizer

KINDS = ["line", "blank-line", "file", "%\\n", "ab", "\\n\\n", "--"]


def documents_of(text: str, kind: str) -> list[str]:
    stream = stream_of(text, TextConfig(documents=kind))
    assert stream[0] == stream[-1] == BOUNDARY
    return stream.split(BOUNDARY)[1:-1]


@pytest.mark.parametrize(
    ("kind", "text", "documents"),
    [
        ("line", "Anna\nBob\n", ["Anna", "Bob"]),
        ("line", "\n Anna \n\n  \nBob", [" Anna ", "Bob"]),
        ("line", "a\r\nb\rc\n", ["a", "b", "c"]),  # with --keep-newlines
        ("blank-line", "one\ntwo\n\nthree\n\n\n \nfour\n", ["one\ntwo", "three", "four"]),
        ("blank-line", "\n \n  one\n two\n", ["  one\n two"]),
        ("blank-line", "a\r\n\r\nb", ["a", "b"]),
        ("file", "\none\n\ntwo\n\n", ["one\n\ntwo"]),
        ("%\\n", "%\none\n%\ntwo\n%\n", ["one", "two"]),
        ("|", "a|b||c", ["a", "b", "c"]),
        ("\\\\n", "a\\nb", ["a", "b"]),
        ("line", " \n\t\n", []),
    ],
)
def test_kinds_by_hand(kind: str, text: str, documents: list[str]) -> None:
    assert documents_of(text, kind) == documents


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.text(alphabet="ab \n\r%-\u3000", max_size=8), max_size=6), st.sampled_from(KINDS)
)
def test_chunks_make_no_difference(chunks: list[str], kind: str) -> None:
    """Nor do single characters as chunks; nothing is lost but whitespace and separators."""
    whole = "".join(chunks)
    expected, count = stream_of(whole, TextConfig(documents=kind)), Dropped()
    reference = _Cutter(kind, count)
    assert BOUNDARY + reference.feed(whole) + reference.finish() == expected
    for parts in (chunks, list(whole)):
        found = Dropped()
        cutter = _Cutter(kind, found)
        text = BOUNDARY + "".join(map(cutter.feed, parts)) + cutter.finish()
        assert text == expected
        assert found == count
    documents = expected.split(BOUNDARY)[1:-1]
    assert all(document.strip() for document in documents)
    if kind in ("line", "blank-line", "file", "\\n\\n"):
        assert "".join("".join(documents).split()) == "".join(whole.split())
    if kind == "line":
        assert not any({"\n", "\r"} & set(document) for document in documents)


@pytest.mark.parametrize(
    ("kind", "text", "empty"),
    [("line", "\na\n\n \nb\n", 2), ("blank-line", "a\n\n\n\nb\n\n", 0), ("%", "%a%%b%", 1),
     ("line", "a\nb\n", 0)],
)  # fmt: skip
def test_empty_documents_are_counted(kind: str, text: str, empty: int) -> None:
    config = TextConfig(documents=kind)
    corpus = load_corpus([source_from_text(text, config)], config)
    assert corpus.empty == empty


def test_documents_end_with_their_files(tmp_path: Path) -> None:
    for name, text in (("a", "one\n\ntwo"), ("b", " \n"), ("c", "three\n")):
        (tmp_path / name).write_text(text)
    sources = [Source(name, tmp_path / name) for name in "abc"]
    for kind, expected, empty in (
        ("file", ["one\n\ntwo", "three"], 1), ("blank-line", ["one", "two", "three"], 0),
        ("two", ["one", "three"], 1),
    ):  # fmt: skip
        found = Dropped()
        text = "".join(read_stream(sources, TextConfig(documents=kind), found))
        assert text == BOUNDARY + "".join(document + BOUNDARY for document in expected)
        assert found.empty == empty


def test_a_kept_stream_is_read_as_it_is(tmp_path: Path) -> None:
    """Its documents are those of the sources that it was made from, whatever the kind."""
    (tmp_path / "a").write_text("one\n\ntwo")
    (tmp_path / "b").write_text("three")
    config = TextConfig(documents="file")
    first = "".join(read_stream([Source(n, tmp_path / n) for n in "ab"], config))
    kept = tmp_path / "kept"
    kept.write_text(first)
    again = read_stream([Source("kept", kept, exact=True)], config)
    assert "".join(again) == first


def test_a_text_without_documents_is_read_as_before(tmp_path: Path) -> None:
    source = source_from_text("a\n\nb", TextConfig())
    for kind in ("none", "auto"):
        assert "".join(read_stream([source], TextConfig(documents=kind))) == "a\n\nb\n"
        corpus = load_corpus([source], TextConfig(documents=kind))
        assert corpus.tokenizer == CharTokenizer("\nab")
        assert corpus.empty is None


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("%%", "a\nb\n", "this separator never occurs"),
        ("file", "a\nb\n", "one document; at least 2"),
        ("line", "a\n\n", "one document; at least 2"),
        ("%", "%a", "one document; at least 2"),
        ("line", " \n\n", "there is no text"),
        ("line", "", "there is no text"),
    ],
)
def test_texts_that_are_no_documents(kind: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text)
    config = TextConfig(documents=kind)
    with pytest.raises(CorpusError, match=message) as caught:
        load_corpus([Source("x", tmp_path / "x")], config)
    assert len(str(caught.value).splitlines()) <= 2


@pytest.mark.parametrize("in_memory", [0, 1 << 20], ids=["mapped", "in memory"])
def test_ids_of_documents(in_memory: int, tmp_path: Path, monkeypatch: Any) -> None:
    """The second time from the cache, where the text is large."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "x").write_text("B\n\nab\nB\n")
    config = TextConfig(documents="line")
    for _ in range(2):
        corpus = load_corpus([Source("x", tmp_path / "x")], config, in_memory_bytes=in_memory)
        assert corpus.tokenizer.characters == "\0Bab"
        assert corpus.tokenizer.boundary
        assert corpus.ids.tolist() == [0, 1, 0, 2, 3, 0, 1, 0]
        assert corpus.empty == 1
        spans = corpus.train.spans.tolist() + corpus.val.spans.tolist()
        assert sorted(spans) == [[0, 3], [2, 6], [5, 8]]
    plain = load_corpus([Source("x", tmp_path / "x")], TextConfig(), in_memory_bytes=in_memory)
    assert plain.tokenizer.characters == "\nBab"


def test_the_boundary_is_no_rare_character_and_no_text(tmp_path: Path) -> None:
    config = TextConfig(documents="%", min_count=5)
    corpus = load_corpus([source_from_text("aaaaaaab%aaaa", config)], config)
    assert corpus.tokenizer.characters == "\0a\ufffd"
    assert corpus.rare == {"b": 1}
    for policy, expected in (("skip", [1, 1]), ("replace", [1, 2, 1])):
        assert corpus.tokenizer.encode("a\0a", policy).tolist() == expected
    assert not corpus.tokenizer.knows("\x01")
    assert corpus.tokenizer.decode([0, 1, 0, 1, 0]) == "aa"
    assert corpus.tokenizer.encode("\0a\0", boundaries=True).tolist() == [0, 1, 0]
