"""Files, folders, globs, standard input and compressed files -> decoded chunks of text.

A text is read in chunks, so memory does not grow with it. Whatever cannot be read twice
(standard input, a pipe) is first copied to an unnamed temporary file.
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
_READING = (errno.EIO, errno.EISDIR)  # errors of what is copied rather than of the copy


@dataclass(frozen=True)
class Source:
    """One file to read, or a copy of what came through a pipe.

    Attributes:
        name: what a user calls it, for messages.
        path: where it lies; None for a copy of a pipe.
        spool: that copy, an unnamed temporary file.
        exact: whether it holds UTF-8 as `read_text` gave it, which is read with no other rule:
            its first characters are no signature and no byte order mark.
        within: its path within the folder that was given, if one was.
    """

    name: str
    path: Path | None
    spool: IO[bytes] | None = None
    exact: bool = False
    within: str = ""

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


def find_sources(
    arguments: Iterable[str],
    glob: str = "**/*.txt",
    exclude: Sequence[str] = (),
    *,
    runs_dir: Path | None = None,
    on_folder: Callable[[FolderFiles], None] | None = None,
    hidden: bool = False,
) -> list[Source]:
    """The files that the arguments stand for, in order; a folder gives its sorted matches.

    Args:
        arguments: paths of files or folders, or `-` for standard input.
        glob: which files of a folder to take.
        exclude: patterns of what to leave out of a folder.
        runs_dir: where runs live; left out of a folder that it lies in.
        on_folder: receives what each folder gives and what of it is skipped.
        hidden: find files in folders as version 0.1.0 first did: hidden ones, too, by a pattern
            that minds case, without following links to folders; `exclude` does not count then.

    Raises:
        SourceError: nothing there, nothing that matches, or something that is no file.
        ConfigError: `glob` or `exclude` is not a pattern.
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
    """Standard input's bytes.

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
        # A pattern of one name matches at the folder's top only.
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
            + ("" if error.errno in _READING else "\nSet TMPDIR to a folder on a disk with room.")
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
    """Decoded chunks of all sources, in order, each source ending in a newline.

    Line ends become LF unless the configuration keeps them.

    Raises:
        SourceError: a file is unreadable, damaged, binary, or not in the encoding.
        ConfigError: no such encoding.
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

    Its end is as it was: no newline is added.

    Args:
        place: the file.
        config: how to decode it.

    Raises:
        SourceError: it is a folder, unreadable, damaged, binary, or not in the encoding.
        ConfigError: no such encoding.
    """
    encoding = encoding_named(config.encoding)
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


def _read_one(source: Source, encoding: str, config: TextConfig) -> Iterator[str]:
    """Chunks of one source, none of them empty."""
    if source.exact:
        yield from _read_exactly(source)
        return
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    held = False  # whether the decoder keeps a CR back, which an LF may follow
    with source.open() as raw:
        for text in _decode(raw, source.name, encoding, config.encoding_errors):
            # The decoder copies; most texts have nothing for it.
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
    """Go to a place near the beginning."""
    stream.seek(0)
    if count:
        _read(stream, name, count, packed)


def _read(stream: IO[bytes], name: str, size: int | None = None, packed: str = "") -> bytes:
    """The next bytes.

    Args:
        stream: to read from.
        name: the source's, for errors.
        size: how many bytes at most; None: `CHUNK_BYTES`.
        packed: the format that the stream unpacks, for errors.
    """
    try:
        return stream.read(CHUNK_BYTES if size is None else size)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None)
        if reason is None:  # not the operating system's
            reason = _damage(error)
        what = f", which begins as {packed} data" if packed else ""
        raise SourceError(f"cannot read {name}{what}: {reason}.") from error


def _damage(error: Exception) -> str:
    """What is wrong with compressed data."""
    if isinstance(error, EOFError):
        return "the compressed data ends too early. The file is incomplete"
    if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
        return "bytes that are not compressed follow the compressed data"
    return "the compressed data is damaged"
