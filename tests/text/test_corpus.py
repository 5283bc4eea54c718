from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from charlstm.config import TextConfig
from charlstm.errors import CorpusError
from charlstm.text.cache import cache_folder
from charlstm.text.corpus import Corpus, load_corpus
from charlstm.text.parts import Part
from charlstm.text.sources import find_sources


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "charlstm"


def load(path: Path, *, in_memory_bytes: int = 1 << 20, **options: object) -> Corpus:
    config = TextConfig(**options)  # type: ignore[arg-type]
    return load_corpus(find_sources([str(path)]), config, in_memory_bytes=in_memory_bytes)


def test_ids_and_digest(corpus_file: Path, text: str) -> None:
    corpus = load(corpus_file)
    assert corpus.tokenizer.decode(corpus.ids) == text
    assert corpus.sha256 == hashlib.sha256(corpus_file.read_bytes()).hexdigest()


def test_parts_are_contiguous(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("abcdefghi\n")
    corpus = load(path, val_fraction=0.2, test_fraction=0.1)

    def decode(part: Part) -> str:
        return corpus.tokenizer.decode(part.joined())

    assert decode(corpus.train) == "abcdefg"
    assert decode(corpus.val) == "hi"
    assert decode(corpus.test) == "\n"
    assert len(load(path, val_fraction=0.0).val) == 0


def test_large_corpora_go_to_the_cache_and_are_found_again(corpus_file: Path, cache: Path) -> None:
    small = load(corpus_file)
    assert not cache.exists()
    large = load(corpus_file, in_memory_bytes=100)
    assert small.mapping is None
    assert large.mapping is not None
    large.release()
    np.testing.assert_array_equal(large.ids, small.ids)
    (ids_file,) = cache.glob("*.ids")
    stamp = ids_file.stat().st_mtime_ns
    again = load(corpus_file, in_memory_bytes=100)
    np.testing.assert_array_equal(again.ids, small.ids)
    assert again.sha256 == small.sha256
    assert ids_file.stat().st_mtime_ns == stamp  # not written anew
    assert sorted(p.suffix for p in cache.iterdir()) == [".ids", ".json"]


def test_a_damaged_cache_entry_is_written_anew(corpus_file: Path, cache: Path, text: str) -> None:
    load(corpus_file, in_memory_bytes=100)
    (ids_file,) = cache.glob("*.ids")
    data = bytearray(ids_file.read_bytes())
    data[50] ^= 1
    ids_file.write_bytes(data)
    corpus = load(corpus_file, in_memory_bytes=100)
    assert corpus.tokenizer.decode(corpus.ids) == text
    assert bytes(ids_file.read_bytes()) == bytes(corpus.ids.tobytes())
    next(cache.glob("*.json")).write_text("{}")
    assert load(corpus_file, in_memory_bytes=100).tokenizer.decode(corpus.ids) == text


def test_a_changed_text_or_option_is_another_entry(corpus_file: Path, text: str) -> None:
    load(corpus_file, in_memory_bytes=100)
    changed = text.replace("e", "o")
    corpus_file.write_text(changed)  # as long as before
    corpus = load(corpus_file, in_memory_bytes=100)
    assert corpus.tokenizer.decode(corpus.ids) == changed
    lower = load(corpus_file, in_memory_bytes=100, lowercase=True)
    assert lower.tokenizer.decode(lower.ids) == changed.lower()


def test_an_unwritable_cache_is_no_error(
    corpus_file: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert cache_folder() == Path("/dev/null/charlstm")
    corpus = load(corpus_file, in_memory_bytes=100)
    assert corpus.tokenizer.decode(corpus.ids) == text


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_no_text(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "empty.txt"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=r"no text in .*empty\.txt"):
        load(path)
