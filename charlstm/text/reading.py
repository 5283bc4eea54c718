"""Reading sources as decoded chunks of text, in bounded memory."""

from __future__ import annotations

import codecs
import gzip
import io
import lzma
import os
import shlex
import zlib
from collections.abc import Iterable, Iterator
from glob import escape
from typing import IO

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.decoding import (
    HEAD_BYTES,
    UNPACKERS,
    binary,
    detect,
    encoding_named,
    invalid,
    unpack,
    without_surrogates,
)
from charlstm.text.rich.html import declared_encoding
from charlstm.text.rich.reader import document_text, is_page, kind_of, page_text
from charlstm.text.sources import Source, find_sources
from charlstm.text.unpacking import TrailingDataError

CHUNK_BYTES = 1 << 20


def read_text(
    sources: Iterable[Source], config: TextConfig, *, adds_newlines: bool = True
) -> Iterator[str]:
    """Decoded chunks of all sources, in order; each source ends in a newline.

    Line endings become LF unless the configuration keeps them.

    Args:
        sources: the sources.
        config: how to read them.
        adds_newlines: whether a source without a newline at its end gets one.

    Raises:
        SourceError: a file is unreadable, damaged, binary, or not in the encoding.
        ConfigError: the encoding is unknown.
    """
    encoding = encoding_named(config.encoding)
    for source in sources:
        last = ""
        try:
            for chunk in _read_one(source, encoding, config):
                last = chunk[-1]
                yield chunk
        except SourceError as error:
            if not source.within:
                raise
            skip = f"--exclude {shlex.quote(escape(source.within))} skips it."
            between = " Or " if "\n" in str(error) else "\n"
            raise SourceError(f"{error}{between}{skip}") from error
        if adds_newlines and last and last not in "\n\r":
            yield "\n"


def read_whole(place: str, config: TextConfig) -> str:
    """The text of one file, or of standard input (`-`), decoded as `read_text` does.

    No newline is added at the end.

    Args:
        place: the file.
        config: how to decode it.

    Raises:
        SourceError: it is a folder, unreadable, damaged, binary, or not in the encoding.
        ConfigError: the encoding is unknown.
    """
    encoding = encoding_named(config.encoding)
    if place != "-" and os.path.isdir(place):
        raise SourceError(f"{place} is a folder; name one file.")
    (source,) = find_sources([place])
    return "".join(_read_one(source, encoding, config))


def _read_one(source: Source, encoding: str, config: TextConfig) -> Iterator[str]:
    """Non-empty chunks of one source."""
    if source.exact:
        yield from _read_exactly(source)
        return
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    held = False  # whether the decoder holds back a CR, which an LF may follow
    with source.open() as raw:
        for text in _text(raw, source.name, encoding, config):
            # The decoder copies; most texts have no CR.
            if config.keep_newlines or not (held or "\r" in text):
                yield text
                continue
            held = text.endswith("\r")
            if chunk := newlines.decode(text):
                yield chunk
        if rest := newlines.decode("", final=True):
            yield rest


def _read_exactly(source: Source) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
    with source.open() as raw:
        try:
            while chunk := _read(raw, source.name):
                if text := decoder.decode(chunk):
                    yield text
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            raise SourceError(f"{source.name} is damaged: it is not UTF-8.") from error


def _text(raw: IO[bytes], name: str, encoding: str, config: TextConfig) -> Iterator[str]:
    """The text of a file, of a document or of a page."""
    stream, packed = unpack(raw)
    head = _read(stream, name, HEAD_BYTES, packed)
    if (kind := kind_of(head, None if packed else raw)) is not None:
        if packed:
            raise SourceError(
                f"{name} is {kind.name}, compressed by {packed}.\n"
                f"Unpack it first with {UNPACKERS[packed]}: such a file is compressed anyway."
            )
        yield from document_text(raw, kind, name)
        return
    encoding, consumed = detect(head, encoding, name)
    begin = head[consumed:].decode(encoding, "replace")
    is_html = config.html == "text" and is_page(name, begin)
    if is_html and encoding == "utf-8" and not consumed:
        encoding = declared_encoding(head) or encoding
    _skip(stream, consumed, name, packed)
    chunks = _decode(stream, name, packed, encoding, consumed, config.encoding_errors)
    yield from page_text(chunks, name) if is_html else chunks


def _decode(
    stream: IO[bytes], name: str, packed: str, encoding: str, consumed: int, errors: str
) -> Iterator[str]:
    """The decoded text of a stream, whose first bytes were consumed."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while True:
        chunk = _read(stream, name, CHUNK_BYTES, packed)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise invalid(name, encoding, error, consumed - pending) from error
        if encoding == "utf-7":  # the only one that can encode half a surrogate pair
            text = without_surrogates(text, errors, name)
        if "\0" in text:
            raise binary(name)
        if text:
            yield text
        if not chunk:
            return
        consumed += len(chunk)


def _skip(stream: IO[bytes], count: int, name: str, packed: str) -> None:
    """Move to a position near the start."""
    stream.seek(0)
    if count:
        _read(stream, name, count, packed)


def _read(stream: IO[bytes], name: str, size: int | None = None, packed: str = "") -> bytes:
    """The next bytes.

    Args:
        stream: the stream to read.
        name: the source's name, for errors.
        size: maximum number of bytes; None: `CHUNK_BYTES`.
        packed: the compression format, for errors.

    Raises:
        SourceError: the stream cannot be read.
    """
    try:
        return stream.read(CHUNK_BYTES if size is None else size)
    except (OSError, EOFError, TrailingDataError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None)
        if reason is None:  # not an error of the operating system
            reason = _damage(error)
        what = f", which begins as {packed} data" if packed else ""
        raise SourceError(f"cannot read {name}{what}: {reason}.") from error


def _damage(error: Exception) -> str:
    """A description of the damage of compressed data."""
    if isinstance(error, EOFError):
        return "the compressed data ends too early. The file is incomplete"
    not_gzip = isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error)
    if not_gzip or isinstance(error, TrailingDataError):
        return "bytes that are not compressed follow the compressed data"
    return "the compressed data is damaged"
