"""Finding what to read: files, folders, standard input and pipes.

Sources that cannot be read twice (standard input, pipes) are first copied to an unnamed temporary
file. `charlstm.text.reading` decodes them.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from charlstm.errors import SourceError
from charlstm.text.folders import DEFAULT_GLOB, FolderFiles, find_in_folder

_COPY_BYTES = 1 << 20
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

    def identity(self) -> tuple[int, int] | None:
        """What identifies the file under any name: device and inode; None for a copy of a pipe.

        Raises:
            SourceError: the file cannot be read any more.
        """
        if self.path is None:
            return None
        try:
            status = self.path.stat()
        except OSError as error:
            raise SourceError(f"cannot read {self.name}: {error.strerror or error}.") from error
        return status.st_dev, status.st_ino


def find_sources(
    arguments: Iterable[str],
    glob: Sequence[str] = DEFAULT_GLOB,
    exclude: Sequence[str] = (),
    *,
    runs_dir: Path | None = None,
    on_folder: Callable[[FolderFiles], None] | None = None,
    hidden: bool = False,
) -> list[Source]:
    """The sources of some arguments, in order; of a folder, its matching files, sorted.

    Args:
        arguments: paths of files or folders, or `-` for standard input.
        glob: patterns of files to read in a folder.
        exclude: patterns of files and folders to skip in a folder.
        runs_dir: the folder of runs, which is skipped.
        on_folder: called with the files read and skipped of each folder.
        hidden: use the rules of early checkpoints: hidden files are included, patterns are
            case-sensitive, links to folders are not followed, and `exclude` is ignored.

    Raises:
        SourceError: a path does not exist, is not a file, or a folder has no matching file; or
            standard input is given more than once.
        ConfigError: `glob` or `exclude` is not a valid pattern.
    """
    arguments = list(arguments)
    if arguments.count("-") > 1:
        raise SourceError("standard input (-) can be read only once.\nGive - once.")
    sources: list[Source] = []
    for argument in arguments:
        if argument == "-":
            sources.append(Source("standard input", None, spool(standard_input(), argument)))
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
            found = {file for pattern in glob for file in path.glob(pattern) if file.is_file()}
            sources += [Source(str(file), file) for file in sorted(found)]
        elif stat.S_ISDIR(mode):
            sources += _in_folder(find_in_folder(path, glob, exclude, runs_dir), glob, on_folder)
        elif stat.S_ISREG(mode):
            sources.append(Source(argument, path))
        elif stat.S_ISFIFO(mode):
            with path.open("rb") as pipe:
                sources.append(Source(argument, None, spool(pipe, argument)))
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
    found: FolderFiles, glob: Sequence[str], on_folder: Callable[[FolderFiles], None] | None
) -> list[Source]:
    if not found.files:
        # A pattern of one name does not match in subfolders.
        other = glob[0] if "/" in glob[0] else f"**/{glob[0]}"
        other = "**/*" if other in (glob[0], "**/**") else other
        skipped = ", ".join(f"{count:,} {reason}" for reason, count in found.reasons.items())
        raise SourceError(
            f"no file in {found.folder} matches {' or '.join(map(repr, glob))}"
            + (f" (skipped: {skipped})" if skipped else "")
            + f".\nGive another pattern, such as --glob {shlex.quote(other)}, or name the files."
        )
    if on_folder is not None:
        on_folder(found)
    return [
        Source(str(path), path, within=path.relative_to(found.folder).as_posix())
        for path in found.files
    ]


def spool(stream: IO[bytes], name: str) -> IO[bytes]:
    """A copy of a stream in an unnamed temporary file.

    Args:
        stream: read to its end.
        name: its name for messages; `-` for standard input.

    Raises:
        SourceError: it cannot be read or copied.
    """

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
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the source
    except OSError as error:
        raise cannot(error) from error
    try:
        # One read at a time: after the end, a terminal would wait for another one.
        read_once: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        while data := read_once(_COPY_BYTES):
            copy.write(data)
        copy.flush()
    except OSError as error:
        with suppress(OSError):  # closing writes the buffer once more
            copy.close()
        raise cannot(error) from error
    return copy
