"""What is read from any bytes, against a decoder of whole texts that knows nothing of chunks."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from charlstm.config import TextConfig
from charlstm.errors import CharlstmError, CorpusError, SourceError
from charlstm.text import reading as module
from charlstm.text.corpus import Corpus, load_corpus
from charlstm.text.reading import read_text
from charlstm.text.sources import Source, find_sources

MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
ENCODINGS = (
    "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-7",
    "ascii", "latin-1", "cp1252", "shift_jis", "gb18030", "iso2022_jp", "big5", "euc_kr", "hz",
)  # fmt: skip


def reference(data: bytes, config: TextConfig) -> str:
    """The text of a file that is not compressed, decoded as one piece.

    Raises:
        ValueError: it is not text in that encoding.
    """
    encoding = config.encoding
    if encoding.startswith("utf-"):
        for mark, name in MARKS.items():
            if data.startswith(mark):
                data, encoding = data[len(mark) :], name
                break
        else:
            if encoding in ("utf-16", "utf-32") and data:
                raise ValueError("no byte order mark")
    encoding = "utf-8" if encoding == "utf-8-sig" else encoding
    text = data.decode(encoding, config.encoding_errors)
    if encoding == "utf-7":
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", config.encoding_errors)
    if "\0" in text:
        raise ValueError("NUL")
    if not config.keep_newlines:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text[-1] in "\r\n" else text + "\n"


def as_read(text: str, config: TextConfig) -> str:
    """The same with case and rare characters as a model is shown them; empty: none is kept."""
    if config.lowercase:
        text = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    counts = Counter(text)
    if all(count < config.min_count for count in counts.values()):
        return ""
    return "".join(c if counts[c] >= config.min_count else "\ufffd" for c in text)


def load(path: Path, config: TextConfig, *, chunk: int, in_memory: bool = True) -> Corpus:
    before = module.CHUNK_BYTES
    module.CHUNK_BYTES = chunk
    try:
        return load_corpus(
            find_sources([str(path)]), config, in_memory_bytes=1 << 20 if in_memory else 0
        )
    finally:
        module.CHUNK_BYTES = before


texts = st.text(st.sampled_from("aAbB \r\n\0éÉİΣßK\ufffd\ufeff…“漢𝄞\x1b~{+-"), max_size=12)
contents = st.one_of(
    st.builds(
        lambda mark, text, encoding, rest: mark + text.encode(encoding, "ignore") + rest,
        st.sampled_from([b"", b"", b"", *MARKS, codecs.BOM_UTF8 * 2]),
        texts,
        st.sampled_from([name for name in ENCODINGS if name not in ("utf-16", "utf-32")]),
        st.binary(max_size=3),
    ),
    st.binary(max_size=12),
    st.sampled_from([b"BZ", b"BZh", b"BZh1", b"BZh91A", b"%PDF-1.4\n", b"\x1f\x8b", b"PK\3\4"])
    .flatmap(lambda begin: st.binary(max_size=4).map(lambda rest: begin + rest)),
)  # fmt: skip
configs = st.builds(
    TextConfig,
    encoding=st.sampled_from(ENCODINGS),
    encoding_errors=st.sampled_from(["strict", "replace", "ignore"]),
    min_count=st.sampled_from([1, 2, 3]),
    lowercase=st.booleans(),
    keep_newlines=st.booleans(),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(contents, configs, st.integers(1, 5), st.booleans())
@example(b"aabb\xe9", TextConfig(encoding_errors="replace", min_count=2), 1 << 20, True)
@example(b"BZhat is a bzip?\n", TextConfig(), 1 << 20, True)
def test_any_bytes_are_a_text_or_one_clear_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    config: TextConfig,
    chunk: int,
    in_memory: bool,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "x"
    path.write_bytes(content)
    try:
        text = reference(content, config)
    except ValueError:
        text = ""
    expected = as_read(text, config)
    if not expected:
        with pytest.raises(CharlstmError) as caught:
            load(path, config, chunk=chunk)
        assert 1 <= len(str(caught.value).splitlines()) <= 2
        assert "changed" not in str(caught.value)
        return
    corpus = load(path, config, chunk=chunk, in_memory=in_memory)
    assert corpus.tokenizer.decode(corpus.ids) == expected
    if not in_memory:  # found in the cache
        again = load(path, config, chunk=chunk, in_memory=False)
        assert again.tokenizer.decode(again.ids) == expected


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(contents, configs, st.integers(1, 5))
@example(codecs.BOM_UTF8 * 2 + b"two marks", TextConfig(), 1 << 20)
@example(gzip.compress(bz2.compress(b"packed twice")), TextConfig(encoding="latin-1"), 1 << 20)
@example("\ufeffa mark".encode("gb18030"), TextConfig(encoding="gb18030"), 1 << 20)
@example(b"BZh91AY&SY\n", TextConfig(), 1 << 20)
def test_a_kept_copy_gives_the_same_text(
    tmp_path: Path, content: bytes, config: TextConfig, chunk: int
) -> None:
    """Whatever is read from a pipe is written as UTF-8, and that is read with no other rule."""
    path, kept = tmp_path / "x", tmp_path / "corpus.txt"
    path.write_bytes(content)
    try:
        text = "".join(read_text(find_sources([str(path)]), config))
    except SourceError:
        return
    kept.write_bytes(text.encode("utf-8"))
    before = module.CHUNK_BYTES
    module.CHUNK_BYTES = chunk
    try:
        again = "".join(read_text([Source("corpus.txt", kept, exact=True)], config))
    finally:
        module.CHUNK_BYTES = before
    assert again == text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("text", ["the light is low\n", "漢字かな交じり文\n" * 3])
def test_an_unmarked_byte_order_is_asked_for(
    tmp_path: Path, encoding: str, order: str, text: str
) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(text.encode(f"{encoding}-{order}"))
    with pytest.raises(SourceError, match=rf"x\.txt.*\n.*{encoding}-le.*{encoding}-be") as caught:
        load(path, TextConfig(encoding=encoding), chunk=1 << 20)
    assert f"({encoding}-{order} fits)" in str(caught.value)
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(CorpusError, match="no text"):
        load(tmp_path / "empty", TextConfig(encoding=encoding), chunk=1 << 20)


@pytest.mark.parametrize("order", ["le", "be"])
def test_utf_16_is_suggested_where_it_fits(tmp_path: Path, order: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes("the light is low\n".encode(f"utf-16-{order}"))
    with pytest.raises(SourceError, match=f"give --encoding utf-16-{order}"):
        load(path, TextConfig(), chunk=1 << 20)
    path.write_bytes(b"\x7fELF\2\1\1\0\0\0\0\0\3\0\x3e\0")
    with pytest.raises(SourceError, match="looks binary") as caught:
        load(path, TextConfig(), chunk=1 << 20)
    assert "utf-16" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "BZh",
        "BZhang came home.\n",
        "BZh9 is not a block\n",
        "\x1f\x8bah",
        "\x1f\x8b\t\xe0",
        "ý7zXZ",
    ],
)
def test_a_text_may_begin_like_a_compressed_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content.encode("latin-1"))
    corpus = load(path, TextConfig(encoding="latin-1"), chunk=1 << 20)
    assert corpus.tokenizer.decode(corpus.ids).rstrip("\n") == content.rstrip("\n")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_texts_of_any_size(tmp_path: Path, pack: object) -> None:
    for content in (b"", b"a", b"the light\n" * 20_000):
        buffer = io.BytesIO(pack(content))  # type: ignore[operator]
        (tmp_path / "x").write_bytes(buffer.getvalue())
        assert "".join(read_text(find_sources([str(tmp_path / "x")]), TextConfig())) == (
            content.decode() + ("\n" if content == b"a" else "")
        )
