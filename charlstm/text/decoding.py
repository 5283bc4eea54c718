"""Detection of compression and encoding, and the errors of decoding.

A signature is checked in all bytes that its format fixes, so that a text that happens to begin with
the same letters is still read as text.
"""

from __future__ import annotations

import binascii
import codecs
import gzip
import re
from typing import IO, cast

from charlstm.errors import ConfigError, SourceError
from charlstm.text.documents import compressed, document
from charlstm.text.unpacking import open_bzip2, open_xz

HEAD_BYTES = 1 << 16
"""Bytes of a source that are examined before decoding."""

UNPACKERS = {"gzip": "gunzip", "bzip2": "bunzip2", "xz": "unxz"}
"""Programs that unpack a file, by the format from `unpack`."""

# The magic number of a block, or in an empty file of the end, follows the first four bytes.
_BZIP2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")

# The 4-byte marks come first: UTF-32's little-endian mark begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

# Python counts these as text encodings, but they are for host names and string literals.
_NOT_FOR_FILES = ("idna", "punycode", "unicode-escape", "raw-unicode-escape")

# Candidates for bytes that are not UTF-8, most common first.
_SUGGESTED = ("cp1252", "shift_jis", "gb18030", "euc_kr", "cp1251", "koi8-r")

# Western words have single bytes above ASCII; words of other scripts consist of them.
_WORD_ABOVE_ASCII = re.compile(rb"[\x80-\xff]{3,}")
_ABOVE_ASCII = re.compile(rb"[\x80-\xff]")

_CONTINUATIONS = bytes(range(0x80, 0xC0))  # a character's bytes after the first, in UTF-8
_LOOKS_LIKE_UTF_8 = "It looks like UTF-8: omit --encoding."

# Control characters that do not occur in text (tab, line endings, form feed and escape do).
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def encoding_named(name: str) -> str:
    """The canonical name of an encoding.

    Raises:
        ConfigError: the encoding is unknown, or not for text files.
    """
    try:
        "".encode(name)
        found = codecs.lookup(name).name.replace("_", "-")
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"--encoding {name!r} is unknown; try utf-8, utf-16, cp1252, latin-1, ..."
        ) from error
    if found in _NOT_FOR_FILES:
        raise ConfigError(
            f"--encoding {name!r} is not an encoding of text files; try utf-8, utf-16, cp1252, ..."
        )
    # `detect` removes the mark; Python's utf-8-sig would also drop an incomplete one.
    return "utf-8" if found == "utf-8-sig" else found


def unpack(raw: IO[bytes]) -> tuple[IO[bytes], str]:
    """The uncompressed stream and the format's name; the name is "" if it is not compressed."""
    head = raw.read(64)
    raw.seek(0)
    if head.startswith(b"\x1f\x8b\x08") and len(head) > 3 and not head[3] & 0xE0:
        return cast(IO[bytes], gzip.open(raw, "rb")), "gzip"
    if _BZIP2.match(head) and not head.isascii():  # a text may contain that signature
        return open_bzip2(raw), "bzip2"
    flags = head[6:8]
    if head.startswith(b"\xfd7zXZ\0") and head[8:12] == binascii.crc32(flags).to_bytes(4, "little"):
        return open_xz(raw), "xz"
    return raw, ""


def detect(head: bytes, encoding: str, name: str) -> tuple[str, int]:
    """The encoding of a source, from its first bytes.

    Args:
        head: the first bytes, uncompressed.
        encoding: the requested encoding, from `encoding_named`.
        name: the source's name, for errors.

    Returns:
        The encoding, and the length of the byte order mark.

    Raises:
        SourceError: the source is not text, or its byte order is unknown.
    """
    if (kind := document(head)) is not None:
        raise SourceError(f"{name} is {kind.name}, not plain text.\n{kind.advice_for(name)}")
    length = 0
    # Not for an explicit 8-bit encoding, in which the mark's bytes are ordinary characters.
    if encoding.startswith("utf-"):
        for mark, marked_encoding in _BYTE_ORDER_MARKS:
            if head.startswith(mark):
                encoding, length = marked_encoding, len(mark)
                break
    if head and encoding in ("utf-16", "utf-32"):
        if _as_text(head, "utf-8"):
            raise SourceError(f"{name} is not {encoding} text.\n{_LOOKS_LIKE_UTF_8}")
        likely = _byte_order(head, encoding)
        raise SourceError(
            f"{name} has no byte order mark, which --encoding {encoding} requires.\n"
            f"Give --encoding {encoding}-le or {encoding}-be"
            + (f" ({encoding}-{likely} fits)." if likely else ".")
        )
    if b"\0" in head and not encoding.startswith(("utf-16", "utf-32")):
        for mark, marked_encoding in _BYTE_ORDER_MARKS:
            if head.startswith(mark) and marked_encoding != "utf-8":
                raise SourceError(
                    f"{name} is not {encoding}: it begins with the byte order mark of "
                    f"{marked_encoding}.\nOmit --encoding: the mark is recognised."
                )
        raise binary(name, head)
    return encoding, length


