"""The two passes over a text: counting its characters, and encoding it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlstm.config import TextConfig
from charlstm.config.text import DOCUMENT_KINDS
from charlstm.errors import CorpusError, UnknownCharacterError
from charlstm.text.boundaries import Dropped, read_stream, whole_lines
from charlstm.text.code_points import CODE_POINTS, count_code_points
from charlstm.text.digest import Digest
from charlstm.text.sources import Source
from charlstm.text.tokenizer import BOUNDARY, CharTokenizer, Ids

ReadingProgress = Callable[[str, int], None]
"""Called with the activity ("counting", "encoding") and the number of characters processed."""


@dataclass(frozen=True)
class Counted:
    """The result of the first pass.

    Attributes:
        num_chars: number of characters.
        sha256: digest of the text in UTF-8.
        counts: counts of its code points, shape (0x110000,).
        found: what reading documents omits.
    """

    num_chars: int
    sha256: str
    counts: np.ndarray[Any, np.dtype[np.int64]]
    found: Dropped


def count_text(
    sources: Sequence[Source], config: TextConfig, progress: ReadingProgress | None = None
) -> Counted:
    """Count the characters of a text.

    Raises:
        SourceError: a source cannot be read or decoded.
    """
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
    return Counted(total, digest.hexdigest(), counts, found)


def check_any_text(counted: Counted, sources: Sequence[Source], config: TextConfig) -> None:
    """Check that a text is not empty.

    Raises:
        CorpusError: it is.
    """
    _check_not_empty(counted.num_chars, _documents(counted), sources, config)


def check_counts(counted: Counted, sources: Sequence[Source], config: TextConfig) -> None:
    """Check that there is text to train on, and that it has documents as configured.

    Raises:
        CorpusError: it does not.
    """
    check_text(counted.num_chars, _documents(counted), counted.found, sources, config)


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
        CorpusError: it does not.
    """
    _check_not_empty(num_chars, documents, sources, config)
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


def _documents(counted: Counted) -> int:
    """The number of documents, of a text that is divided into documents."""
    return int(counted.counts[ord(BOUNDARY)]) - 1


def _check_not_empty(
    num_chars: int, documents: int, sources: Sequence[Source], config: TextConfig
) -> None:
    if num_chars == 0 or (config.has_documents and documents < 1):
        names = ", ".join(source.name for source in sources)
        raise CorpusError(f"there is no text in {names}.")


def encode_text(
    sources: Sequence[Source],
    config: TextConfig,
    tokenizer: CharTokenizer,
    counted: Counted,
    progress: ReadingProgress | None = None,
    *,
    unknown: str = "error",
) -> Iterator[Ids]:
    """Chunks of ids of a text that was counted.

    Args:
        sources, config: the text.
        tokenizer: the vocabulary.
        counted: the result of the first pass.
        progress: called with the progress.
        unknown: handling of characters outside the vocabulary.

    Raises:
        SourceError: a source cannot be read or decoded.
        CorpusError: the text differs from the one that was counted.
        UnknownCharacterError: under `map`, a character has no equivalent.
    """
    digest = Digest()
    done = 0
    chunks: Iterable[str] = read_stream(sources, config)
    if unknown == "map":
        chunks = whole_lines(chunks, BOUNDARY if config.has_documents else "\n")
    for chunk in chunks:
        if done + len(chunk) > counted.num_chars:
            raise _changed()
        digest.update(chunk.encode("utf-8", "surrogatepass"))
        try:
            yield tokenizer.encode(chunk, unknown, boundaries=config.has_documents)
        except UnknownCharacterError as error:
            if unknown == "error":
                raise _changed() from error
            names = ", ".join(source.name for source in sources[:3])
            position = done + error.position - len(BOUNDARY) * config.has_documents
            raise UnknownCharacterError(error.character, position, names, error.form) from error
        done += len(chunk)
        if progress is not None:
            progress("encoding", done)
    if digest.hexdigest() != counted.sha256:
        raise _changed()


def _changed() -> CorpusError:
    return CorpusError(
        "the text changed while it was read.\nIf a program is still writing it, use a copy, or "
        "standard input: charlstm train - < FILE"
    )
