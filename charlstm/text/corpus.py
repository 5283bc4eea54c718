"""Encoding sources into ids, in bounded memory, in two passes.

Pass 1 counts characters, which gives the vocabulary and the length. Pass 2 writes ids, for large
texts into a memory-mapped file in the cache folder (see `charlstm.text.cache`).
"""

from __future__ import annotations

import mmap
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.config import TextConfig
from charlstm.config.text import DOCUMENT_KINDS
from charlstm.errors import ChangedTextError, CorpusError, UnknownCharacterError
from charlstm.text.boundaries import Dropped, read_stream
from charlstm.text.cache import Cache
from charlstm.text.code_points import CODE_POINTS, count_code_points
from charlstm.text.digest import Digest
from charlstm.text.document_part import DocumentPart
from charlstm.text.document_splits import DocumentSplit, document_split
from charlstm.text.parts import Part, Span
from charlstm.text.shift import is_other_tail
from charlstm.text.sources import Source
from charlstm.text.splits import METHODS, Split, held_out
from charlstm.text.tokenizer import BOUNDARY, CharTokenizer, Ids

IN_MEMORY_BYTES = 32 << 20

ReadingProgress = Callable[[str, int], None]
"""Called with the activity ("counting", "encoding") and the number of characters processed."""

SplitMaker = Callable[[Ids], Split | DocumentSplit]
"""Makes the split of a text from its ids."""


@dataclass(frozen=True)
class Corpus:
    """An encoded text with its vocabulary.

    Attributes:
        ids: shape (num_chars,), unsigned; may be memory-mapped.
        tokenizer: its vocabulary.
        sha256: digest of the joined text in UTF-8, after converting line endings.
        rare: characters read as the replacement character, with their counts.
        split: which characters are held out.
        empty: number of documents of whitespace only, which are omitted; None: not counted.
        mapping: the memory map of `ids`, if any.
        path: the mapped file, if it has a name.
    """

    ids: Ids
    tokenizer: CharTokenizer
    sha256: str
    rare: dict[str, int]
    split: Split | DocumentSplit
    mapping: mmap.mmap | None = None
    path: Path | None = None
    empty: int | None = None

    def release(self) -> None:
        """Release the pages of the mapped file; they are read again when needed.

        The system could reclaim such pages at any time, but counts them as the process's memory.
        """
        if self.mapping is not None and hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def has_other_tail(self) -> bool:
        """Whether the tail is held out and differs from the rest (see `charlstm.text.shift`)."""
        held = len(self.val) + len(self.test)
        return self.split.method == "tail" and is_other_tail(self.ids, len(self.tokenizer), held)

    @cached_property
    def train(self) -> Part:
        """The training part."""
        return self._part(self.split.train)

    @cached_property
    def val(self) -> Part:
        """The validation part."""
        return self._part(self.split.val)

    @cached_property
    def test(self) -> Part:
        """The test part."""
        return self._part(self.split.test)

    def _part(self, held: DocumentPart | tuple[Span, ...]) -> Part:
        return held if isinstance(held, Part) else Part(self.ids, held)


@dataclass(frozen=True)
class _Counted:
    """The result of pass 1."""

    num_chars: int
    sha256: str
    counts: np.ndarray[Any, np.dtype[np.int64]]
    found: Dropped