def binary(name: str, head: bytes = b"") -> SourceError:
    """The error for a source with NUL bytes."""
    if (packed := compressed(head)) is not None:
        return _packed(name, *packed)
    likely = _byte_order(head)
    return SourceError(
        f"{name} looks binary: it contains NUL bytes.\n"
        + (
            f"It may be UTF-16 text without a byte order mark: give --encoding utf-16-{likely}."
            if likely
            else "Give a plain-text file; save a document of another kind as plain text first."
        )
    )


def _packed(name: str, kind: str, tool: str) -> SourceError:
    return SourceError(
        f"{name} is not text: it is compressed by {kind}.\nUnpack it first with {tool}."
    )


def _byte_order(head: bytes, encoding: str = "utf-16") -> str:
    """`le` or `be` if the bytes are probably text in UTF-16 or UTF-32; otherwise empty."""
    fractions = {}
    for order in ("le", "be"):
        text = _as_text(head, f"{encoding}-{order}")
        # In any script, spaces and line endings lie below U+0100.
        fractions[order] = sum(c < "\u0100" for c in text) / max(1, len(text))
    likely = max(fractions, key=lambda order: fractions[order])
    return likely if fractions[likely] > 1 / 32 else ""


def invalid(name: str, encoding: str, error: UnicodeDecodeError, start: int) -> SourceError:
    """The error for bytes that are invalid in the encoding.

    Args:
        name: the source's name.
        encoding: the encoding used.
        error: the decoder's error.
        start: offset of `error.object` in the source.
    """
    if start == 0 and (packed := compressed(error.object)) is not None:
        return _packed(name, *packed)
    byte = error.object[error.start]
    # The data may begin within a character.
    if encoding != "utf-8" and _as_text(error.object.lstrip(_CONTINUATIONS), "utf-8"):
        advice = _LOOKS_LIKE_UTF_8
    elif encoding in ("utf-8", "ascii"):
        # The bytes before it are valid and mostly ASCII, which fits any encoding.
        fitting = _fitting(error.object[error.start :])
        if fitting:
            also = f" ({', '.join(fitting[1:])} would, too)" if fitting[1:] else ""
            shown = f"{fitting[0]} fits{also}"
        else:
            shown = "cp1252, gb18030, utf-16, ..., if it is a text"
        advice = f"Give its --encoding: {shown}; or --encoding-errors replace."
    else:
        advice = "Give another --encoding, or --encoding-errors replace."
    return SourceError(
        f"{name} is not valid {encoding}: byte 0x{byte:02X} at offset {start + error.start} "
        f"({error.reason}).\n{advice}"
    )


def _fitting(data: bytes) -> list[str]:
    """The candidate encodings in which the data is text, most likely first."""
    texts = {other: text for other in _SUGGESTED if (text := _as_text(data, other))}
    if {"cp1251", "koi8-r"} <= texts.keys():  # the same bytes, with the other case
        small = {other: sum(map(str.islower, texts[other])) for other in ("cp1251", "koi8-r")}
        del texts[min(small, key=lambda other: small[other])]
    found = list(texts)
    in_words = sum(map(len, _WORD_ABOVE_ASCII.findall(data)))
    if "cp1252" in found and 2 * in_words > len(_ABOVE_ASCII.findall(data)):
        found.remove("cp1252")
        found.append("cp1252")
    return found


def _as_text(data: bytes, encoding: str) -> str:
    """The decoded bytes, whose last character may be incomplete; empty if they are not text."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError:
        return ""
    return "" if _CONTROLS.search(text) else text


def without_surrogates(text: str, errors: str, name: str) -> str:
    """A text with lone surrogates handled as invalid bytes are.

    Raises:
        SourceError: under `strict`, if it has one.
    """
    if errors == "strict":
        if re.search("[\ud800-\udfff]", text):
            raise SourceError(
                f"{name} contains half of a surrogate pair, which is not a character.\n"
                "Give another --encoding, or --encoding-errors replace."
            )
        return text
    return re.sub("[\ud800-\udfff]", "\ufffd" if errors == "replace" else "", text)
