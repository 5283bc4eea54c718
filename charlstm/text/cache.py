"""On-disk cache of the ids of large texts, memory-mapped.

The key of an entry is a hash of the sources' bytes and of the options that affect ids, never a path
or a time. The entry's content is verified before use.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from charlstm.config import TextConfig
from charlstm.errors import CharlstmError, CorpusError
from charlstm.format.files import retry_while_shared
from charlstm.text.cache_limit import cache_limit, hold, shrink, touch
from charlstm.text.digest import Digest
from charlstm.text.reading import CHUNK_BYTES
from charlstm.text.rich.reader import has_page_name
from charlstm.text.separate import SeparateText
from charlstm.text.sources import Source
from charlstm.text.tokenizer import CharTokenizer, Ids

MEASURED_SUFFIX = ".measured"
"""Of the files of `charlstm.training.measured` in the cache folder."""
_RENAMES_OPEN_FILES = os.name != "nt"


def cache_folder() -> Path | None:
    """The cache folder: `$XDG_CACHE_HOME/charlstm`, or `~/.cache/charlstm`.

    None for a user without a home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(base or "~/.cache").expanduser() / "charlstm"
    except RuntimeError:
        return None


@dataclass(frozen=True)
class Cached:
    """A cache entry: ids, their mapped file, and the other fields of a `Corpus`."""

    ids: Ids
    mapping: mmap.mmap
    path: Path
    tokenizer: CharTokenizer
    sha256: str
    rare: dict[str, int]
    empty: int | None
    separate: dict[str, SeparateText]


