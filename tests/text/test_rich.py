"""Word, OpenDocument, EPUB and HTML files are read as their text."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import SourceError
from charlstm.text.rich.lines import Lines
from tests.text.rich_files import epub, open_document, paragraph, read, word, zipped

pytest.importorskip("lxml", reason="the extra `documents` is not installed")


# --- Word ---


def test_paragraphs_of_word_are_lines(tmp_path: Path) -> None:
    body = (
        '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>One</w:t></w:r></w:p>'
        '<w:p><w:r><w:t xml:space="preserve">two </w:t></w:r><w:hyperlink><w:r><w:t>thr</w:t></w:r>'
        "</w:hyperlink><w:r><w:t>ee  &amp; &lt;four&gt;</w:t><w:tab/><w:t>5</w:t><w:br/>"
        '<w:t>6</w:t><w:br w:type="page"/><w:t>7-</w:t><w:noBreakHyphen/></w:r></w:p>'
        + paragraph("") * 3
        + "<w:tbl><w:tr>" + "".join(f"<w:tc>{paragraph(t)}</w:tc>" for t in ("a", "", "b"))
        + "</w:tr></w:tbl>"
        + paragraph("caf\u00e9 \u4e2d")
    )  # fmt: skip
    assert read(tmp_path, word(body)) == (
        "One\ntwo three  & <four>\t5\n6\n7--\n\na\nb\ncaf\u00e9 \u4e2d\n"
    )


def test_what_is_not_text_in_word_is_omitted(tmp_path: Path) -> None:
    body = (
        "<w:p><w:r><w:instrText>PAGE</w:instrText></w:r><w:del><w:r><w:delText>old</w:delText>"
        "</w:r></w:del><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:moveFrom><w:r><w:t>moved</w:t>"
        "</w:r></w:moveFrom></w:p>"
        "<w:p><w:r><w:t>before</w:t></w:r><mc:AlternateContent><mc:Choice><w:txbxContent>"
        + paragraph("box")
        + "</w:txbxContent></mc:Choice><mc:Fallback><w:txbxContent>"
        + paragraph("box")
        + "</w:txbxContent></mc:Fallback></mc:AlternateContent><w:r><w:t>after</w:t></w:r></w:p>"
        "<w:sectPr><x>junk</x></w:sectPr>"
    )
    assert read(tmp_path, word(body)) == "new\nbefore\nbox\nafter\n"


@pytest.mark.parametrize("main", ["word/document.xml", "word/document2.xml", "other/main.xml"])
def test_footnotes_of_word_follow_the_body(tmp_path: Path, main: str) -> None:
    notes = (
        f'<w:footnote w:type="separator" w:id="0">{paragraph("")}</w:footnote>'
        f'<w:footnote w:id="1">{paragraph(" a note")}</w:footnote>'
    )
    data = word(paragraph("text"), notes=notes, main=main)
    if main.startswith("word"):
        assert read(tmp_path, data) == "text\n a note\n"
    else:  # found by its content types only; no program writes it
        with pytest.raises(SourceError, match="Office file"):
            read(tmp_path, data)


def test_word_is_recognised_behind_large_parts(tmp_path: Path) -> None:
    import random

    noise = random.Random(5).randbytes(100_000)
    whole = zipped({"docProps/thumbnail.jpeg": noise, **unzipped(word(paragraph("text")))})
    assert read(tmp_path, whole) == "text\n"
    book = {"a.jpeg": noise, "mimetype": b"application/epub+zip", **unzipped(epub({"a": "<p>x"}))}
    assert read(tmp_path, zipped(book)) == "x\n"


def unzipped(data: bytes) -> dict[str, bytes]:
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# --- OpenDocument ---


def test_paragraphs_of_open_document_are_lines(tmp_path: Path) -> None:
    body = (
        "<text:tracked-changes><text:p>deleted</text:p></text:tracked-changes>"
        '<text:h>One</text:h><text:p>two\n  <text:span>thr</text:span>ee<text:s text:c="3"/>4'
        "<text:tab/>5<text:line-break/>6<office:annotation><text:p>comment</text:p>"
        "</office:annotation></text:p><text:p/><text:p/>"
        "<text:list><text:list-item><text:p>item</text:p></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        "<table:table-cell><text:p/></table:table-cell><table:table-cell><text:p>b</text:p>"
        "</table:table-cell></table:table-row></table:table>"
        "<text:p>x<text:note><text:note-citation>1</text:note-citation><text:note-body>"
        "<text:p>a note</text:p></text:note-body></text:note>y</text:p>"
        "<draw:frame><svg:title>picture</svg:title></draw:frame>"
    )
    assert read(tmp_path, open_document(body)) == (
        "One\ntwo three   4\t5\n6\n\nitem\na\nb\nxy\na note\n"
    )


def test_spaces_of_open_document_are_no_bomb(tmp_path: Path) -> None:
    body = '<text:p>a<text:s text:c="999999999"/>b<text:s text:c="x"/>c</text:p>'
    assert len(read(tmp_path, open_document(body))) < 200


# --- EPUB ---


PAGE = (
    '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title></head>'
)


def test_chapters_come_in_the_order_of_reading(tmp_path: Path) -> None:
    chapters: dict[str, str | bytes] = {
        "b c.xhtml": PAGE + "<body><h1>Two</h1><p>b&nbsp;c</p></body></html>",
        "nav.xhtml": PAGE + "<body>contents</body></html>",
        "a.xhtml": b"\xff\xfe"
        + (PAGE + "<body><p>one \u4e2d</p></body></html>").encode("utf-16-le"),
    }
    data = epub(chapters, spine=("a.xhtml", "nav.xhtml", "b c.xhtml", "a.xhtml", "missing"))
    assert read(tmp_path, data) == "one \u4e2d\nTwo\nb\u00a0c\n"


def test_an_encrypted_book_is_refused(tmp_path: Path) -> None:
    cipher = '<encryption><CipherReference URI="OPS/a.xhtml"/></encryption>'
    fonts = '<encryption><CipherReference URI="OPS/font.otf"/></encryption>'
    chapters = {"a.xhtml": "<p>text</p>"}
    assert read(tmp_path, epub(chapters, more={"META-INF/encryption.xml": fonts})) == "text\n"
    with pytest.raises(SourceError, match="DRM"):
        read(tmp_path, epub(chapters, more={"META-INF/encryption.xml": cipher}))


# --- HTML ---


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>one\n  two<p>three", "one two\nthree\n"),
        ("<title>t</title><style>p {}</style><script>if (a<b) '</p>'</script>x", "x\n"),
        ("<h1>a</h1>b<div>c</div>d", "a\nb\nc\nd\n"),
        ("a<br>b<br><br><br>c<br>", "a\nb\n\nc\n"),
        ("<ul><li>a<li> b </ul><ol><li>c</ol>", "a\nb\nc\n"),
        ("<table><tr><td>a<td>b<tr><td><p>c</p><p>d</p></table>", "a\nb\nc\nd\n"),
        ("x <b>y </b> z<i> .</i>", "x y z .\n"),
        ("<pre>\n  a\n\n b</pre>c", "  a\n\n b\nc\n"),
        ("&lt;p&gt; &amp;amp; &eacute;&#x4e2d;&nbsp;", "<p> &amp; \u00e9\u4e2d\u00a0\n"),
        ("<p>a</p><!-- <p>b</p> --><svg><text>c</text></svg><noscript>d</noscript>e", "a\ne\n"),
        ("<ruby>\u6f22<rt>kan</rt></ruby>", "\u6f22\n"),
        ("<p/>a<script src=x/></script><div/>b", "a\nb\n"),
        ("\r\na\r\nb", "a b\n"),
    ],
)
def test_html_is_read_as_its_text(tmp_path: Path, page: str, text: str) -> None:
    assert read(tmp_path, f"<!doctype html>{page}".encode()) == text
    assert read(tmp_path, f"<html><head></head><body>{page}</body></html>".encode()) == text
    assert read(tmp_path, f"<i></i>{page}".encode(), "page.HTM") == text


def test_html_is_recognised_by_content_or_name(tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><p>a"
    assert read(tmp_path, page, "x.txt") == "a\n"
    assert read(tmp_path, gzip.compress(page), "x.html.gz") == "a\n"
    assert read(tmp_path, page, html="markup") == page.decode() + "\n"
    assert read(tmp_path, b"<b>a</b> < b", "x.txt") == "<b>a</b> < b\n"
    assert read(tmp_path, b"a > b", "x.html") == "a > b\n"
    assert read(tmp_path, b"\xff\xfe" + "<html>\u4e2d".encode("utf-16-le")) == "\u4e2d\n"


@pytest.mark.parametrize(
    ("declared", "encoding"),
    [("windows-1251", "cp1251"), ("iso-8859-1", "cp1252"), ("Shift_JIS", "cp932"),
     ("no-such-name", "utf-8"), ("UTF-16", "utf-8"), ("rot13", "utf-8"), ("", "utf-8")],
)  # fmt: skip
def test_the_declared_encoding_is_used(tmp_path: Path, declared: str, encoding: str) -> None:
    text = {"cp1251": "\u0434\u0430", "cp1252": "\u201ccaf\u00e9\u201d"}.get(encoding, "\u4e2d")
    head = f'<html><meta http-equiv="Content-Type" content="text/html; charset={declared}">'
    assert read(tmp_path, (head + text).encode(encoding)) == text + "\n"
    if encoding == "cp1251":  # another one that is given wins
        assert read(tmp_path, (head + text).encode("koi8-r"), encoding="koi8-r") == text + "\n"


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40))
def test_any_text_survives_html(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    import html

    folder = tmp_path_factory.getbasetemp()
    expected = re.sub("[ \t\n\r\f]+", " ", text).strip(" ")
    page = f"<!doctype html><p>{html.escape(text)}</p>".encode()
    assert read(folder, page) == (expected + "\n" if expected else "")


@given(st.lists(st.one_of(st.sampled_from(["line", "break"]), st.text("ab \n", max_size=3))))
def test_lines_are_well_formed(steps: list[str]) -> None:
    lines = Lines()
    for step in steps:
        if step == "line":
            lines.end_line()
        elif step == "break":
            lines.break_line()
        else:
            lines.add(step)
    lines.end_line()
    text = lines.take()
    assert not text.startswith(("\n", " "))
    assert "\n\n\n" not in text
    assert "  " not in text
    assert text == "" or (text.endswith("\n") and not text.endswith("\n\n"))
    words = [step for step in steps if step not in ("line", "break")]
    assert re.sub(r"\s", "", text) == re.sub(r"\s", "", "".join(words))
