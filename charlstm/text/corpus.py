"""Chunks of text -> ids, in bounded memory, in two passes.

Pass 1 counts characters, which gives the vocabulary and the length. Pass 2 writes ids: into
memory if they are few, otherwise into a memory-mapped file in the user's cache folder. A cached
file is found again by the content of the sources and the tokenizer, never by path or time, and
its own content is verified before use.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from charlstm.config import TextConfig
from charlstm.errors import CharlstmError, CorpusError, UnknownCharacterError
from charlstm.text.sources import CHUNK_BYTES, Source, read_text
from charlstm.text.tokenizer import CODE_POINTS, CharTokenizer, Ids, count_code_points

IN_MEMORY_BYTES = 32 << 20

ReadingProgress = Callable[[str, int], None]
"""Told what is going on ("counting", "encoding") and how many characters are done."""


@dataclass(frozen=True)
class Corpus:
    """A text as ids.

    Attributes:
        ids: shape (num_chars,), unsigned; may be memory-mapped.
        tokenizer: its vocabulary.
        sha256: of the joined text in UTF-8, after line ends were unified.
        rare: rare characters that became the replacement character, with their counts.
        train, val, test: contiguous parts of `ids`.
        mapping: the mapped file that `ids` lie in, if they do.
    """

    ids: Ids
    tokenizer: CharTokenizer
    sha256: str
    rare: dict[str, int] = field(default_factory=dict)
    val_fraction: float = 0.1
    test_fraction: float = 0.0
    mapping: mmap.mmap | None = None

    def release(self) -> None:
        """Let go of the memory that reading a mapped file has taken; it is read again at need.

        Such pages could be taken back by the system at any time, yet count as the process's.
        """
        if self.mapping is not None and hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def bounds(self) -> tuple[int, int]:
        """Where validation begins and where it ends (and the test part begins)."""
        size = len(self.ids)
        end = size - int(size * self.test_fraction)
        return end - int(size * self.val_fraction), end

    @property
    def train(self) -> Ids:  # noqa: D102 - see the class
        return self.ids[: self.bounds[0]]

    @property
    def val(self) -> Ids:  # noqa: D102
        return self.ids[slice(*self.bounds)]

    @property
    def test(self) -> Ids:  # noqa: D102
        return self.ids[self.bounds[1] :]


def _corpus(
    ids: Ids,
    mapping: mmap.mmap | None,
    tokenizer: CharTokenizer,
    sha256: str,
    rare: dict[str, int],
    config: TextConfig,
) -> Corpus:
    return Corpus(ids, tokenizer, sha256, rare, config.val_fraction, config.test_fraction, mapping)


@dataclass(frozen=True)
class _Counted:
    """What pass 1 learns of a text."""

    num_chars: int
    sha256: str
    counts: np.ndarray[Any, np.dtype[np.int64]]


def cache_folder() -> Path:
    """Where large corpora's ids are kept: `$XDG_CACHE_HOME/charlstm`, or `~/.cache/charlstm`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "charlstm"


