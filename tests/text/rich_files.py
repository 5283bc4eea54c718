"""Word, OpenDocument and EPUB files, written as their standards say."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from charlstm.config import TextConfig
from charlstm.text.reading import read_text
from charlstm.text.sources import find_sources

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_R = "http://schemas.openxmlformats.org/package/2006/relationships"
_O = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def zipped(
    parts: Mapping[str, str | bytes], *, mimetype: str = "", method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """A ZIP archive; a mimetype is its first entry, not compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype, zipfile.ZIP_STORED)
        for name, data in parts.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def paragraph(text: str) -> str:
    """A paragraph of Word's, with one run."""
    return f'<w:p><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>' if text else "<w:p/>"


def word(
    body: str, *, notes: str = "", main: str = "word/document.xml", prolog: str = "", more: str = ""
) -> bytes:
    """A Word document.

    Args:
        body: the XML of its body.
        notes: the XML of its footnotes.
        main: the name of its main part.
        prolog: what stands before the root element.
        more: XML after the body's root element.
    """
    rels = (
        '<Relationships xmlns="{}"><Relationship Id="r1" Type="{}/{}" Target="{}"/></Relationships>'
    )
    folder, _, name = main.rpartition("/")
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": rels.format(_R, _O, "officeDocument", main),
        main: f'{prolog}<w:document xmlns:w="{_W}" xmlns:mc="urn:mc"><w:body>{body}</w:body>'
        f"</w:document>{more}",
        "docProps/core.xml": "<title>not text</title>",
    }
    if notes:
        parts[f"{folder}/_rels/{name}.rels"] = rels.format(_R, _O, "footnotes", "footnotes.xml")
        parts[f"{folder}/footnotes.xml"] = f'<w:footnotes xmlns:w="{_W}">{notes}</w:footnotes>'
    return zipped(parts)


def open_document(body: str, *, prolog: str = "", manifest: str = "<manifest/>") -> bytes:
    """An OpenDocument text with the XML of its body."""
    names = " ".join(
        f'xmlns:{short}="{_ODF}:{long}:1.0"'
        for short, long in (
            ("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"),
            ("svg", "svg-compatible"),
        )
    )  # fmt: skip
    content = (
        f"{prolog}<office:document-content {names}><office:body><office:text>{body}</office:text>"
        "</office:body></office:document-content>"
    )
    parts = {"content.xml": content, "META-INF/manifest.xml": manifest, "meta.xml": "<not-text/>"}
    return zipped(parts, mimetype="application/vnd.oasis.opendocument.text")


def epub(
    chapters: Mapping[str, str | bytes],
    *,
    spine: tuple[str, ...] = (),
    more: Mapping[str, str | bytes] | None = None,
    prolog: str = "",
) -> bytes:
    """A book.

    Args:
        chapters: pages by name, in the folder `OPS`.
        spine: the order of reading; empty: that of `chapters`.
        more: other parts.
        prolog: what stands before the root element of the package document.
    """
    items = "".join(
        f'<item id="{name}" href="{name.replace(" ", "%20")}" media-type="application/xhtml+xml"'
        f"{' properties=' + chr(34) + 'nav' + chr(34) if name == 'nav.xhtml' else ''}/>"
        for name in chapters
    )
    order = "".join(f'<itemref idref="{name}"/>' for name in spine or chapters)
    parts: dict[str, str | bytes] = {
        "META-INF/container.xml": f'<container xmlns="{_ODF}:container">'
        '<rootfiles><rootfile full-path="OPS/book.opf"/></rootfiles></container>',
        "OPS/book.opf": f'{prolog}<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}'
        f'<item id="css" href="a.css" media-type="text/css"/></manifest>'
        f'<spine><itemref idref="css"/>{order}</spine></package>',
        **{f"OPS/{name}": page for name, page in chapters.items()},
        **(more or {}),
    }
    return zipped(parts, mimetype="application/epub+zip")


def read(folder: Path, data: bytes, name: str = "file", **options: Any) -> str:
    """The text of a file with that content."""
    (folder / name).write_bytes(data)
    return "".join(read_text(find_sources([str(folder / name)]), TextConfig(**options)))
