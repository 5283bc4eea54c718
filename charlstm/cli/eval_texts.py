"""Texts given to `eval`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from charlstm.cli import output
from charlstm.cli.eval_result import Facts, Result
from charlstm.cli.progress import counting, reading
from charlstm.config import TextConfig
from charlstm.errors import CorpusError, UnknownCharacterError

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.long_texts import Adaptive
    from charlstm.text.sources import Source
    from charlstm.text.tokenizer import Ids


class GivenTexts:
    """Texts given on the command line.

    Args:
        texts: files, folders, or `-`.
        config: how to find and decode them.
        unknown: handling of unknown characters.
    """

    def __init__(self, texts: Sequence[str], config: TextConfig, unknown: str) -> None:
        from charlstm.text.folders import FolderFiles, summary, without_effect
        from charlstm.text.sources import find_sources

        folders: list[FolderFiles] = []
        self._sources = find_sources(texts, config.glob, config.exclude, on_folder=folders.append)
        for line in (*map(summary, folders), *without_effect(folders, config)):
            output.say(line)
        self._config, self._unknown = config, unknown
        self.name = ", ".join("standard input" if text == "-" else text for text in texts)

    def evaluate(self, model: LanguageModel, cold_window: int, reader: Adaptive | None) -> Result:
        """Evaluate a model, in bounded memory.

        The texts are read twice, so that an error is found before a long evaluation; a text of one
        excerpt is kept.

        Raises:
            CharlstmError: the texts cannot be read or evaluated on.
        """
        from charlstm.inference.long_texts import score_stream
        from charlstm.text.code_points import num_bytes_of
        from charlstm.text.excerpts import EXCERPT

        config = self._config.reading_as(model.config.text)
        first = _Pass(model, self._sources, config, self._unknown)
        facts, kept = Facts(model), []
        with reading(quiet=False) as progress:
            for ids in first:
                facts.add(ids)
                if first.length <= EXCERPT:
                    kept.append(ids)
                else:
                    kept.clear()
                progress("reading", first.read)
        if self._unknown == "skip" and first.omitted and first.length < 2:
            raise CorpusError(
                f"the model knows {first.length:,} of the text's {first.read:,} characters; at "
                "least 2 are needed to evaluate on it.\nGive another text, or --unknown replace, "
                "which counts unknown characters, too."
            )
        again = _Pass(model, self._sources, config, self._unknown)
        chunks: Iterable[Ids] = kept if first.length <= EXCERPT else again
        doing = "evaluating" if reader is None else "evaluating, also with --dynamic"
        with counting(first.length, doing) as count:
            score, adapted, documents = score_stream(
                model, chunks, cold_window=cold_window, adaptive=reader, progress=count
            )
        if chunks is again and again.length != first.length:
            raise CorpusError(
                "the text changed while it was read.\nIf a program is still writing it, use a "
                "copy, or standard input: charlstm eval RUN - < FILE"
            )
        unknown = {}
        if self._unknown == "skip":
            unknown = {
                "unknown": first.omitted.total(),
                "unknown_bytes": num_bytes_of(first.omitted),
            }
        return Result(
            replace(score, **unknown),
            None if adapted is None else replace(adapted, **unknown),
            documents if model.tokenizer.boundary else None,
            facts.unigram_nats,
            facts.compressed(),
            first.omitted,
            first.mapped,
        )


class _Pass:
    """One pass over the sources: chunks of ids.

    Attributes:
        read: number of characters read.
        length: number of ids.
        omitted: counts of unknown characters that were omitted or replaced.
        mapped: counts of those mapped.
    """

    def __init__(
        self, model: LanguageModel, sources: Sequence[Source], config: TextConfig, unknown: str
    ) -> None:
        self._model, self._sources = model, sources
        self._config, self._unknown = config, unknown
        self.read = self.length = 0
        self.omitted, self.mapped = Counter[str](), Counter[tuple[str, str]]()

    def __iter__(self) -> Iterator[Ids]:
        for source in self._sources:
            yield from self._source(source)

    def _source(self, source: Source) -> Iterator[Ids]:
        from charlstm.text.boundaries import read_stream, whole_lines
        from charlstm.text.tokenizer import BOUNDARY

        model, unknown = self._model, self._unknown
        has_documents = model.tokenizer.boundary
        position = -len(BOUNDARY) if has_documents else 0  # before the first document
        chunks: Iterable[str] = read_stream([source], self._config)
        if unknown == "map":
            chunks = whole_lines(chunks, BOUNDARY if has_documents else "\n")
        for chunk in chunks:
            try:
                read = model.texts.read(chunk, unknown)
                ids = model.tokenizer.encode(read.text, unknown, boundaries=True)
            except UnknownCharacterError as error:
                raise UnknownCharacterError(
                    error.character, position + error.position, source.name, error.form
                ) from error
            self.mapped.update(read.counts)
            if unknown != "error":
                self.omitted.update(model.tokenizer.unknown_characters(read.text))
            position += len(chunk)
            self.read += len(chunk)
            self.length += len(ids)
            yield ids
