"""Recognition of documents and markup by their first bytes.

`charlstm.text.rich` reads Word, OpenDocument, EPUB and HTML files. Any other document (PDF, ...)
raises an error that names its kind and a command to convert it to plain text. Other markup (XML,
RTF) is valid training text, and is only reported.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: with its article, such as "a PDF document".
        command: converts it to plain text, from `{file}` to `{text}`; empty if there is none.
        advice: what to do without a command.
    """

    name: str
    command: str = ""
    advice: str = "Give a plain-text file."

    def advice_for(self, file: str) -> str:
        """One line of advice: how to get plain text from that file."""
        if not self.command:
            return self.advice
        text = shlex.quote(Path(file).stem + ".txt")
        command = self.command.format(file=shlex.quote(file), text=text)
        return f"Save it as plain text (UTF-8) first, for example: {command}"


_PANDOC = "pandoc -t plain -o {text} {file}"
_OFFICE = "libreoffice --headless --convert-to txt:Text {file}"
_UNPACK = "Unpack it, and give the plain-text files in it."
# A local header: the version that unpacks it is 10.0 at most, and its upper byte 0.
_ZIP = rb"PK\x03\x04[\x00-\x64]\x00"
_OLE = rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00{16}"
EPUB = Kind("an EPUB book", _PANDOC)
OPEN_DOCUMENT = Kind("an OpenDocument text (.odt)", _PANDOC)
WORD = Kind("a Word document (.docx)", _PANDOC)
_OFFICE_FILE = Kind("an Office file (.xlsx, .pptx, ...)", _OFFICE)
_ZIP_ARCHIVE = Kind("a ZIP archive", advice=_UNPACK)
_DOCUMENTS = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        # All others match a NUL byte, which text does not contain.
        (rb"%PDF-[12]\.\d\s.*?\b\d+ \d+ obj\b", Kind("a PDF document", "pdftotext {file} {text}")),
        # The first entry is an uncompressed `mimetype`.
        (_ZIP + rb".{24}mimetypeapplication/epub\+zip", EPUB),
        (
            _ZIP + rb".{24}mimetypeapplication/vnd\.oasis\.opendocument\.text",
            OPEN_DOCUMENT,
        ),
        (
            _ZIP + rb"(?=.*?(\[Content_Types\]\.xml|_rels/\.rels)).*?word/",
            WORD,
        ),
        (
            _ZIP + rb".*?(\[Content_Types\]\.xml|_rels/\.rels)",
            _OFFICE_FILE,
        ),
        (
            _ZIP + rb".{24}[^\0]{1,100}\.npy",
            Kind(
                "a NumPy archive (.npz), such as a checkpoint",
                advice="To train a checkpoint's run further: charlstm train --resume RUN",
            ),
        ),
        (_ZIP, _ZIP_ARCHIVE),
        (
            _OLE + rb".*?E\0n\0c\0r\0y\0p\0t\0e\0d\0P\0a\0c\0k\0a\0g\0e\0",
            Kind("an Office file with a password", advice="Save it without its password."),
        ),
        (_OLE + rb".*?W\0o\0r\0d\0D\0o\0c\0", Kind("an old Word document (.doc)", _OFFICE)),
        (_OLE, Kind("an old Office file (.doc, .xls, .ppt)", _OFFICE)),
        (rb"(?=.{0,59}\0).{60}BOOKMOBI", Kind("a Kindle book", "ebook-convert {file} {text}")),
        (rb"(?=.{0,256}\0).{257}ustar", Kind("a tar archive", advice=_UNPACK)),
        (rb"7z\xbc\xaf\x27\x1c\0", Kind("a 7z archive", advice=_UNPACK)),
        (rb"Rar!\x1a\x07(\x01)?\0", Kind("a RAR archive", advice=_UNPACK)),
        (rb"\x89PNG\r\n\x1a\n\0|\xff\xd8\xff.{4,20}\0", Kind("an image")),
        (rb"SQLite format 3\0", Kind("an SQLite database")),
    )
)


def document(head: bytes) -> Kind | None:
    """The kind of document that begins with these bytes; None for text and unknown data.

    Args:
        head: the first bytes; tens of thousands are needed to distinguish archives.
    """
    return next((kind for pattern, kind in _DOCUMENTS if pattern.match(head)), None)


def is_archive(kind: Kind) -> bool:
    """Whether files of a kind may be other documents, whose first bytes do not show it."""
    return kind in (_OFFICE_FILE, _ZIP_ARCHIVE)


_COMPRESSED = (
    (re.compile(rb"\x28\xb5\x2f\xfd"), "zstd", "unzstd"),
    (re.compile(rb"\x04\x22\x4d\x18"), "LZ4", "unlz4"),
    (re.compile(rb"\x1f\x9d[\x80-\x9f]"), "compress", "gunzip"),
    (re.compile(rb"\x5d\0\0[\x00-\x80]{2}"), "LZMA", "unlzma"),
    (re.compile(rb"\x1f\x8b\x08"), "gzip", "gunzip"),
    (re.compile(rb"BZh[1-9]1AY&SY"), "bzip2", "bunzip2"),
    (re.compile(rb"\xfd7zXZ\0"), "xz", "unxz"),
)


def compressed(head: bytes) -> tuple[str, str] | None:
    """The format of compressed data and the program that unpacks it; None for other data.

    Only for data that cannot be decoded as text, as these signatures are short.

    Args:
        head: the first bytes.
    """
    return next(((name, tool) for pattern, name, tool in _COMPRESSED if pattern.match(head)), None)


_BEFORE = r"\s*((<!--((?!-->).)*-->|<\?xml[^>]*>)\s*)*"  # comments and the XML declaration
_MARKUP = (
    ("XML", re.compile(r"\s*<\?xml\s(?!.*<html\b)", re.IGNORECASE | re.DOTALL)),
    ("RTF", re.compile(r"\s*\{\\rtf\d")),
    ("HTML", re.compile(_BEFORE + r"<(!doctype\s+html|html|head|body)\b", re.I | re.DOTALL)),
)
_TAG = re.compile(
    r"</?(a|b|i|p|br|div|em|h[1-6]|li|span|strong|table|td|tr|ul)(\s[^<>]*)?/?>", re.I
)
_MANY_TAGS = 10
_PANDOC_NAMES = {"HTML": "html", "RTF": "rtf"}


def markup(head: str, *, fragments: bool = True) -> str:
    """`XML`, `RTF` or `HTML` if a text begins with such markup; otherwise empty.

    Args:
        head: the first few thousand characters.
        fragments: whether text with many tags counts as HTML.
    """
    found = next((name for name, pattern in _MARKUP if pattern.match(head)), "")
    if not fragments:
        return found
    return found or ("HTML" if len(_TAG.findall(head)) >= _MANY_TAGS else "")


def markup_command(kind: str, file: str) -> str:
    """A command that converts such a file to plain text; empty if there is none."""
    if kind not in _PANDOC_NAMES:
        return ""
    text = shlex.quote(Path(file).stem + ".txt")
    return f"pandoc -f {_PANDOC_NAMES[kind]} -t plain -o {text} {shlex.quote(file)}"
