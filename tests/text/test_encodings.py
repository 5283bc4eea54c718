"""Texts in other encodings: the error suggests those that fit."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.reading import read_text
from charlstm.text.sources import find_sources
from tests.text.test_documents import noticed

WINDOWS = "“It’s naïve” – she said …\n".encode("cp1252")


def test_windows_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"the light is low\n" * 9 + WINDOWS)
    with pytest.raises(SourceError, match=r"--encoding: cp1252 fits") as caught:
        noticed(tmp_path)
    assert "latin-1" not in str(caught.value)
    assert noticed(tmp_path, encoding="cp1252") == []
    for encoding in ("latin-1", "L1", "iso8859-15"):
        (line,) = noticed(tmp_path, encoding=encoding)
        assert "U+0093" in line
        assert "--encoding cp1252" in line
    (line,) = noticed(tmp_path, encoding="latin-1", min_count=2)  # the controls are rare
    assert "--encoding cp1252" in line


@pytest.mark.parametrize(
    ("encoding", "text", "right"),
    [
        ("shift_jis", "漢字かな交じり文\n" * 3, "shift_jis"),
        ("gb18030", "今天天气很好,我们去公园。\n" * 3, "gb18030"),
        ("cp1252", "café\n", "cp1252"),
    ],
)
def test_encodings_are_suggested_where_they_fit(
    tmp_path: Path, encoding: str, text: str, right: str
) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.raises(SourceError) as caught:
        noticed(tmp_path)
    assert right in str(caught.value).splitlines()[1]


def test_bytes_that_fit_nothing_are_given_no_encoding(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x01\x02\xff\xfe\x81\x03" * 9)
    with pytest.raises(SourceError, match="if it is a text") as caught:
        noticed(tmp_path)
    assert "fits" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp1251"])
def test_utf_8_in_another_encoding_is_noticed(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("ROMÉO: où es-tu\n".encode())
    (line,) = noticed(tmp_path, encoding=encoding, encoding_errors="replace")
    assert "valid UTF-8" in line
    (tmp_path / "a.txt").write_bytes(b"ROMEO\n")
    assert noticed(tmp_path, encoding=encoding) == []


def test_controls_in_utf_8_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("it\x92s\n".encode())
    (line,) = noticed(tmp_path)
    assert "U+0092" in line
    assert "cp1252" not in line


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "ascii", "utf-7", "shift_jis", "cp1252"])
def test_the_error_for_another_encoding_says_that_a_text_is_utf_8(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"the light is low\n" * 9 + "“Où es-tu, Á?” – «ROMÉO»\n".encode() * 9)
    with pytest.raises(SourceError) as caught:
        list(read_text(find_sources([str(path)]), TextConfig(encoding=encoding)))
    assert "UTF-8: omit --encoding" in str(caught.value)
    assert "fits" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1", "cp1252"])
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
def test_utf_8_that_is_misread_without_an_error_is_noticed(
    tmp_path: Path, encoding: str, mark: bytes
) -> None:
    path, wide = tmp_path / "a.txt", encoding.startswith("utf-16")
    path.write_bytes(mark + b"the light is low\n\n" * 9)
    # A mark decides between UTFs; without one, ASCII is the same in 8-bit encodings.
    assert len(noticed(tmp_path, encoding=encoding)) == (wide != bool(mark))
    if wide:
        path.write_bytes("the light is low\n".encode("utf-16"))
        assert noticed(tmp_path, encoding=encoding) == []
        path.write_bytes("the light is low\n".encode(encoding))
        assert noticed(tmp_path, encoding=encoding) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_byte_order_mark_that_another_encoding_ignores_is_named(
    tmp_path: Path, encoding: str
) -> None:
    (tmp_path / "a.txt").write_bytes("the light is low\n".encode(encoding))
    with pytest.raises(SourceError, match=rf"byte order mark of {encoding}-le\.\nOmit --encoding"):
        noticed(tmp_path, encoding="cp1252")


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Свет низок, и море далеко.\n"),
        ("koi8-r", "Свет низок, и море далеко.\n"),
        ("cp1252", "“C’est très naïf” – dit-elle, à l’été…\n"),
    ],
)
def test_the_likeliest_encoding_is_suggested_first(
    tmp_path: Path, encoding: str, text: str
) -> None:
    (tmp_path / "a.txt").write_bytes(text.encode(encoding) * 3)
    with pytest.raises(SourceError, match=f"--encoding: {encoding} fits"):
        noticed(tmp_path)
