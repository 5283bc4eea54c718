"""Files, folders, globs, standard input and compressed files -> decoded chunks of text.

A text is read in chunks, so memory does not grow with it. Whatever cannot be read twice
(standard input, a pipe) is first copied to an unnamed temporary file.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import shutil
import stat
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from charlstm.config import TextConfig
from charlstm.errors import ConfigError, SourceError

CHUNK_BYTES = 1 << 20

# A file's first bytes tell how it is compressed; its name does not count.
_COMPRESSED = ((b"\x1f\x8b", gzip.open), (b"BZh", bz2.open), (b"\xfd7zXZ\x00", lzma.open))

# The 4-byte marks come first: UTF-32's little-endian mark begins with UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True)
class Source:
    """One file to read, or a copy of what came through a pipe.

    Attributes:
        name: what a user calls it, for messages.
        path: where it lies; None for a copy of a pipe.
        spool: that copy, an unnamed temporary file.
    """

    name: str
    path: Path | None
    spool: IO[bytes] | None = None

    def __del__(self) -> None:
        # The copy is this source's alone, and goes with it.
        if self.spool is not None:
            self.spool.close()

    def open(self) -> IO[bytes]:
        """The raw bytes from the start; compressed files are not unpacked.

        Raises:
            SourceError: the file cannot be opened.
        """
        if self.spool is not None:
            self.spool.seek(0)
            # A duplicate can be closed by the reader without losing the copy.
            return os.fdopen(os.dup(self.spool.fileno()), "rb")
        assert self.path is not None
        try:
            return self.path.open("rb")
        except OSError as error:
            raise SourceError(f"cannot read {self.name}: {error.strerror or error}.") from error


def find_sources(arguments: Iterable[str], glob: str = "**/*.txt") -> list[Source]:
    """The files that the arguments stand for, in order; a folder gives its sorted matches.

    Args:
        arguments: paths of files or folders, or `-` for standard input.
        glob: which files of a folder to take.

    Raises:
        SourceError: nothing there, nothing that matches, or something that is no file.
    """
    sources: list[Source] = []
    for argument in arguments:
        if argument == "-":
            sources.append(Source("standard input", None, _spool(standard_input(), argument)))
            continue
        if not argument:
            raise SourceError("cannot read a text whose name is empty ('').")
        path = Path(argument)
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a valid path"
            raise SourceError(f"cannot read {argument!r}: {reason}.") from error
        if stat.S_ISDIR(mode):
            sources += _in_folder(path, glob)
        elif stat.S_ISREG(mode):
            sources.append(Source(argument, path))
        elif stat.S_ISFIFO(mode):
            with path.open("rb") as pipe:
                sources.append(Source(argument, None, _spool(pipe, argument)))
        else:
            raise SourceError(f"{argument} is neither a file nor a folder nor a pipe.")
    return sources


def standard_input() -> IO[bytes]:
    """Standard input's bytes.

    Raises:
        SourceError: it is closed.
    """
    if sys.stdin is None:
        raise SourceError("cannot read standard input: it is closed.")
    return sys.stdin.buffer


def _in_folder(folder: Path, glob: str) -> list[Source]:
    try:
        found = sorted(path for path in folder.glob(glob) if path.is_file())
    except (ValueError, NotImplementedError, IndexError) as error:
        raise ConfigError(f"--glob {glob!r} is not a pattern for files in a folder.") from error
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror or error}.") from error
    if not found:
        raise SourceError(
            f"no file in {folder} matches {glob!r}.\nGive another pattern, such as --glob '**/*'."
        )
    return [Source(str(path), path) for path in found]


def _spool(stream: IO[bytes], name: str) -> IO[bytes]:
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    try:
        shutil.copyfileobj(stream, spool, CHUNK_BYTES)
        spool.flush()
    except OSError as error:
        raise SourceError(f"cannot copy {name}: {error.strerror or error}.") from error
    return spool


def read_text(sources: Iterable[Source], config: TextConfig) -> Iterator[str]:
    """Decoded chunks of all sources, in order, each source ending in a newline.

    Line ends become LF unless the configuration keeps them.

    Raises:
        SourceError: a file is unreadable, damaged, binary, or not in the encoding.
        ConfigError: no such encoding.
    """
    encoding = _text_encoding(config.encoding)
    for source in sources:
        last = ""
        for chunk in _read_one(source, encoding, config):
            last = chunk[-1]
            yield chunk
        if last and last not in "\n\r":
            yield "\n"


def read_whole(place: str, config: TextConfig) -> str:
    """The text of one file, or of standard input (`-`), decoded as `read_text` does.

    Its end is as it was: no newline is added.

    Args:
        place: the file.
        config: how to decode it.

    Raises:
        SourceError: it is a folder, unreadable, damaged, binary, or not in the encoding.
        ConfigError: no such encoding.
    """
    encoding = _text_encoding(config.encoding)
    if place != "-" and os.path.isdir(place):
        raise SourceError(f"{place} is a folder; name one file.")
    (source,) = find_sources([place])
    return "".join(_read_one(source, encoding, config))


def normalize(text: str, config: TextConfig) -> str:
    """A text as a training text with this configuration is read: its line ends and its case.

    Case is folded as `charlstm.text.tokenizer.fold_case` does: one character stays one.
    """
    if not config.keep_newlines and "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if config.lowercase:
        lowered = {ord(c): c.lower() for c in set(text)}
        text = text.translate({point: low for point, low in lowered.items() if len(low) == 1})
    return text


def _text_encoding(name: str) -> str:
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"--encoding {name!r} is unknown; try utf-8, utf-16, latin-1, cp1252, ..."
        ) from error


def _read_one(source: Source, encoding: str, config: TextConfig) -> Iterator[str]:
    """Chunks of one source, none of them empty."""
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    held = False  # whether the decoder keeps a CR back, which an LF may follow
    with source.open() as raw:
        stream = _unpack(raw)
        for text in _decode(stream, source.name, encoding, config.encoding_errors):
            if "\0" in text:
                raise _binary(source.name)
            # The decoder copies; most texts have nothing for it.
            if config.keep_newlines or not (held or "\r" in text):
                yield text
                continue
            held = text.endswith("\r")
            if chunk := newlines.decode(text):
                yield chunk
        if rest := newlines.decode("", final=True):
            yield rest


def _unpack(raw: IO[bytes]) -> IO[bytes]:
    head = raw.read(6)
    raw.seek(0)
    for magic, opener in _COMPRESSED:
        if head.startswith(magic):
            return cast(IO[bytes], opener(raw, "rb"))
    return raw


def _decode(stream: IO[bytes], name: str, encoding: str, errors: str) -> Iterator[str]:
    head = _read(stream, name)
    # An explicit 8-bit encoding stands: there, the mark's bytes are ordinary characters.
    if encoding.startswith(("utf-", "utf_")):
        for mark, marked_encoding in _BYTE_ORDER_MARKS:
            if head.startswith(mark):
                head, encoding = head[len(mark) :], marked_encoding
                consumed = len(mark)
                break
        else:
            consumed = 0
    else:
        consumed = 0
    if b"\0" in head[:8192] and not encoding.startswith(("utf-16", "utf-32")):
        raise _binary(name)
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    chunk = head
    while True:
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            offset = consumed - pending + error.start
            byte = error.object[error.start]
            raise SourceError(
                f"{name} is not valid {encoding}: byte 0x{byte:02X} at offset {offset} "
                f"({error.reason}).\n"
                "Give its --encoding (latin-1, cp1252, utf-16, ...), or --encoding-errors replace."
            ) from error
        if text:
            yield text
        if not chunk:
            return
        consumed += len(chunk)
        chunk = _read(stream, name)


def _read(stream: IO[bytes], name: str) -> bytes:
    try:
        return stream.read(CHUNK_BYTES)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"cannot read {name}: {reason}.") from error


def _binary(name: str) -> SourceError:
    return SourceError(
        f"{name} looks binary: it holds NUL bytes.\n"
        "If it is UTF-16 text without a byte order mark, give --encoding utf-16-le or utf-16-be."
    )
