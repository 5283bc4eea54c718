"""An unfinished download: the bytes received so far, and what identifies the file they are of."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from charlstm.download.stored import write_json
from charlstm.errors import DownloadError
from charlstm.format.files import sync_folder


@dataclass(frozen=True)
class Identity:
    """What identifies a version of a file on a server.

    Attributes:
        url: its address.
        total: its size in bytes, if stated.
        etag: its strong entity tag, if any.
        last_modified: its date, if stated.
    """

    url: str
    total: int | None = None
    etag: str = ""
    last_modified: str = ""

    @property
    def validator(self) -> str:
        """The value of `If-Range`; empty if a change could not be noticed."""
        return self.etag or self.last_modified


class Partial:
    """The file of an unfinished download, locked against other processes.

    Args:
        folder: where the download is stored.
        name: the name that it will have.
        url: its address; bytes from another one are discarded.

    Attributes:
        path: the file, `.NAME.part`.
        identity: of the version that the bytes are of; None before the first answer.
        size: the number of bytes received.

    Raises:
        DownloadError: the file cannot be written, or another process is writing it.
    """

    def __init__(self, folder: Path, name: str, url: str) -> None:
        self.path = folder / f".{name}.part"
        self._record = folder / f".{name}.part.json"
        try:
            # A link in its place must not lead the bytes elsewhere.
            flags = os.O_RDWR | os.O_CREAT | (0 if sys.platform == "win32" else os.O_NOFOLLOW)
            self._file = os.fdopen(os.open(self.path, flags, 0o666), "r+b", buffering=0)
            self._lock()
            self.size = self._file.seek(0, os.SEEK_END)
        except OSError as error:
            raise self._unwritable(error) from error
        self.identity = self._recorded(url)
        if self.identity is None:
            self.restart(None)

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if self.size == 0:
            self.remove()

    def restart(self, identity: Identity | None) -> None:
        """Discard the bytes, and record which version of the file the next ones are of.

        Raises:
            DownloadError: the file cannot be written.
        """
        self.identity = identity
        try:
            self._file.seek(0)
            self._file.truncate()
            self.size = 0
            if identity is None:
                self._record.unlink(missing_ok=True)
            else:
                write_json(self._record, asdict(identity))
        except OSError as error:
            raise self._unwritable(error) from error

    def write(self, data: bytes) -> None:
        """Add bytes.

        Raises:
            DownloadError: the file cannot be written, for example because the disk is full.
        """
        view = memoryview(data)
        try:
            while view:
                written = self._file.write(view) or 0
                self.size += written
                view = view[written:]
        except OSError as error:
            raise self._unwritable(error) from error

    def sync(self) -> None:
        """Make the bytes durable.

        Raises:
            DownloadError: they cannot be written.
        """
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._unwritable(error) from error

    def remove(self) -> None:
        """Remove the file and its record, if they are there."""
        self.path.unlink(missing_ok=True)
        self._record.unlink(missing_ok=True)
        sync_folder(self.path.parent)

    def _recorded(self, url: str) -> Identity | None:
        """The recorded version; None without a valid record of that address."""
        try:
            identity = Identity(**json.loads(self._record.read_text("utf-8")))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts = (identity.etag, identity.last_modified)
        valid = all(isinstance(text, str) and text.isprintable() for text in texts)
        valid = valid and (identity.total is None or type(identity.total) is int)
        return identity if valid and identity.url == url else None

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        import fcntl  # noqa: PLC0415 - not on Windows

        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise DownloadError(
                f"another process is downloading {self.path}.\nWait for it, or give another --name."
            ) from error
        except OSError:
            return  # a file system without locks

    def _unwritable(self, error: OSError) -> DownloadError:
        return DownloadError(
            f"cannot write {self.path}: {error.strerror or error}.\n"
            "Give a --folder on a disk with free space. What was received is kept."
        )
