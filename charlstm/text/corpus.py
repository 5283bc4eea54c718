"""Chunks of text -> ids, in bounded memory, in two passes.

Pass 1 counts characters, which gives the vocabulary and the length. Pass 2 writes ids: into
memory if they are few, otherwise into a memory-mapped file in the user's cache folder. A cached
file is found again by the content of the sources and the tokenizer, never by path or time, and
its own content is verified before use.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.config import TextConfig
from charlstm.errors import CorpusError, SourceError
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
    """

    ids: Ids
    tokenizer: CharTokenizer
    sha256: str
    rare: dict[str, int] = field(default_factory=dict)
    val_fraction: float = 0.1
    test_fraction: float = 0.0

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
        _encode(sources, config, tokenizer, counted, ids, progress)
    else:
        ids = cache.write(
            counted,
            tokenizer,
            rare,
            lambda out: _encode(sources, config, tokenizer, counted, out, progress),
        )
    return Corpus(ids, tokenizer, counted.sha256, rare, config.val_fraction, config.test_fraction)


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
    out: Ids,
    progress: ReadingProgress | None,
) -> None:
    digest = hashlib.sha256()
    done = 0
    for chunk in read_text(sources, config):
        end = done + len(chunk)
        if end <= len(out):
            out[done:end] = tokenizer.encode(chunk)
        digest.update(chunk.encode("utf-8", "surrogatepass"))
        done = end
        if progress is not None:
            progress("encoding", done)
    if done != len(out) or digest.hexdigest() != counted.sha256:
        raise CorpusError("the text changed while it was being read; try again.")


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
            ids = np.memmap(self._path("ids"), dtype=tokenizer.id_dtype, mode="r")
            whole = len(ids) == entry["num_chars"] and _digest(ids) == entry["ids_sha256"]
            if not whole or (self.tokenizer is not None and tokenizer != self.tokenizer):
                return None
            return Corpus(
                ids,
                tokenizer,
                str(entry["sha256"]),
                dict(entry["rare"]),
                self.config.val_fraction,
                self.config.test_fraction,
            )
        except (OSError, ValueError, KeyError, TypeError, SourceError):
            return None  # a damaged entry is as good as none: it is written anew

    def write(
        self,
        counted: _Counted,
        tokenizer: CharTokenizer,
        rare: dict[str, int],
        fill: Callable[[Ids], None],
    ) -> Ids:
        """Have `fill` write the ids into a new memory-mapped file, and publish it."""
        dtype, size = tokenizer.id_dtype, counted.num_chars
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = tempfile.NamedTemporaryFile(  # noqa: SIM115 - renamed below
                dir=self.folder, suffix=".tmp", delete=False
            )
        except OSError:
            handle = tempfile.TemporaryFile()  # type: ignore[assignment] # noqa: SIM115
        name: Path | None = Path(handle.name) if isinstance(handle.name, str) else None
        try:
            with handle:
                _reserve(handle.fileno(), size * dtype.itemsize)
                ids = np.memmap(handle, dtype=dtype, mode="r+", shape=(size,))
                fill(ids)
                ids.flush()
            if name is not None:
                self._publish(name, counted, tokenizer, rare, ids)
                name = None
        finally:
            if name is not None:
                name.unlink(missing_ok=True)
        ids.flags.writeable = False
        return ids

    def _publish(
        self,
        name: Path,
        counted: _Counted,
        tokenizer: CharTokenizer,
        rare: dict[str, int],
        ids: Ids,
    ) -> None:
        entry = {
            "num_chars": counted.num_chars,
            "sha256": counted.sha256,
            "ids_sha256": _digest(ids),
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


def _reserve(descriptor: int, size: int) -> None:
    """Take the disk space now: writing into a hole on a full disk would end in a signal."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (22, 95):  # EINVAL, EOPNOTSUPP
            raise CorpusError(
                f"no room for {size:,} bytes of ids: {error.strerror}.\n"
                "Set XDG_CACHE_HOME or TMPDIR to a folder on a disk with room."
            ) from error
        os.truncate(descriptor, size)


def _digest(ids: Ids) -> str:
    return hashlib.sha256(np.ascontiguousarray(ids).view(np.uint8).data).hexdigest()
