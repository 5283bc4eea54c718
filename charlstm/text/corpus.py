"""Encoding sources into ids, in bounded memory, in two passes.

Pass 1 counts characters, which gives the vocabulary and the length. Pass 2 writes ids, for large
texts into a memory-mapped file in the cache folder (see `charlstm.text.cache`). Separate texts for
validation and testing follow the training text (see `charlstm.text.separate`).
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from charlstm.config import TextConfig
from charlstm.errors import ChangedTextError, CorpusError
from charlstm.text.cache import Cache
from charlstm.text.document_part import DocumentPart
from charlstm.text.document_splits import DocumentSplit, document_split
from charlstm.text.parts import Part, Span
from charlstm.text.passes import (
    ReadingProgress,
    check_any_text,
    check_counts,
    count_text,
    encode_text,
)
from charlstm.text.separate import (
    NAMES,
    SeparateText,
    Sizes,
    check_apart,
    check_different,
    check_unknown,
    sizes_of,
    unknown_in,
)
from charlstm.text.shift import is_other_tail
from charlstm.text.sources import Source
from charlstm.text.splits import METHODS, Split, held_out
from charlstm.text.tokenizer import CharTokenizer, Ids

__all__ = ["Corpus", "ReadingProgress", "SplitMaker", "load_corpus", "make_split"]

IN_MEMORY_BYTES = 32 << 20

SplitMaker = Callable[[Ids, Sizes], Split | DocumentSplit]
"""Makes the split of a text from its ids and the sizes of separate texts at their end."""


@dataclass(frozen=True)
class Corpus:
    """An encoded text with its vocabulary.

    Attributes:
        ids: shape (num_chars,), unsigned; may be memory-mapped. Separate texts come last, an old
            text after all others.
        tokenizer: its vocabulary.
        sha256: digest of the joined text in UTF-8, after converting line endings; without separate
            texts.
        rare: characters read as the replacement character, with their counts.
        split: which characters are held out.
        empty: number of documents of whitespace only, which are omitted; None: not counted.
        mapping: the memory map of `ids`, if any.
        path: the mapped file, if it has a name.
        separate: facts of the separate texts, by part (see `charlstm.text.separate`).
    """

    ids: Ids
    tokenizer: CharTokenizer
    sha256: str
    rare: dict[str, int]
    split: Split | DocumentSplit
    mapping: mmap.mmap | None = None
    path: Path | None = None
    empty: int | None = None
    separate: Mapping[str, SeparateText] = field(default_factory=dict)

    def release(self) -> None:
        """Release the pages of the mapped file; they are read again when needed.

        The system could reclaim such pages at any time, but counts them as the process's memory.
        """
        if self.mapping is not None and hasattr(self.mapping, "madvise"):
            self.mapping.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        """Number of characters, without those of the old text."""
        return len(self.ids) - _old_size(self.separate)

    @property
    def old_ids(self) -> Ids:
        """The ids of the old text, as a view; of documents, the boundary before them included."""
        return self.ids[len(self) - self.tokenizer.boundary :]

    @cached_property
    def has_other_tail(self) -> bool:
        """Whether the tail is held out and differs from the rest (see `charlstm.text.shift`)."""
        if "val" in self.separate:
            return False
        held = len(self.val) + len(self.test)
        ids = self.ids[: len(self)]
        return self.split.method == "tail" and is_other_tail(ids, len(self.tokenizer), held)

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


def load_corpus(
    sources: Sequence[Source],
    config: TextConfig,
    *,
    separate: Mapping[str, Sequence[Source]] | None = None,
    tokenizer: CharTokenizer | None = None,
    sha256: str | None = None,
    separate_sha256: Mapping[str, str] | None = None,
    split: SplitMaker | None = None,
    also: str = "",
    progress: ReadingProgress | None = None,
    in_memory_bytes: int = IN_MEMORY_BYTES,
) -> Corpus:
    """Read and encode sources.

    Args:
        sources: the sources; each is read twice.
        config: how to decode and split the text.
        separate: the sources of separate texts, by part.
        tokenizer: the vocabulary of a resumed run; None: build it from the text.
        sha256: the required digest of the text; None: any.
        separate_sha256: the required digests of separate texts, by part; None: any.
        split: makes the split from the ids, such as the one that a checkpoint records; None: made
            as configured.
        also: further characters of the vocabulary, as for `CharTokenizer.from_counts`.
        progress: called with the progress of reading.
        in_memory_bytes: ids that take more are written to the cache folder.

    Raises:
        SourceError: a source cannot be read or decoded.
        ChangedTextError: a digest differs from the required one.
        CorpusError: a text is empty, has no documents as configured, changed while it was read,
            is used for two parts, has characters that the vocabulary lacks, or ids cannot be
            written.
    """
    apart = {part: separate[part] for part in NAMES if part in separate} if separate else {}
    check_apart(sources, apart)
    cache = Cache(sources, config, apart, also)
    found = cache.lookup()
    if (
        found is not None
        and tokenizer in (None, found.tokenizer)
        and sha256 in (None, found.sha256)
        and separate_sha256 in (None, {part: own.sha256 for part, own in found.separate.items()})
    ):
        text_ids = found.ids[: len(found.ids) - _old_size(found.separate)]
        made = make_split(text_ids, len(found.tokenizer), config, split, sizes_of(found.separate))
        return _checked(
            found.ids, found.tokenizer, found.sha256, found.rare, made, found.mapping, found.path,
            found.empty, found.separate,
        )  # fmt: skip
    counted = count_text(sources, config, progress)
    if sha256 not in (None, counted.sha256):
        raise ChangedTextError("the text has changed.")
    check_counts(counted, sources, config)
    counted_apart = {part: count_text(own, config, progress) for part, own in apart.items()}
    for part, own in counted_apart.items():
        check_any_text(own, apart[part], config)
        if separate_sha256 is not None and separate_sha256.get(part) != own.sha256:
            raise ChangedTextError(f"the {NAMES[part]} text has changed.", part)
    check_different(counted.sha256, {part: own.sha256 for part, own in counted_apart.items()})
    rare: dict[str, int] = {}
    if tokenizer is None:
        tokenizer, rare = CharTokenizer.from_counts(
            counted.counts, lowercase=config.lowercase, min_count=config.min_count,
            boundary=config.has_documents, also=also,
        )  # fmt: skip
    unknown = {p: unknown_in(own.counts, tokenizer) for p, own in counted_apart.items()}
    for part, characters in unknown.items():
        check_unknown(part, characters, config)
    empty = counted.found.empty if config.has_documents else None
    facts: dict[str, SeparateText] = {}

    def chunks() -> Iterator[Ids]:
        yield from encode_text(sources, config, tokenizer, counted, progress)
        for part, own in counted_apart.items():
            size = 0
            encoded = encode_text(
                apart[part], config, tokenizer, own, progress, unknown=config.unknown
            )
            if config.has_documents:
                next(encoded)  # the boundary, with which the text before it ends
            for ids in encoded:
                size += len(ids)
                yield ids
            facts[part] = SeparateText(size, own.sha256, unknown[part])

    num_chars = counted.num_chars + sum(own.num_chars for own in counted_apart.values())
    mapping = path = None
    if num_chars * tokenizer.id_dtype.itemsize <= in_memory_bytes:
        ids: Ids = _joined(chunks(), num_chars, tokenizer)
    else:
        ids, mapping, path = cache.write(
            chunks(), num_chars, counted.sha256, tokenizer, rare, empty, facts
        )
    text_ids = ids[: len(ids) - _old_size(facts)]
    made = make_split(text_ids, len(tokenizer), config, split, sizes_of(facts))
    return _checked(ids, tokenizer, counted.sha256, rare, made, mapping, path, empty, facts)


def _old_size(separate: Mapping[str, SeparateText]) -> int:
    """Number of ids of the old text; 0 if there is none."""
    return separate["replay"].num_chars if "replay" in separate else 0


def _checked(*fields: Any) -> Corpus:
    """A corpus whose separate texts are long enough to evaluate on.

    Raises:
        CorpusError: one is not.
    """
    corpus = Corpus(*fields)
    for part, own in corpus.separate.items():
        if part != "replay" and getattr(corpus, part).predictions < 1:
            raise CorpusError(
                f"--{part}: the {NAMES[part]} text has {own.num_chars} character(s) that the model "
                "reads; at least 2 are needed to evaluate on it."
            )
    return corpus


def make_split(
    ids: Ids,
    vocab_size: int,
    config: TextConfig,
    recorded: SplitMaker | None = None,
    sizes: Sizes = (0, 0),
) -> Split | DocumentSplit:
    """The recorded split of a text; without a record, the configured split.

    Args:
        ids: the text, with separate texts at its end; shape (num_chars,).
        vocab_size: V.
        config: how to split it; the fraction of a separate part is 0.
        recorded: makes the recorded split.
        sizes: numbers of ids of the separate texts.
    """
    if recorded is not None:
        return recorded(ids, sizes)
    fractions = (config.val_fraction, config.test_fraction)
    if config.has_documents:
        return document_split(ids, *fractions, sizes=sizes)
    method, own = config.split, ids[: len(ids) - sum(sizes)]
    if method == "auto":
        held = sum(held_out(len(own), *fractions))
        method = "blocks" if is_other_tail(own, vocab_size, held) else "tail"
    return METHODS[method](len(own), *fractions).followed_by(sizes)


def _joined(chunks: Iterator[Ids], num_chars: int, tokenizer: CharTokenizer) -> Ids:
    """Chunks of ids in one array; `num_chars` is their expected number."""
    ids: Ids = np.empty(num_chars, dtype=tokenizer.id_dtype)
    done = 0
    for chunk in chunks:
        if done + len(chunk) > len(ids):  # an unknown character was mapped to several
            ids = np.concatenate([ids[:done], np.empty(len(chunk) + len(ids), dtype=ids.dtype)])
        ids[done : done + len(chunk)] = chunk
        done += len(chunk)
    return ids[:done]
