"""Evaluation on many texts, each from its own beginning: lines of a log, documents, files.

A model of documents reads each text from the zero state after the symbol between documents, and
predicts all of its characters and its end. Any other model reads a newline first, as it does
before it generates without a prompt, and predicts all of the text's characters and the newline
after it. If its vocabulary has no newline, it reads another character first, and the end does not
count.

An unknown character that is omitted or replaced counts as a character with a loss of
`UNKNOWN_NATS`: a text does not get less surprising by what the model cannot read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from charlstm.config.fields import check_type
from charlstm.errors import SourceError, UnknownCharacterError
from charlstm.inference.score import UNKNOWN_NATS
from charlstm.inference.segment_losses import SegmentReader, Segments
from charlstm.inference.text_score import TextScore, TextSum, name_of_text
from charlstm.text.code_points import code_points
from charlstm.text.passages import BLOCK_CHARS, BLOCK_PASSAGES, Passage
from charlstm.text.tokenizer import BOUNDARY

if TYPE_CHECKING:
    from charlstm.inference.bidirectional import BidirectionalModel
    from charlstm.inference.engine import Engine
    from charlstm.inference.texts import TextReader


class _Encoded(NamedTuple):
    """Passages as segments of one text, in which each is preceded by what the model reads first.

    Attributes:
        segments: the passages, of the ids that the model reads, (T,).
        kept: positions of these ids in the text, (T,).
        firsts, stops: the first position of each passage, and one past its last.
        is_unknown: which characters of the text are unknown and omitted or replaced.
    """

    segments: Segments
    kept: NDArray[np.int64]
    firsts: list[int]
    stops: list[int]
    is_unknown: NDArray[np.bool_]


class EachScorer:
    """Scores texts by one model.

    Args:
        network: the model's network.
        reader: reads texts as the model's text was read.
        unknown: handling of unknown characters: error, skip, replace or map.

    Attributes:
        unknown_counts: the unknown characters that were omitted or replaced.
        mapped: those that were mapped to equivalents.
    """

    def __init__(
        self, network: Engine | BidirectionalModel, reader: TextReader, unknown: str
    ) -> None:
        self._segments = SegmentReader(network)
        self._reader, self._tokenizer, self._unknown = reader, reader.tokenizer, unknown
        known = self._tokenizer.characters
        self._start = BOUNDARY if self._tokenizer.boundary else "\n"
        self._end = self._start
        if self._start not in known:
            self._start, self._end = " " if " " in known else known[0], ""
        self.unknown_counts: Counter[str] = Counter()
        self.mapped: Counter[tuple[str, str]] = Counter()
        self._open: TextSum | None = None

    def score(self, passages: Sequence[Passage]) -> Iterator[TextScore]:
        """The scores of the texts that end in these passages, in their order.

        The last text continues in the passages of the next call if it does not end.

        Raises:
            UnknownCharacterError: under `error`, or under `map` without an equivalent.
            CorpusError: no character of a text is predicted.
        """
        texts, befores = self._read(passages)
        encoded = self._encode(passages, texts, befores)
        losses, is_unknown = np.zeros(encoded.stops[-1]), encoded.is_unknown
        losses[encoded.kept] = self._segments.losses(encoded.segments)
        losses[is_unknown] = UNKNOWN_NATS
        for n, passage in enumerate(passages):
            total = self._open or TextSum(passage, texts[n])
            first, stop = encoded.firsts[n], encoded.stops[n]
            total.add(passage.document, texts[n], losses[first:stop])
            total.unknown_characters += int(is_unknown[first:stop].sum())
            self._open = None if passage.last else total
            if passage.last:
                yield total.score()

    def _read(self, passages: Sequence[Passage]) -> tuple[list[str], list[str]]:
        """Texts and the characters read before each, by the rules of the model's text."""
        texts: list[str] = []
        befores: list[str] = []
        for n, passage in enumerate(passages):
            try:
                read = self._reader.read(passage.text, self._unknown)
                before = passage.before and self._reader.read(passage.before, self._unknown).text
            except UnknownCharacterError as error:
                raise self._located(error, passages, n, error.position) from error
            self.mapped.update(read.counts)
            if before and self._unknown == "skip":
                before = "".join(filter(self._tokenizer.knows, before))
            texts.append(read.text)
            befores.append(before or self._start)
        return texts, befores

    def _encode(
        self, passages: Sequence[Passage], texts: list[str], befores: list[str]
    ) -> _Encoded:
        """Passages as segments of one text."""
        ends = [self._end if passage.ends else "" for passage in passages]
        joined = "".join(chain.from_iterable(zip(befores, texts, ends, strict=True)))
        leads, lengths = (
            np.fromiter(map(len, parts), np.int64, len(parts)) for parts in (befores, texts)
        )
        extra = np.fromiter(map(len, ends), np.int64, len(ends))
        stops = np.cumsum(leads + lengths + extra)
        begins = np.concatenate([[0], stops[:-1]])
        firsts = begins + leads
        omits = self._unknown in ("skip", "replace")
        try:
            policy = "replace" if omits else "error"
            ids = self._tokenizer.encode(joined, policy, boundaries=True)
        except UnknownCharacterError as error:
            n = int(np.searchsorted(begins, error.position, side="right")) - 1
            position = error.position - int(firsts[n])
            raise self._located(error, passages, n, position) from error
        is_unknown = np.zeros(len(joined), dtype=bool)
        kept = np.arange(len(joined))
        segments = Segments(ids, begins, firsts, stops)
        if omits and (found := self._tokenizer.unknown_characters(joined)):
            points = code_points(joined)
            is_unknown = np.isin(points, [ord(character) for character in found])
            is_counted = np.arange(len(joined)) >= np.repeat(firsts, stops - begins)
            self.unknown_counts.update(map(chr, points[is_unknown & is_counted].tolist()))
            if self._unknown == "skip":
                kept = np.flatnonzero(~is_unknown)
                new = np.concatenate([[0], np.cumsum(~is_unknown)])
                segments = Segments(ids[kept], new[begins], new[firsts], new[stops])
        return _Encoded(segments, kept, firsts.tolist(), stops.tolist(), is_unknown)

    def _located(
        self, error: UnknownCharacterError, passages: Sequence[Passage], n: int, position: int
    ) -> UnknownCharacterError:
        """The error of a character at a position of passage n, with its position in the text."""
        passage = passages[n]
        while n and not passages[n - 1].ends:
            n -= 1
            position += len(passages[n].text)
        if not n and self._open is not None and passages[0].before:
            position += self._open.done
        name = name_of_text(passage.source, passage.number, passage.document)
        return UnknownCharacterError(error.character, position, name, error.form)


def score_texts(scorer: EachScorer, texts: Iterable[object]) -> Iterator[TextScore]:
    """The scores of texts in memory, in their order; texts are taken a million characters ahead.

    Raises:
        ArgumentTypeError: one is not a str.
        SourceError: one has a NUL character.
        UnknownCharacterError, CorpusError: as for `EachScorer.score`.
    """
    block: list[Passage] = []
    size = 0
    for number, given in enumerate(texts, start=1):
        text = check_type(f"text {number}", given, str)
        if "\0" in text:
            raise SourceError(
                f"text {number} has a NUL character ('\\0'), which text must not contain."
            )
        block.append(Passage("", number, text))
        size += len(text)
        if size >= BLOCK_CHARS or len(block) >= BLOCK_PASSAGES:
            yield from scorer.score(block)
            block, size = [], 0
    if block:
        yield from scorer.score(block)