def load_corpus(
    sources: Sequence[Source],
    config: TextConfig,
    *,
    tokenizer: CharTokenizer | None = None,
    sha256: str | None = None,
    split: SplitMaker | None = None,
    progress: ReadingProgress | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Corpus:
    """Read and encode sources.

    Args:
        sources: the sources; each is read twice.
        config: how to decode and split the text.
        tokenizer: the vocabulary of a resumed run; None: build it from the text.
        sha256: the required digest of the text; None: any.
        split: makes the split from the ids, such as the one that a checkpoint records; None: made
            as configured.
        progress: called with the progress of reading.
        in_memory_bytes: ids that take more are written to the cache folder.

    Raises:
        SourceError: a source cannot be read or decoded.
        ChangedTextError: the digest differs from `sha256`.
        CorpusError: the text is empty, has no documents as configured, changed while it was read,
            or ids cannot be written.
    """
    cache = Cache(sources, config)
    found = cache.lookup()
    if (
        found is not None
        and tokenizer in (None, found.tokenizer)
        and sha256 in (None, found.sha256)
    ):
        return Corpus(
            found.ids, found.tokenizer, found.sha256, found.rare,
            make_split(found.ids, len(found.tokenizer), config, split), found.mapping, found.path,
            found.empty,
        )  # fmt: skip
    counted = _count(sources, config, progress)
    if sha256 not in (None, counted.sha256):
        raise ChangedTextError("the text has changed.")
    documents = int(counted.counts[ord(BOUNDARY)]) - 1
    check_text(counted.num_chars, documents, counted.found, sources, config)
    rare: dict[str, int] = {}
    if tokenizer is None:
        tokenizer, rare = CharTokenizer.from_counts(
            counted.counts, lowercase=config.lowercase, min_count=config.min_count,
            boundary=config.has_documents,
        )  # fmt: skip
    empty = counted.found.empty if config.has_documents else None
    chunks = _encode(sources, config, tokenizer, counted, progress)
    mapping = path = None
    if counted.num_chars * tokenizer.id_dtype.itemsize <= in_memory_bytes:
        ids: Ids = np.empty(counted.num_chars, dtype=tokenizer.id_dtype)
        done = 0
        for chunk in chunks:
            ids[done : done + len(chunk)] = chunk
            done += len(chunk)
    else:
        ids, mapping, path = cache.write(
            chunks, counted.num_chars, counted.sha256, tokenizer, rare, empty
        )
    made = make_split(ids, len(tokenizer), config, split)
    return Corpus(ids, tokenizer, counted.sha256, rare, made, mapping, path, empty)


def make_split(
    ids: Ids, vocab_size: int, config: TextConfig, recorded: SplitMaker | None = None
) -> Split | DocumentSplit:
    """The recorded split of a text; without a record, the configured split."""
    if recorded is not None:
        return recorded(ids)
    fractions = (config.val_fraction, config.test_fraction)
    if config.has_documents:
        return document_split(ids, *fractions)
    method = config.split
    if method == "auto":
        held = sum(held_out(len(ids), *fractions))
        method = "blocks" if is_other_tail(ids, vocab_size, held) else "tail"
    return METHODS[method](len(ids), *fractions)


def _count(
    sources: Sequence[Source], config: TextConfig, progress: ReadingProgress | None
) -> _Counted:
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    digest = Digest()
    found = Dropped()
    total = 0
    for chunk in read_stream(sources, config, found):
        count_code_points(chunk, counts)
        digest.update(chunk.encode("utf-8", "surrogatepass"))
        total += len(chunk)
        if progress is not None:
            progress("counting", total)
    return _Counted(total, digest.hexdigest(), counts, found)


def check_text(
    num_chars: int, documents: int, found: Dropped, sources: Sequence[Source], config: TextConfig
) -> None:
    """Check that there is text to train on, and that it has documents as configured.

    Args:
        num_chars: length of the text.
        documents: number of documents; any number if the text is not divided.
        found: what was omitted.
        sources: the sources.
        config: how they were read.

    Raises:
        CorpusError: there is not.
    """
    if num_chars == 0 or (config.has_documents and documents < 1):
        names = ", ".join(source.name for source in sources)
        raise CorpusError(f"there is no text in {names}.")
    if not config.has_documents or documents > 1:
        return
    what = f"--documents {shlex.quote(config.documents)}"
    if config.documents not in DOCUMENT_KINDS and not found.separators:
        raise CorpusError(
            f"{what}: this separator never occurs in the text.\n"
            "Give the one that it has, or line, blank-line or file; or omit --documents."
        )
    raise CorpusError(
        f"{what}: the text is one document; at least 2 are needed.\n"
        "Give another kind (line, blank-line, file) or a separator, or omit --documents."
    )


def _encode(
    sources: Sequence[Source],
    config: TextConfig,
    tokenizer: CharTokenizer,
    counted: _Counted,
    progress: ReadingProgress | None,
) -> Iterator[Ids]:
    """Chunks of ids.

    Raises:
        CorpusError: the text differs from the one that was counted.
    """
    changed = CorpusError(
        "the text changed while it was read.\nIf a program is still writing it, use a copy, or "
        "standard input: charlstm train - < FILE"
    )
    digest = Digest()
    done = 0
    for chunk in read_stream(sources, config):
        done += len(chunk)
        if done > counted.num_chars:
            raise changed
        digest.update(chunk.encode("utf-8", "surrogatepass"))
        try:
            yield tokenizer.encode(chunk, boundaries=config.has_documents)
        except UnknownCharacterError as error:
            raise changed from error
        if progress is not None:
            progress("encoding", done)
    if digest.hexdigest() != counted.sha256:
        raise changed