def load_corpus(
    sources: Sequence[Source],
    config: TextConfig,
    *,
    tokenizer: CharTokenizer | None = None,
    progress: ReadingProgress | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Corpus:
    """Read sources into ids.

    Args:
        sources: what to read; each is read twice.
        config: how to decode and divide it.
        tokenizer: the vocabulary of a run that continues; otherwise it is made from the text.
        progress: told how far the reading is.
        in_memory_bytes: ids that take more are written to the cache folder.

    Raises:
        SourceError: a source cannot be read or decoded.
        CorpusError: there is no text, or it changed while it was read.
        UnknownCharacterError: the given tokenizer lacks a character.
    """
    cache = _Cache(sources, config, tokenizer)
    if (found := cache.lookup()) is not None:
        return found
    counted = _count(sources, config, progress)
    if counted.num_chars == 0:
        names = ", ".join(source.name for source in sources)
        raise CorpusError(f"there is no text in {names}.")
    rare: dict[str, int] = {}
    if tokenizer is None:
        tokenizer, rare = CharTokenizer.from_counts(
            counted.counts, lowercase=config.lowercase, min_count=config.min_count
        )
    size = counted.num_chars * tokenizer.id_dtype.itemsize
    if size <= in_memory_bytes:
        ids: Ids = np.empty(counted.num_chars, dtype=tokenizer.id_dtype)
        done = 0
        for chunk in _encode(sources, config, tokenizer, counted, progress):
            ids[done : done + len(chunk)] = chunk
            done += len(chunk)
        return _corpus(ids, None, tokenizer, counted.sha256, rare, config)
    chunks = _encode(sources, config, tokenizer, counted, progress)
    return cache.write(chunks, counted, tokenizer, rare)


def _count(
    sources: Sequence[Source], config: TextConfig, progress: ReadingProgress | None
) -> _Counted:
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    digest = hashlib.sha256()
    total = 0
    for chunk in read_text(sources, config):
        count_code_points(chunk, counts)
        digest.update(chunk.encode("utf-8", "surrogatepass"))
        total += len(chunk)
        if progress is not None:
            progress("counting", total)
    return _Counted(total, digest.hexdigest(), counts)


def _encode(
    sources: Sequence[Source],
    config: TextConfig,
    tokenizer: CharTokenizer,
    counted: _Counted,
    progress: ReadingProgress | None,
) -> Iterator[Ids]:
    """Chunks of ids; what comes is no more than was counted, and at the end all of it."""
    changed = CorpusError("the text changed while it was being read; try again.")
    digest = hashlib.sha256()
    done = 0
    for chunk in read_text(sources, config):
        done += len(chunk)
        if done > counted.num_chars:
            raise changed
        digest.update(chunk.encode("utf-8", "surrogatepass"))
        try:
            yield tokenizer.encode(chunk)
        except UnknownCharacterError as error:
            raise changed from error
        if progress is not None:
            progress("encoding", done)
    if digest.hexdigest() != counted.sha256:
        raise changed


class _Cache:
    """Ids of large corpora: `KEY.ids` (raw ids) and `KEY.json` (what they are) in one folder.

    A failed write is no error: the ids then go to an unnamed temporary file.
    """

    def __init__(
        self, sources: Sequence[Source], config: TextConfig, tokenizer: CharTokenizer | None
    ) -> None:
        self.sources = sources
        self.config = config
        self.tokenizer = tokenizer
        self.folder = cache_folder()
        self._key: str | None = None

    def lookup(self) -> Corpus | None:
        """The corpus, if its ids are there and whole."""
        # Hashing a large text takes a while, so look first whether any entry can match.
        if not self._might_hold(self._raw_bytes()):
            return None
        try:
            entry = json.loads(self._path("json").read_text("utf-8"))
            tokenizer = CharTokenizer.from_json(entry["tokenizer"])
            if self.tokenizer is not None and tokenizer != self.tokenizer:
                return None
            with self._path("ids").open("rb") as file:
                ids, mapping = _map(file, tokenizer)
                whole = hashlib.file_digest(file, "sha256").hexdigest() == entry["ids_sha256"]
            if not whole:
                return None
            sha256, rare = str(entry["sha256"]), dict(entry["rare"])
            return _corpus(ids, mapping, tokenizer, sha256, rare, self.config)
        except (OSError, ValueError, KeyError, TypeError, CharlstmError):
            return None  # a damaged entry is as good as none: it is written anew

    def write(
        self,
        chunks: Iterable[Ids],
        counted: _Counted,
        tokenizer: CharTokenizer,
        rare: dict[str, int],
    ) -> Corpus:
        """Write ids into a new file, map it, and publish it.

        Raises:
            CorpusError: there is no room, neither here nor in the folder of temporary files.
        """
        digest = hashlib.sha256()
        with self._new_file() as file:
            name = Path(file.name) if isinstance(file.name, str) else None
            try:
                for chunk in chunks:
                    file.write(chunk.data)
                    digest.update(chunk.data)
                file.flush()
                ids, mapping = _map(file, tokenizer)
                if name is not None:
                    self._publish(name, counted, tokenizer, rare, digest.hexdigest())
                    name = None
            except OSError as error:
                size = counted.num_chars * tokenizer.id_dtype.itemsize
                raise CorpusError(
                    f"cannot write {size:,} bytes of ids: {error.strerror or error}.\n"
                    "Set XDG_CACHE_HOME (or TMPDIR) to a folder on a disk with room."
                ) from error
            finally:
                if name is not None:
                    name.unlink(missing_ok=True)
        return _corpus(ids, mapping, tokenizer, counted.sha256, rare, self.config)

    def _new_file(self) -> IO[bytes]:
        """A temporary file in the cache folder, or an unnamed one where that cannot be."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            return tempfile.NamedTemporaryFile(dir=self.folder, suffix=".tmp", delete=False)
        except OSError:
            return tempfile.TemporaryFile()

    def _publish(
        self,
        name: Path,
        counted: _Counted,
        tokenizer: CharTokenizer,
        rare: dict[str, int],
        ids_sha256: str,
    ) -> None:
        entry = {
            "num_chars": counted.num_chars,
            "sha256": counted.sha256,
            "ids_sha256": ids_sha256,
            "raw_bytes": self._raw_bytes(),
            "tokenizer": tokenizer.to_json(),
            "rare": rare,
        }
        os.replace(name, self._path("ids"))
        note = name.with_suffix(".json.tmp")
        note.write_text(json.dumps(entry), "utf-8")
        os.replace(note, self._path("json"))

    def _raw_bytes(self) -> int:
        total = 0
        for source in self.sources:
            with source.open() as raw:
                total += raw.seek(0, os.SEEK_END)
        return total

    def _might_hold(self, raw_bytes: int) -> bool:
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
            for name in ("val_fraction", "test_fraction", "glob"):
                del config[name]  # they do not change the ids
            digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
            for source in self.sources:
                own = hashlib.sha256()
                with source.open() as raw:
                    while block := raw.read(CHUNK_BYTES):
                        own.update(block)
                digest.update(own.digest())
            self._key = digest.hexdigest()[:40]
        return self.folder / f"{self._key}.{suffix}"


def _map(file: IO[bytes], tokenizer: CharTokenizer) -> tuple[Ids, mmap.mmap]:
    """A file's ids, mapped into memory for reading."""
    mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapping, dtype=tokenizer.id_dtype), mapping
