"""Files that were fetched, and the record of a fetch."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from charlstm.download.corpora import KnownCorpus
from charlstm.errors import DownloadError
from charlstm.format.files import make_folders, replace_file, sync_folder


@dataclass(frozen=True)
class FetchedFile:
    """A file that was fetched.

    Attributes:
        path: where it is.
        num_bytes: its size.
        sha256: its SHA-256.
    """

    path: Path
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class Fetched:
    """A text that was fetched.

    Attributes:
        url: its address.
        sha256: SHA-256 of the download, before unpacking.
        paths: what to give to `charlstm train`: the file, the files of a known corpus, or the
            folder of an archive.
        files: all files.
        downloaded: False if everything was there already.
        corpus: the known corpus; None for a URL.
    """

    url: str
    sha256: str
    paths: list[Path]
    files: list[FetchedFile]
    downloaded: bool
    corpus: KnownCorpus | None = None

    def to_json(self) -> dict[str, Any]:
        """The facts as a JSON object."""
        return {
            "corpus": None if self.corpus is None else self.corpus.name,
            "url": self.url,
            "licence": None if self.corpus is None else self.corpus.licence,
            "sha256": self.sha256,
            "downloaded": self.downloaded,
            "paths": [str(path) for path in self.paths],
            "files": [
                {"path": str(file.path), "bytes": file.num_bytes, "sha256": file.sha256}
                for file in self.files
            ],
        }


def is_unchanged(file: FetchedFile) -> bool:
    """Whether a file is as it was stored."""
    try:
        same = file.path.stat().st_size == file.num_bytes
        return same and sha256_of(file.path) == file.sha256
    except (OSError, TypeError, ValueError):  # the record may have any path
        return False


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def place(source: Path, target: Path, overwrite: bool) -> None:
    """Give a file its final name, durably.

    Raises:
        OSError: a file of that name exists, unless it is to be overwritten.
    """
    with source.open("rb") as file:
        os.fsync(file.fileno())
    if overwrite:
        os.replace(source, target)
    else:
        try:
            os.link(source, target, follow_symlinks=False)  # fails if the target exists
            source.unlink()
        except FileExistsError:
            raise
        except OSError:  # a file system without links
            os.replace(source, target)
    sync_folder(target.parent)


@contextmanager
def new_folder(folder: Path) -> Iterator[None]:
    """A folder to write into: created, and removed again if nothing was stored in it.

    Raises:
        DownloadError: it cannot be written.
    """
    is_new = not folder.exists()
    try:
        make_folders(folder)
        yield
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DownloadError(
            f"cannot write to {folder}: {error.strerror or error}{where}.\nGive another --folder."
        ) from error
    finally:
        if is_new:
            with suppress(OSError):  # something is in it
                folder.rmdir()


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a JSON object, atomically.

    Raises:
        OSError: it cannot be written.
    """

    def write(file: IO[bytes]) -> None:
        file.write(json.dumps(record).encode())

    replace_file(path, write)


def write_record(path: Path, folder: Path, fetched: Fetched, unpack: bool) -> None:
    """Write what was fetched, so that the next fetch recognises it.

    Args:
        path: the record's file.
        folder: the folder, to which the recorded paths are relative.
        fetched: what was fetched.
        unpack: whether it was unpacked if packed.

    Raises:
        OSError: it cannot be written.
    """
    record = {**fetched.to_json(), "unpack": unpack}
    record["paths"] = [str(path.relative_to(folder)) for path in fetched.paths]
    for file, entry in zip(fetched.files, record["files"], strict=True):
        entry["path"] = str(file.path.relative_to(folder))
    write_json(path, record)


def read_record(
    path: Path, folder: Path, url: str, unpack: bool, corpus: KnownCorpus | None
) -> Fetched | None:
    """What was fetched earlier, by its record; None without a valid record of the same fetch."""
    try:
        record = json.loads(path.read_text("utf-8"))
        files = [
            FetchedFile(folder / file["path"], int(file["bytes"]), str(file["sha256"]))
            for file in record["files"]
        ]
        paths = [folder / path for path in record["paths"]]
        if record["url"] != url or record["unpack"] is not unpack or not files:
            return None
        return Fetched(url, str(record["sha256"]), paths, files, False, corpus)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def remove_left_over(folder: Path, name: str) -> None:
    """Remove temporary files and folders of a name, left by a process that was killed.

    The caller holds the lock of the download.
    """
    records = "|".join(re.escape(f"..{name}.{kind}.json") for kind in ("part", "fetched"))
    pattern = re.compile(rf"({re.escape(f'.{name}')}|{records})\.[a-z0-9_]{{8}}\.tmp")
    for path in [path for path in folder.iterdir() if pattern.fullmatch(path.name)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
