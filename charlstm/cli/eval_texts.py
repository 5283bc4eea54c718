"""Texts given to `eval`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from charlstm.cli import output
from charlstm.config import TextConfig
from charlstm.errors import UnknownCharacterError

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.text.corpus import ReadingProgress
    from charlstm.text.tokenizer import Ids


def encode_texts(
    model: LanguageModel,
    texts: Sequence[str],
    config: TextConfig,
    unknown: str,
    progress: ReadingProgress,
) -> tuple[Ids, Counter[str], Counter[tuple[str, str]]]:
    """Ids of texts, counts of their unknown characters, and counts of those mapped."""
    import numpy as np

    from charlstm.text.boundaries import read_stream, whole_lines
    from charlstm.text.folders import FolderFiles, summary, without_effect
    from charlstm.text.sources import find_sources
    from charlstm.text.tokenizer import BOUNDARY

    border = BOUNDARY if model.tokenizer.boundary else "\n"
    parts, unknown_counts, mapped = [], Counter[str](), Counter[tuple[str, str]]()
    folders: list[FolderFiles] = []
    sources = find_sources(texts, config.glob, config.exclude, on_folder=folders.append)
    for line in (*map(summary, folders), *without_effect(folders, config)):
        output.say(line)
    done = 0
    for source in sources:
        position = -len(BOUNDARY) if model.tokenizer.boundary else 0  # before the first document
        chunks: Iterable[str] = read_stream([source], config)
        if unknown == "map":
            chunks = whole_lines(chunks, border)
        for chunk in chunks:
            try:
                read = model.texts.read(chunk, unknown)
                parts.append(model.tokenizer.encode(read.text, unknown, boundaries=True))
            except UnknownCharacterError as error:
                raise UnknownCharacterError(
                    error.character, position + error.position, source.name, error.form
                ) from error
            mapped.update(read.counts)
            if unknown != "error":
                unknown_counts.update(model.tokenizer.unknown_characters(read.text))
            position += len(chunk)
            done += len(chunk)
            progress("encoding", done)
    empty: Any = np.empty(0, dtype=model.tokenizer.id_dtype)
    return np.concatenate([empty, *parts]), unknown_counts, mapped
