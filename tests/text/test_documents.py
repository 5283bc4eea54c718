"""Documents that are no plain text are named; markup and doubtful encodings are noticed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.corpus import load_corpus
from charlstm.text.documents import markup
from charlstm.text.hints import hints
from charlstm.text.reading import read_text
from charlstm.text.sources import find_sources


def zipped(*names: str, mimetype: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype, zipfile.ZIP_STORED)
        for name in names:
            archive.writestr(name, "the light is low " * 20)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 9
        archive.addfile(member, io.BytesIO(b"the light"))
    return buffer.getvalue()


OLE = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + b"\x3e\0\3\0\xfe\xff\x09\0" + bytes(480)


DOCUMENTS = {
    "pdf": (b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", "a PDF", "pdftotext"),
    "binary pdf": (b"%PDF-1.7\r\n%\xe2\xe3\xcf\xd3\r\n12 0 obj\r\0\xff", "a PDF", "pdftotext"),
    "docx": (zipped("[Content_Types].xml", "word/document.xml"), ".docx", "pandoc"),
    "docx, other order": (zipped("_rels/.rels", "word/document.xml"), ".docx", "pandoc"),
    "xlsx": (zipped("[Content_Types].xml", "xl/workbook.xml"), ".xlsx", "libreoffice"),
    "epub": (zipped("OPS/a.xhtml", mimetype="application/epub+zip"), "an EPUB", "pandoc"),
    "odt": (
        zipped("content.xml", mimetype="application/vnd.oasis.opendocument.text"),
        ".odt",
        "pandoc",
    ),
    "zip": (zipped("a.txt", "b.txt"), "a ZIP archive", "Unpack"),
    "doc": (OLE + "WordDocument".encode("utf-16-le"), "(.doc)", "libreoffice"),
    "xls": (OLE + "Workbook".encode("utf-16-le"), ".xls", "libreoffice"),
    "mobi": (b"Novel".ljust(60, b"\0") + b"BOOKMOBI", "Kindle", "ebook-convert"),
    "tar.gz": (tarred(), "a tar archive", "Unpack"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "7z", "Unpack"),
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "an image", "plain-text"),
}


@pytest.mark.parametrize(("content", "name", "advice"), DOCUMENTS.values(), ids=DOCUMENTS)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_documents_are_named(
    tmp_path: Path, content: bytes, name: str, advice: str, encoding: str
) -> None:
    path = tmp_path / "my novel"  # its name says nothing
    path.write_bytes(content)
    for errors in ("strict", "replace"):
        config = TextConfig(encoding=encoding, encoding_errors=errors)
        with pytest.raises(SourceError) as caught:
            list(read_text(find_sources([str(path)]), config))
        first, second = str(caught.value).splitlines()
        assert f"{path} is " in first
        assert name in first
        assert advice in second
        if "{" not in advice and "pandoc" in advice:
            assert f"'{path}'" in second  # quoted for a shell
        assert "utf-16" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["%PDF-1.4 is how a PDF begins.\n", "PK\3\4 begins a ZIP\n", "Rar!\x1a\x07", "GIF89a\n",
     "BOOKMOBI" * 9, "x" * 257 + "ustar", "SQLite format 3\n"],
)  # fmt: skip
def test_texts_may_begin_like_documents(tmp_path: Path, text: str) -> None:
    (tmp_path / "x").write_text(text)
    assert "".join(read_text(find_sources([str(tmp_path / "x")]), TextConfig())).startswith(text)


def test_a_document_in_a_folder_can_be_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the light\n")
    (tmp_path / "b [1].txt").write_bytes(zipped("a"))
    with pytest.raises(SourceError, match="--exclude") as caught:
        list(read_text(find_sources([str(tmp_path)]), TextConfig()))
    assert len(str(caught.value).splitlines()) == 2
    pattern = str(caught.value).split("--exclude '")[1].split("'")[0]
    sources = find_sources([str(tmp_path)], exclude=[pattern])
    assert "".join(read_text(sources, TextConfig())) == "the light\n"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<!DOCTYPE html>\n<html>", "HTML"),
        ("\n<!-- a page --> <!-- -->\n<HTML lang=en>", "HTML"),
        ('<?xml version="1.0"?><html xmlns="x">', "HTML"),
        ("<p>one</p><p>two</p>" * 3, "HTML"),
        ('<?xml version="1.0" encoding="utf-8"?>\n<FictionBook>', "XML"),
        ("{\\rtf1\\ansi", "RTF"),
        ("<html> is the first tag of a page"[1:], ""),
        ("if a < b and b > c: print('<b>')\n" * 9, ""),
        ("<!---->" * 580, ""),
        ("<ROMEO>: a name in brackets\n" * 20, ""),
        ("", ""),
    ],
)
def test_markup_is_known_by_its_beginning(text: str, kind: str) -> None:
    assert markup(text) == kind


def noticed(folder: Path, **options: object) -> list[str]:
    config = TextConfig(**options)  # type: ignore[arg-type]
    sources = find_sources([str(folder)], config.glob)
    return list(hints(sources, load_corpus(sources, config).tokenizer, config))


def test_markup_is_noticed_and_named(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d", "e"):
        (tmp_path / f"{name}.txt").write_text("<html><body>the light</body></html>")
    (tmp_path / "f.txt").write_text("the light")
    (line,) = noticed(tmp_path, html="markup")
    assert "and 2 more are HTML" in line
    assert "pandoc -f html" in line
    assert "f.txt" not in line


PLAIN = b"the light is low, and the sea is far\n" * 20


@pytest.mark.parametrize(
    ("content", "name", "tool"),
    [
        (b"\x28\xb5\x2f\xfd\x04\x58" + bytes(range(1, 250)), "zstd", "unzstd"),
        (b"\x28\xb5\x2f\xfd\x04\x58" + bytes(range(250)), "zstd", "unzstd"),
        (b"\x04\x22\x4d\x18\x64\x40\xa7" + bytes(range(250)), "LZ4", "unlz4"),
        (b"\x1f\x9d\x90" + bytes(range(250)), "compress", "gunzip"),
        (lzma.compress(PLAIN, format=lzma.FORMAT_ALONE), "LZMA", "unlzma"),
        (gzip.compress(gzip.compress(PLAIN, mtime=0), mtime=0), "gzip", "gunzip"),
        (gzip.compress(bz2.compress(PLAIN), mtime=0), "bzip2", "bunzip2"),
        (bz2.compress(lzma.compress(PLAIN)), "xz", "unxz"),
    ],
)
def test_compressed_data_that_is_not_unpacked_is_named(
    tmp_path: Path, content: bytes, name: str, tool: str
) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SourceError) as caught:
        list(read_text(find_sources([str(tmp_path / "x")]), TextConfig()))
    first, second = str(caught.value).splitlines()
    assert name in first
    assert tool in second


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_compressed_files_are_explained(tmp_path: Path, pack: Any) -> None:
    path, data = tmp_path / "x", pack(PLAIN)
    for content, words in (
        (data[:-5], "incomplete"),
        (data[:-30] + b"\x55" * 12 + data[-18:], "damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(SourceError, match=f"x, which begins as .*{words}"):
            list(read_text(find_sources([str(path)]), TextConfig()))
    for junk in (b"more text\n", b"B", b"\0\0\0\0BZ", b"\xfd7zXY" * 9):
        path.write_bytes(data + junk)
        with pytest.raises(SourceError, match="follow the compressed data"):
            list(read_text(find_sources([str(path)]), TextConfig()))


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("padding", [0, 4, 100_000])
def test_concatenated_compressed_data_is_read_whole(
    tmp_path: Path, pack: Any, padding: int
) -> None:
    path = tmp_path / "x"
    path.write_bytes((pack(b"one ") + pack(b"") + bytes(padding) + pack(b"two\n")) + bytes(padding))
    sources = find_sources([str(path)])
    for _ in range(2):
        assert "".join(read_text(sources, TextConfig())) == "one two\n"
    path.write_bytes(pack(PLAIN) + pack(PLAIN)[:-5])
    with pytest.raises(SourceError, match="incomplete"):
        list(read_text(sources, TextConfig()))


def test_a_checkpoint_is_not_called_an_archive_to_unpack(tmp_path: Path) -> None:
    np.savez(tmp_path / "last.npz", meta=np.zeros(3))
    with pytest.raises(SourceError, match=r"checkpoint.*\n.*--resume") as caught:
        list(read_text(find_sources([str(tmp_path / "last.npz")]), TextConfig()))
    assert "Unpack" not in str(caught.value)


def test_a_file_that_is_given_twice_is_noticed(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"the light is low in {name}\n")
    (tmp_path / "c.txt").symlink_to("a.txt")
    config = TextConfig()
    for given, named in (
        ([tmp_path], ""),
        ([tmp_path, tmp_path / "b.txt"], "b.txt is"),
        ([tmp_path / "a.txt", tmp_path / "c.txt"], "c.txt is"),
        ([tmp_path, tmp_path], "a.txt, .*b.txt are"),
    ):
        sources = find_sources(map(str, given))
        lines = list(hints(sources, load_corpus(sources, config).tokenizer, config))
        assert len(lines) == bool(named)
        assert not named or re.search(f"{named} given more than once", lines[0])
