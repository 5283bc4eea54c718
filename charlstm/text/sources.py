"""Reading files, folders, standard input and compressed files as decoded chunks of text.

Text is read in chunks, in bounded memory. Sources that cannot be read twice (standard input, pipes)
are first copied to an unnamed temporary file.
"""

from __future__ import annotations

import codecs
import errno
import gzip
import io
import lzma
import os
import shlex
import stat
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import IO

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.decoding import (
    HEAD_BYTES,
    binary,
    detect,
    encoding_named,
    invalid,
    unpack,
    without_surrogates,
)
from charlstm.text.folders import FolderFiles, find_in_folder

CHUNK_BYTES = 1 << 20
_READING = (errno.EIO, errno.EISDIR)  # errors of reading, not of writing the copy


@dataclass(frozen=True)
class Source:
    """A file to read, or a copy of a pipe.

    Attributes:
        name: its name for messages.
        path: the file; None for a copy of a pipe.
        spool: the copy of a pipe, an unnamed temporary file.
        exact: whether it is UTF-8 written from `read_text`, and is read without detection of
            signatures and byte order marks.
        within: its path within the folder given, if any.
    """

    name: str
    path: Path | None
    spool: IO[bytes] | None = None
    exact: bool = False
    within: str = ""

    def __del__(self) -> None:
        # The copy belongs to this source only.
        if self.spool is not None:
            self.spool.close()

    def open(self) -> IO[bytes]:
        """A stream of the raw bytes; compressed files are not unpacked.

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


def find_sources(
    arguments: Iterable[str],
    glob: str = "**/*.txt",
    exclude: Sequence[str] = (),
    *,
    runs_dir: Path | None = None,
    on_folder: Callable[[FolderFiles], None] | None = None,
    hidden: bool = False,
) -> list[Source]:
    """The sources of some arguments, in order; of a folder, its matching files, sorted.

    Args:
        arguments: paths of files or folders, or `-` for standard input.
        glob: pattern of files to read in a folder.
        exclude: patterns of files and folders to skip in a folder.
        runs_dir: the folder of runs, which is skipped.
        on_folder: called with the files read and skipped of each folder.
        hidden: use the rules of early checkpoints: hidden files are included, the pattern is
            case-sensitive, links to folders are not followed, and `exclude` is ignored.

    Raises:
        SourceError: a path does not exist, is not a file, or a folder has no matching file.
        ConfigError: `glob` or `exclude` is not a valid pattern.
    """
    sources: list[Source] = []
    for argument in arguments:
        if argument == "-":
            sources.append(Source("standard input", None, _spool(standard_input(), argument)))
            continue
        if not argument:
            raise SourceError("cannot read '': the name is empty.")
        path = Path(argument)
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not a valid path"
            raise SourceError(f"cannot read {argument!r}: {reason}.") from error
        if stat.S_ISDIR(mode) and hidden:
            found = sorted(file for file in path.glob(glob) if file.is_file())
            sources += [Source(str(file), file) for file in found]
        elif stat.S_ISDIR(mode):
            sources += _in_folder(find_in_folder(path, glob, exclude, runs_dir), glob, on_folder)
        elif stat.S_ISREG(mode):
            sources.append(Source(argument, path))
        elif stat.S_ISFIFO(mode):
            with path.open("rb") as pipe:
                sources.append(Source(argument, None, _spool(pipe, argument)))
        else:
            raise SourceError(f"{argument} is neither a file nor a folder nor a pipe.")
    return sources


def standard_input() -> IO[bytes]:
    """The binary stream of standard input.

    Raises:
        SourceError: it is closed.
    """
    if sys.stdin is None:
        raise SourceError("cannot read standard input: it is closed.")
    return sys.stdin.buffer


def _in_folder(
    found: FolderFiles, glob: str, on_folder: Callable[[FolderFiles], None] | None
) -> list[Source]:
    if not found.files:
        # A pattern of one name does not match in subfolders.
        other = glob if "/" in glob else f"**/{glob}"
        other = "**/*" if other in (glob, "**/**") else other
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in found.reasons.items())
        raise SourceError(
            f"no file in {found.folder} matches {glob!r}"
            + (f" (skipped: {skipped})" if skipped else "")
            + f".\nGive another pattern, such as --glob {shlex.quote(other)}, or name the files."
        )
    if on_folder is not None:
        on_folder(found)
    return [
        Source(str(path), path, within=path.relative_to(found.folder).as_posix())
        for path in found.files
    ]


def _spool(stream: IO[bytes], name: str) -> IO[bytes]:
    def cannot(error: OSError) -> SourceError:
        what = "standard input" if name == "-" else name
        return SourceError(
            f"cannot copy {what} to a temporary file: {error.strerror or error}."
            + (
                ""
                if error.errno in _READING
                else "\nSet TMPDIR to a folder on a disk with free space."
            )
        )

    try:
        spool = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    except OSError as error:
        raise cannot(error) from error
    try:
        # One read at a time: after the end, a terminal would wait for another one.
        read_once: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        while data := read_once(CHUNK_BYTES):
            spool.write(data)
        spool.flush()
    except OSError as error:
        spool.close()
        raise cannot(error) from error
    return spool


def read_text(sources: Iterable[Source], config: TextConfig) -> Iterator[str]:
    """Decoded chunks of all sources, in order; each source ends in a newline.

    Line endings become LF unless the configuration keeps them.

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
            leave_out = f"--exclude {shlex.quote(escape(source.within))} leaves it out."
            between = " Or " if "\n" in str(error) else "\n"
            raise SourceError(f"{error}{between}{leave_out}") from error
        if last and last not in "\n\r":
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


def normalize(text: str, config: TextConfig) -> str:
    """A text with line endings and case converted as for training with this configuration.

    Case is folded as by `charlstm.text.tokenizer.fold_case`: the length does not change.
    """
    if not config.keep_newlines and "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if config.lowercase:
        lowered = {ord(c): c.lower() for c in set(text)}
        text = text.translate({point: low for point, low in lowered.items() if len(low) == 1})
    return text


def _read_one(source: Source, encoding: str, config: TextConfig) -> Iterator[str]:
    """Non-empty chunks of one source."""
    if source.exact:
        yield from _read_exactly(source)
        return
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    held = False  # whether the decoder holds back a CR, which an LF may follow
    with source.open() as raw:
        for text in _decode(raw, source.name, encoding, config.encoding_errors):
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


def _decode(raw: IO[bytes], name: str, encoding: str, errors: str) -> Iterator[str]:
    stream, packed = unpack(raw)
    head = _read(stream, name, HEAD_BYTES, packed)
    encoding, consumed = detect(head, encoding, name)
    _skip(stream, consumed, name, packed)
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
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None)
        if reason is None:  # not an error of the operating system
            reason = _damage(error)
        what = f", which begins as {packed} data" if packed else ""
        raise SourceError(f"cannot read {name}{what}: {reason}.") from error


def _damage(error: Exception) -> str:
    """A description of the damage of compressed data."""
    if isinstance(error, EOFError):
        return "the compressed data ends too early. The file is incomplete"
    if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
        return "bytes that are not compressed follow the compressed data"
    return "the compressed data is damaged"
