"""Texts of their own for validation and testing, against their texts read alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.config import TextConfig
from charlstm.errors import (
    ChangedTextError,
    ConfigError,
    CorpusError,
    UnknownCharacterError,
)
from charlstm.text.corpus import Corpus, load_corpus
from charlstm.text.parts import Part
from charlstm.text.separate import GivenText, check_separate
from charlstm.text.sources import Source, find_sources
from charlstm.text.splits import Split

CONFIG: dict[str, Any] = {"val_fraction": 0.0, "test_fraction": 0.0}


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(
    text: str, apart: Mapping[str, str], in_memory_bytes: int = 1 << 20, **options: Any
) -> Corpus:
    """The corpus of texts, each in a file of its own."""
    sources: dict[str, list[Source]] = {}
    for part, content in {"text": text, **apart}.items():
        Path(f"{part}.txt").write_text(content, "utf-8", newline="")
        sources[part] = find_sources([f"{part}.txt"])
    config = TextConfig(**{**CONFIG, **options})
    own = sources.pop("text")
    return load_corpus(own, config, separate=sources, in_memory_bytes=in_memory_bytes)


def read(corpus: Corpus, part: Part) -> list[str]:
    """The segments of a part, without boundaries."""
    return [corpus.tokenizer.decode(segment) for segment in part.segments]


lines = st.lists(st.text("abé\n", min_size=1, max_size=9), min_size=1, max_size=6).map("\n".join)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines, lines, lines, st.sampled_from([0, 1 << 20]), st.sampled_from(["val", "test", "both"]))
def test_parts_are_the_files(
    text: str, val: str, test: str, in_memory_bytes: int, which: str
) -> None:
    text, val, test = text + "abé1", val + "2ab"[:2] + "\nb", test + "a\nab"
    apart = {"val": val + "\na", "test": test}
    if which != "both":
        apart = {which: apart[which]}
    corpus = load(text, apart, in_memory_bytes, unknown="replace")
    assert read(corpus, corpus.train) == [text + "\n"]
    for part, content in apart.items():
        known = content.replace("2", " " if " " in corpus.tokenizer.characters else "\n")
        (found,) = read(corpus, getattr(corpus, part))
        assert found == known + ("" if known.endswith("\n") else "\n")
    assert set(corpus.tokenizer.characters) == set(text + "\n")
    assert isinstance(corpus.split, Split)
    assert Split.from_json(corpus.split.to_json(), len(corpus)) == corpus.split
    again = load(text, apart, in_memory_bytes, unknown="replace")
    np.testing.assert_array_equal(again.ids, corpus.ids)
    assert (again.separate, again.split) == (corpus.separate, corpus.split)


@pytest.mark.parametrize("in_memory_bytes", [0, 1 << 20])
def test_documents_of_each_file(in_memory_bytes: int) -> None:
    corpus = load(
        "one\ntwo\nthree\n", {"val": "wo\n\nho\n", "test": "tent"}, in_memory_bytes,
        documents="line",
    )  # fmt: skip
    assert read(corpus, corpus.train) == ["one", "two", "three"]
    assert read(corpus, corpus.val) == ["wo", "ho"]
    assert read(corpus, corpus.test) == ["tent"]
    assert corpus.split.to_json()["documents"] == 6


def test_the_other_part_is_cut_from_the_text() -> None:
    text = "abcdefghij" * 10
    corpus = load(text, {"test": "cab"}, val_fraction=0.2)
    assert (len(corpus.train), len(corpus.val), len(corpus.test)) == (81, 20, 4)
    blocks = load(text * 40, {"val": "cab"}, test_fraction=0.2, split="blocks")
    assert blocks.split.method == "blocks"
    assert read(blocks, blocks.val) == ["cab\n"]
    lined = load("ab\n" * 20, {"test": "b\na"}, val_fraction=0.2, documents="line")
    assert (len(lined.val.spans), read(lined, lined.test)) == (4, ["b", "a"])


def test_an_old_text_is_no_part() -> None:
    kinds: list[dict[str, Any]] = [{}, {"documents": "line"}]
    for options in kinds:
        corpus = load("ab\nba\n", {"val": "aa", "replay": "bb\nab"}, **options)
        assert len(corpus) == len(corpus.ids) - corpus.separate["replay"].num_chars
        assert corpus.tokenizer.decode(corpus.old_ids).replace("\n", "") == "bbab"
        both = "".join(read(corpus, corpus.train) + read(corpus, corpus.val))
        assert both.replace("\n", "") == "abbaaa"


def test_unknown_characters() -> None:
    val = "a“b” ß!\n"
    with pytest.raises(CorpusError, match=r"validation text has 4 characters \(4 distinct\)"):
        load('"ab" s.', {"val": val})
    found = {}
    for policy in ("skip", "replace", "map"):
        corpus = load('"ab" s.', {"val": val.replace("!", "")}, unknown=policy)
        (found[policy],) = read(corpus, corpus.val)
        assert corpus.separate["val"].unknown == {"“": 1, "”": 1, "ß": 1}
    assert found == {"skip": "ab \n", "replace": "a b   \n", "map": 'a"b" ss\n'}
    with pytest.raises(UnknownCharacterError, match=r"'!' .*position 6 of val\.txt"):
        load('"ab" s.', {"val": val}, unknown="map")
    lowered = load("ab", {"val": "AB"}, lowercase=True)
    assert read(lowered, lowered.val) == ["ab\n"]
    rare = load("aab" * 5 + "x", {"val": "xa"}, min_count=2)
    assert read(rare, rare.val) == ["\ufffda\ufffd"]  # the newline is rare, too


@pytest.mark.parametrize("options", [{}, {"documents": "line"}])
def test_too_short(options: dict[str, Any]) -> None:
    with pytest.raises(CorpusError, match=r"no text in val\.txt"):
        load("ab\nb", {"val": ""}, **options)
    with pytest.raises(CorpusError, match="--val: the validation text has"):
        load("ab\nb", {"val": "é" if options else "\n"}, unknown="skip", **options)


def test_the_same_file_twice(place: Path) -> None:
    folder = place / "texts"
    folder.mkdir()
    (folder / "train.txt").write_text("ab")
    (folder / "valid.txt").write_text("ba")
    os.link(folder / "valid.txt", place / "linked.txt")
    sources, val = find_sources(["texts"]), find_sources(["linked.txt"])
    with pytest.raises(CorpusError, match=r"linked\.txt: .*training, too\.\n--exclude valid\.txt"):
        load_corpus(sources, TextConfig(), separate={"val": val})
    with pytest.raises(CorpusError, match=r"--test linked\.txt: .*--val, too"):
        load_corpus(sources[:1], TextConfig(), separate={"val": sources[1:], "test": val})
    with pytest.raises(CorpusError, match="the test text is the same as the training text"):
        load("ab", {"test": "ab"})


def test_a_changed_text_is_noticed() -> None:
    digests = {part: own.sha256 for part, own in load("ab", {"val": "ba"}, 0).separate.items()}
    for in_memory_bytes in (0, 1 << 20):
        Path("val.txt").write_text("bb")
        sources = [find_sources([f"{part}.txt"]) for part in ("text", "val")]
        with pytest.raises(ChangedTextError, match="validation text") as caught:
            load_corpus(
                sources[0], TextConfig(**CONFIG), separate={"val": sources[1]},
                separate_sha256=digests, in_memory_bytes=in_memory_bytes,
            )  # fmt: skip
        assert caught.value.part == "val"


def test_the_cache_knows_which_text_is_which() -> None:
    """The same files in other roles, or with another policy, are other entries."""
    one = load("abc", {"val": "abd"}, 0, unknown="replace")
    skipped = load("abc", {"val": "abd"}, 0, unknown="skip")
    other = load("abc", {"test": "abd"}, 0, unknown="replace")
    assert (len(one.val), len(skipped.val), len(other.val), len(other.test)) == (4, 3, 0, 4)


@pytest.mark.parametrize(
    ("parts", "given", "words"),
    [
        (["val"], {"val_fraction": 0.2}, "--val and --val-fraction"),
        (["test"], {"test_fraction": 0.2}, "--test and --test-fraction"),
        (["val"], {"split": "tail"}, "--split and --val "),
        (["val", "test"], {"split": "blocks"}, "--split and --val and --test"),
        (["test"], {"split": "blocks", "val_fraction": 0.0}, "--split and --test"),
        ([], {"unknown": "skip"}, "--unknown applies to"),
    ],
)
def test_options_that_contradict(parts: list[str], given: dict[str, object], words: str) -> None:
    separate = {part: GivenText((f"{part}.txt",)) for part in parts}
    with pytest.raises(ConfigError, match=words):
        check_separate(["x"], separate, given, resumes=False)


def test_options_that_agree() -> None:
    val, test = GivenText(("val.txt",)), GivenText(("-",))
    check_separate(["x"], {"val": val}, {"split": "blocks", "test_fraction": 0.1}, resumes=False)
    check_separate(["x"], {"test": test}, {"split": "blocks", "unknown": "skip"}, resumes=False)
    with pytest.raises(ConfigError, match="only once"):
        check_separate(["-"], {"test": test}, {}, resumes=False)
