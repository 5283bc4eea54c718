from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import TextConfig
from charlstm.errors import ConfigError, CorpusError, SourceError
from charlstm.text import reading as module
from charlstm.text.corpus import load_corpus
from charlstm.text.normalization import normalize
from charlstm.text.reading import read_text, read_whole
from charlstm.text.sources import find_sources
from charlstm.text.string_source import source_from_text


def read(*arguments: Path | str, **options: object) -> str:
    config = TextConfig(**options)  # type: ignore[arg-type]
    found = find_sources([str(argument) for argument in arguments], config.glob)
    return "".join(read_text(found, config))


def test_sources_are_joined_in_order_each_ending_in_a_newline(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("two\n")
    (tmp_path / "c").write_text("")
    assert read(tmp_path / "b", tmp_path / "c", tmp_path / "a") == "two\none\n"


class Terminal(io.RawIOBase):
    """A terminal on which one line and one end of input (Ctrl-D) are typed."""

    typed: Sequence[bytes] = (b"a line\n", b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # fails after the end: a terminal would wait
        data, *self.typed = self.typed
        buffer[: len(data)] = data
        return len(data)


def test_one_end_of_input_ends_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(Terminal())))
    assert read("-") == "a line\n"


def test_standard_input_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"b")))
    with pytest.raises(SourceError, match=r"can be read only once\.\nGive - once"):
        find_sources(iter(["-", str(tmp_path / "a.txt"), "-"]))


def test_a_folder_gives_its_matches_sorted(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", "d.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    assert read(tmp_path) == "a.txt\nb.txt\nsub/c.txt\n"
    assert read(tmp_path, glob="*.md") == "d.md\n"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_known_by_content(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "plain.txt"
    path.write_bytes(pack("grüße\n".encode()))
    assert read(path) == "grüße\n"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_truncated_compressed_file_is_an_error(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(pack(os.urandom(5000))[:-40])
    with pytest.raises(SourceError, match="x"):
        read(path, encoding="latin-1")


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b"\xfe\xff"),
        ("utf-32-le", b"\xff\xfe\0\0"),
        ("utf-32-be", b"\0\0\xfe\xff"),
    ],
)
def test_a_byte_order_mark_is_recognised_and_no_text(
    tmp_path: Path, encoding: str, mark: bytes
) -> None:
    path = tmp_path / "x"
    path.write_bytes(mark + "añ𝄞\r\n".encode(encoding))
    assert read(path) == "añ𝄞\n"


def test_an_explicit_8_bit_encoding_keeps_the_bytes_of_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\xff\xfe\n")
    assert read(path, encoding="latin-1") == "ÿþ\n"


def test_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a\r\nb\rc\nd\r")
    assert read(path) == "a\nb\nc\nd\n"
    assert read(path, keep_newlines=True) == "a\r\nb\rc\nd\r"


@pytest.mark.parametrize("size", [1, 2, 3])
@given(content=st.text(alphabet="a\r\né€𝄞", max_size=20))
def test_chunk_edges_do_not_show(
    tmp_path_factory: pytest.TempPathFactory, size: int, content: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "edges"
    path.write_bytes(content.encode())
    before = module.CHUNK_BYTES
    module.CHUNK_BYTES = size
    try:
        found = read(path)
    finally:
        module.CHUNK_BYTES = before
    expected = content.replace("\r\n", "\n").replace("\r", "\n")
    assert found == expected + ("" if expected.endswith("\n") or not expected else "\n")


def test_invalid_bytes_name_file_and_offset_across_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 4)
    path = tmp_path / "bad.txt"
    path.write_bytes("aé€".encode() + b"bc\xe9d")  # a=1, é=2, € =3 bytes, b, c: offset 8
    with pytest.raises(SourceError, match=r"bad\.txt .*0xE9 at offset 8") as caught:
        read(path)
    assert "--encoding" in str(caught.value)
    assert "--encoding-errors replace" in str(caught.value)
    assert read(path, encoding_errors="replace") == "aé€bc\ufffdd\n"
    assert read(path, encoding_errors="ignore") == "aé€bcd\n"


def test_text_cut_inside_a_character_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes("a€".encode()[:-1])
    with pytest.raises(SourceError, match="offset 1"):
        read(path)


@pytest.mark.parametrize("content", [b"ab\0cd", b"\0", b"\x7fELF\0\0\0"])
def test_binary_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"x\.bin looks binary"):
        read(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read(tmp_path / "none.txt")
    with pytest.raises(SourceError, match=r"no file in .* matches '\*\*/\*\.txt'"):
        read(tmp_path)
    with pytest.raises(SourceError, match="neither a file"):
        read("/dev/zero")
    with pytest.raises(SourceError, match="not a valid path"):
        read("a\0b")


@pytest.mark.parametrize("encoding", ["nonsense", "base64", "\0"])
def test_unknown_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(ConfigError, match="--encoding"):
        read(tmp_path / "x", encoding=encoding)


def test_a_pipe_can_be_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b"through the pipe",))
    writer.start()
    (source,) = find_sources([str(path)])
    writer.join()
    assert source.path is None
    for _ in range(2):
        assert "".join(read_text([source], TextConfig())) == "through the pipe\n"


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_whole_text_is_read_by_the_same_rules(
    tmp_path: Path, pack: Callable[[bytes], bytes], encoding: str
) -> None:
    path = tmp_path / "x"
    path.write_bytes(pack("grüße\r\nund".encode(encoding)))
    assert read_whole(str(path), TextConfig()) == "grüße\nund"  # and no newline is added
    assert read_whole(str(path), TextConfig(keep_newlines=True)) == "grüße\r\nund"


def test_a_whole_text_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"caf\xe9")
    assert read_whole(str(tmp_path / "x"), TextConfig(encoding="latin-1")) == "café"
    with pytest.raises(SourceError, match="not valid utf-8"):
        read_whole(str(tmp_path / "x"), TextConfig())
    with pytest.raises(SourceError, match="is a folder"):
        read_whole(str(tmp_path), TextConfig())
    with pytest.raises(ConfigError, match="--encoding"):
        read_whole(str(tmp_path / "x"), TextConfig(encoding="nonsense"))


@given(st.text("aBΣİ\r\n"))
def test_a_text_in_memory_is_normalized_as_a_file_is(text: str) -> None:
    as_file = io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True)
    assert normalize(text, TextConfig()) == as_file
    assert normalize(text, TextConfig(keep_newlines=True)) == text
    folded = text.replace("B", "b").replace("Σ", "σ")  # each by itself: no final sigma
    assert normalize(text, TextConfig(keep_newlines=True, lowercase=True)) == folded


def test_a_text_in_memory_on_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text is copied to a temporary file; /dev/full is a disk without space."""
    full = functools.partial(open, "/dev/full", "wb")
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(SourceError, match="cannot copy the text: No space left"):
        source_from_text("The light", TextConfig())


def test_a_text_is_called_by_the_name_of_its_argument() -> None:
    source = source_from_text("", TextConfig(), "val_text")
    with pytest.raises(CorpusError, match="no text in val_text"):
        load_corpus([source], TextConfig())