class Cache:
    """The cache of large corpora: `KEY.ids` (raw ids) and `KEY.json` (metadata) in one folder.

    If the folder cannot be written, the ids go to an unnamed temporary file.

    Args:
        sources: the text.
        config: how it is read.
        also: further characters of its vocabulary, as for `CharTokenizer.from_counts`.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        config: TextConfig,
        separate: Mapping[str, Sequence[Source]] | None = None,
        also: str = "",
    ) -> None:
        self.separate = {part: len(found) for part, found in (separate or {}).items()}
        self.sources = [*sources, *chain.from_iterable((separate or {}).values())]
        self.config = config
        self.also = also
        self.folder = cache_folder()
        self._key: str | None = None

    def lookup(self) -> Cached | None:
        """The sources' cache entry; None if it is missing or damaged."""
        try:
            # Hashing a large text is slow, so first check whether any entry has its size.
            if self.folder is None or not self._might_hold(self._raw_bytes()):
                return None
            entry = json.loads(self._path("json").read_text("utf-8"))
            tokenizer = CharTokenizer.from_json(entry["tokenizer"])
            with self._path("ids").open("rb") as file:
                ids, mapping = map_ids(file, tokenizer)
                whole = hashlib.file_digest(file, "sha256").hexdigest() == entry["ids_sha256"]
            if not whole:
                return None
            sha256, rare = str(entry["sha256"]), dict(entry["rare"])
            empty = entry.get("empty")
            if not (empty is None or type(empty) is int):
                return None
            recorded = entry.get("separate", {})
            separate = {p: SeparateText.from_json(recorded[p]) for p in self.separate}
            if sum(own.num_chars for own in separate.values()) >= len(ids):
                return None
            touch(self._path("ids"))
            return Cached(ids, mapping, self._path("ids"), tokenizer, sha256, rare, empty, separate)
        except (OSError, ValueError, KeyError, TypeError, CharlstmError):
            return None  # a damaged or unreadable entry counts as missing

    def write(
        self,
        chunks: Iterable[Ids],
        num_chars: int,
        sha256: str,
        tokenizer: CharTokenizer,
        rare: Mapping[str, int],
        empty: int | None = None,
        separate: Mapping[str, SeparateText] | None = None,
    ) -> tuple[Ids, mmap.mmap, Path | None]:
        """Write ids into a new file, map it, and move it into the cache.

        Args:
            chunks: the ids, in order.
            num_chars: the total number of characters.
            sha256: digest of the text.
            tokenizer, rare, empty, separate: stored with the ids; `separate` is complete when the
                chunks have been read.

        Returns:
            The ids, the mapped file, and its path (None for an unnamed file).

        Raises:
            CorpusError: the file cannot be written, for example because the disk is full.
            ConfigError: `CHARLSTM_CACHE_LIMIT` is not a size.
        """
        limit = cache_limit()
        digest = Digest()
        with self._new_file() as file:
            hold(file)
            name = Path(file.name) if isinstance(file.name, str) else None
            try:
                for chunk in chunks:
                    file.write(chunk.data)
                    digest.update(chunk.data)
                file.flush()
                if name is None:
                    return *map_ids(file, tokenizer), None
                if not _RENAMES_OPEN_FILES:
                    file.close()  # elsewhere its lock prevents removal
                entry = {
                    "num_chars": num_chars,
                    "sha256": sha256,
                    "ids_sha256": digest.hexdigest(),
                    "raw_bytes": self._raw_bytes(),
                    "tokenizer": tokenizer.to_json(),
                    "rare": dict(rare),
                }
                if empty is not None:
                    entry["empty"] = empty
                if separate:
                    entry["separate"] = {part: own.to_json() for part, own in separate.items()}
                published = self._publish(name, entry, tokenizer)
                assert self.folder is not None
                shrink(self.folder, limit)
                return published
            except OSError as error:
                size = num_chars * tokenizer.id_dtype.itemsize
                raise CorpusError(
                    f"cannot write {size:,} bytes of ids to "
                    f"{tempfile.gettempdir() if name is None else self.folder}: "
                    f"{error.strerror or error}.\n"
                    "Set XDG_CACHE_HOME to a folder on a disk with free space."
                ) from error
            finally:
                if name is not None:
                    file.close()
                    name.unlink(missing_ok=True)

    def _new_file(self) -> IO[bytes]:
        """A temporary file in the cache folder, or an unnamed one if that fails."""
        if self.folder is not None:
            with contextlib.suppress(OSError):  # such as a read-only home
                self.folder.mkdir(parents=True, exist_ok=True)
                return tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tmp", delete=False)
        return tempfile.TemporaryFile()

    def _publish(
        self, name: Path, entry: Mapping[str, Any], tokenizer: CharTokenizer
    ) -> tuple[Ids, mmap.mmap, Path]:
        """Rename a file of ids to its final name, write its metadata, and map it."""
        path, note = self._path("ids"), name.with_suffix(".json.tmp")
        try:
            retry_while_shared(lambda: os.replace(name, path))
            note.write_text(json.dumps(entry), "utf-8")
            retry_while_shared(lambda: os.replace(note, self._path("json")))
        except PermissionError:
            note.unlink(missing_ok=True)
            # On Windows, if another process has mapped the ids of the same text.
            if (found := self.lookup()) is None:
                raise
            return found.ids, found.mapping, found.path
        with path.open("rb") as file:
            return *map_ids(file, tokenizer), path

    def _raw_bytes(self) -> int:
        total = 0
        for source in self.sources:
            with source.open() as raw:
                total += raw.seek(0, os.SEEK_END)
        return total

    def _might_hold(self, raw_bytes: int) -> bool:
        assert self.folder is not None
        for path in self.folder.glob("*.json"):
            try:
                if json.loads(path.read_text("utf-8"))["raw_bytes"] == raw_bytes:
                    return True
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return False

    def _path(self, suffix: str) -> Path:
        if self._key is None:
            config = self.config.to_json()
            for name in ("split", "val_fraction", "test_fraction", "glob", "exclude"):
                del config[name]  # these do not affect the ids
            if not self.config.has_documents:
                del config["documents"]
            if self.separate:
                config["separate"] = self.separate
            else:
                del config["unknown"]
            if self.also:
                config["also"] = self.also
            digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
            for source in self.sources:
                own = hashlib.sha256(b"exact" if source.exact else b"")
                if self.config.html == "text" and has_page_name(source.name):
                    own.update(b"page")
                with source.open() as raw:
                    while block := raw.read(CHUNK_BYTES):
                        own.update(block)
                digest.update(own.digest())
            self._key = digest.hexdigest()[:40]
        assert self.folder is not None
        return self.folder / f"{self._key}.{suffix}"


def map_ids(file: IO[bytes], tokenizer: CharTokenizer) -> tuple[Ids, mmap.mmap]:
    """A file's ids, memory-mapped for reading, and the map."""
    hold(file)  # the map holds its own descriptor, and with it the lock
    mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapping, dtype=tokenizer.id_dtype), mapping
