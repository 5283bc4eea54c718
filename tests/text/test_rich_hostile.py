"""Documents that are damaged or hostile are refused, and large ones read in bounded memory."""

from __future__ import annotations

import gzip
import lzma
import sys
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.errors import SourceError
from charlstm.text.rich.html import declared_encoding
from tests.conftest import peak_memory
from tests.text.rich_files import epub, open_document, paragraph, read, word, zipped

pytest.importorskip("lxml", reason="the extra `documents` is not installed")


LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "word, entities": (lambda: word(paragraph("&b;"), prolog=LAUGHS), "document type"),
    "word, external": (lambda: word(paragraph("&a;"), prolog=EXTERNAL), "document type"),
    "word, undeclared": (lambda: word(paragraph("&a;")), "damaged"),
    "word, cut": (lambda: word(paragraph("x"))[:-40], "incomplete"),
    "word, no XML": (lambda: zipped({"_rels/.rels": "<x/>", "word/document.xml": "PK"}), "damaged"),
    "word, empty part": (lambda: zipped({"_rels/.rels": "<x/>", "word/document.xml": ""}), ""),
    "word, missing": (lambda: zipped({"_rels/.rels": "<x/>", "word/a.xml": "<x/>"}), "missing"),
    "word, two roots": (lambda: word(paragraph("x"), more="<y/>"), "damaged"),
    "word, deep": (lambda: word("<w:p>" * 5000), "damaged"),
    "word, bomb": (lambda: word(paragraph("x" * 1000) * 3000), "far more"),
    "word, long text": (lambda: word("<w:p w:a='" + "x" * (11 << 20) + "'/>"), "damaged|far more"),
    "open, entities": (lambda: open_document("&b;", prolog=LAUGHS), "document type"),
    "open, password": (
        lambda: open_document("", manifest="<manifest><encryption-data/></manifest>"), "password",
    ),
    "epub, entities": (lambda: epub({"a": "<p>x"}, prolog=LAUGHS), "entities"),
    "epub, external": (lambda: epub({"a": "<p>x"}, prolog=EXTERNAL), "entities"),
    "epub, bomb": (lambda: epub({"a": "<p>x</p>" * 400_000}), "far more"),
    "epub, not UTF-8": (lambda: epub({"a": b"<p>caf\xe9"}), "not valid utf-8"),
    "epub, no spine": (
        lambda: zipped({"META-INF/container.xml": "<x/>"}, mimetype="application/epub+zip"),
        "rootfile",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "words"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_and_damaged_documents_are_refused(
    tmp_path: Path, make: Callable[[], bytes], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charlstm.text.zips._LEAST_LIMIT", 1 << 20)  # for smaller bombs
    if not words:
        assert read(tmp_path, make()) == ""
        return
    with pytest.raises(SourceError, match=words) as caught:
        read(tmp_path, make())
    first, second = str(caught.value).splitlines()
    assert "but cannot be read" in first
    assert "pandoc" in second
    assert "root:" not in str(caught.value)


def test_entities_of_a_page_are_not_replaced(tmp_path: Path) -> None:
    page = EXTERNAL.replace("x [", "html [") + "<p>&a;</p>"
    assert "root:" not in read(tmp_path, page.encode())
    assert read(tmp_path, ("<html>" + "<b>" * 1900 + "x").encode()) == "x\n"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"<html>" + b"<div>" * 200_000 + b"</span>" * 200_000, "nested"),
        (lambda: word(f"<n:b xmlns:n='{'y' * 60_000}'>{'<n:a/>' * 90_000}</n:b>"), "1,000 char"),
        (lambda: zipped({"_rels/.rels": "<x/>", "word/document.xml": b" " * (90 << 20)},
                        method=zipfile.ZIP_BZIP2), "compression"),
        (lambda: epub({"a": "<p>x"}, more={"OPS/book.opf": f"<a>{'<b/>' * 1_300_000}</a>"}),
         "too large"),
    ],
    ids=["deep page", "long names", "bzip2", "large tree"],
)  # fmt: skip
def test_small_files_do_not_take_long_or_much_memory(
    tmp_path: Path, make: Callable[[], bytes], words: str
) -> None:
    data = make()
    begun = time.process_time()
    with pytest.raises(SourceError, match=words):
        read(tmp_path, data)
    assert time.process_time() - begun < 5  # without limits: minutes


def test_the_search_for_an_encoding_is_quick() -> None:
    begun = time.process_time()
    for page in (b"<meta charset=" + b" " * 65_000, b"<meta " * 10_900):
        assert declared_encoding(page) == ""
    assert time.process_time() - begun < 2  # without limits: minutes
    for name in (b"punycode", b"idna", b"unicode_escape", b"raw_unicode_escape"):
        assert declared_encoding(b"<meta charset='" + name + b"'>") == ""
    assert declared_encoding(b"<meta charset='utf-32'>") == "utf-8"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4))))
def test_a_damaged_document_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, which: int, changes: list[tuple[int, bytes]]
) -> None:
    made = word(paragraph("x")), open_document("<text:p>x</text:p>"), epub({"a": "<p>x"})
    data = bytearray(made[which])
    for from_end, new in changes:
        at = max(0, len(data) - from_end)
        data[at : at + len(new)] = new
    with suppress(SourceError):
        read(tmp_path_factory.mktemp("damaged"), bytes(data))


def test_a_negative_position_in_a_directory_is_an_error(tmp_path: Path) -> None:
    data = bytearray(word(paragraph("x")))
    data[-6:-2] = (len(data) + 999).to_bytes(4, "little")  # where the directory begins
    with pytest.raises(SourceError, match=r"damaged|ZIP archive"):
        read(tmp_path, bytes(data))


def test_a_packed_document_is_to_be_unpacked_first(tmp_path: Path) -> None:
    for pack, tool in ((gzip.compress, "gunzip"), (lzma.compress, "unxz")):
        with pytest.raises(SourceError, match=f"Word.*\n.*{tool}"):
            read(tmp_path, pack(word(paragraph("x"))))


def test_memory_is_bounded(tmp_path: Path) -> None:
    with (tmp_path / "x.html").open("wb") as file:
        file.write(b"<html><body>")
        for _ in range(400):
            file.write(b"<p>the light is low, and the sea is far &amp; wide</p>\n" * 400)
    (tmp_path / "y.docx").write_bytes(word(paragraph("the light is low") * 50_000))
    (tmp_path / "small.html").write_text("<html><body><p>the light</p>")
    script = (
        "import sys; from charlstm.config import TextConfig; "
        "from charlstm.text.reading import read_text; "
        "from charlstm.text.sources import find_sources; "
        "print(sum(map(len, read_text(find_sources(sys.argv[1:]), TextConfig()))))"
    )
    peaks = {}
    for name in ("small.html", "x.html", "y.docx"):
        command = [sys.executable, "-c", script, tmp_path / name]
        peaks[name], printed = peak_memory(command)
        assert int(printed) > (800_000 if name != "small.html" else 0)
    for name in ("x.html", "y.docx"):
        assert peaks[name] - peaks["small.html"] < 30_000_000, peaks


def test_a_page_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charlstm.text.rich.parsing._MOST_PAGE_CHARS", 1000)
    for data in (b"<!doctype html>" + b"<p>x" * 500, epub({"a": "<p>x" * 500})):
        with pytest.raises(SourceError, match="more than 1,000 characters"):
            read(tmp_path, data)
