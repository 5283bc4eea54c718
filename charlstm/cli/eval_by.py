"""`charlstm eval --by`: a score for each line, document or file."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from charlstm.cli import output
from charlstm.cli.inputs import say_mapped, say_unknown
from charlstm.cli.progress import reading
from charlstm.config import EvalConfig, TextConfig
from charlstm.config.eval import SCORES
from charlstm.errors import CorpusError

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.text_score import TextScore
    from charlstm.text.corpus import ReadingProgress
    from charlstm.text.sources import Source

_FIGURES = dict(zip(SCORES, ("peak_bits", "highest_bits", "bits_per_char", "bits"), strict=True))
"""The attribute of a score for each value of `--score`."""
_SHOWN = 200  # characters of a text in a table


def print_scores(
    model: LanguageModel,
    texts: Sequence[str],
    config: EvalConfig,
    text_config: TextConfig,
    unknown: str,
    *,
    as_json: bool,
) -> None:
    """Print a row or a JSON object for each line, document or file.

    Args:
        model: the model.
        texts: as on the command line.
        config: what to score, and what to print.
        text_config: how to read the texts.
        unknown: handling of unknown characters.
        as_json: whether to print JSON objects.

    Raises:
        CorpusError: there is nothing to score.
        SourceError, ConfigError, UnknownCharacterError: as for reading and encoding texts.
    """
    from charlstm.inference.sorted_scores import sorted_scores

    assert config.by is not None
    text_config = text_config.reading_as(model.config.text)
    kind = config.score or SCORES[0]

    def key(score: TextScore) -> float:
        bits: float = getattr(score, _FIGURES[kind])
        return math.inf if math.isnan(bits) else bits

    in_order = config.top is None and not config.sort
    out = output.DataStream()
    with reading(quiet=in_order and out.terminal) as progress:
        scores = _scores(model, texts, config.by, text_config, unknown, progress)
        if config.min_bits is not None:
            least = config.min_bits
            scores = (score for score in scores if key(score) >= least)
        if config.top is not None:
            scores = iter(heapq.nlargest(config.top, scores, key=key))
        elif config.sort:
            scores = sorted_scores(scores, key)
        writer = _Writer(config.by, model.is_bidirectional, out, as_json=as_json)
        for score in scores:
            writer.write(score)


def _scores(
    model: LanguageModel,
    texts: Sequence[str],
    by: str,
    config: TextConfig,
    unknown: str,
    progress: ReadingProgress,
) -> Iterator[TextScore]:
    """All scores in the order of the texts; notices follow the last one."""
    from charlstm.text.passages import Blank, read_blocks

    blank, scorer = Blank(), model.each_scorer(unknown)
    sources = _sources(texts, config)
    count, done, is_finite = 0, 0, True
    for block in read_blocks(sources, by, config, blank, has_documents=model.tokenizer.boundary):
        for score in scorer.score(block):
            count += 1
            is_finite = is_finite and math.isfinite(score.nats)
            yield score
        output.flush()  # of a text that is still being written
        done += sum(len(passage.text) for passage in block)
        progress("evaluating", done)
    if blank.count:
        output.say(f"left out: {output.counted(blank.count, f'blank {by}')}")
    if not count:
        raise CorpusError(f"the text has no {by} to score: it is empty, or whitespace alone.")
    say_unknown(scorer.unknown_counts, unknown)
    say_mapped(scorer.mapped)
    if model.is_bidirectional:
        output.say(
            "the model is bidirectional: its pseudo-likelihoods cannot be compared with the "
            "likelihoods of a forward model."
        )
    if not is_finite:
        output.say("some figures are not finite: the model's weights are too large for this text.")


def _sources(texts: Sequence[str], config: TextConfig) -> list[Source]:
    from charlstm.text.folders import FolderFiles, summary, without_effect
    from charlstm.text.live import LiveSource
    from charlstm.text.sources import find_sources

    sources: list[Source] = []
    folders: list[FolderFiles] = []
    for text in texts:
        if text == "-":
            sources.append(LiveSource("standard input", None))
        else:
            sources += find_sources([text], config.glob, config.exclude, on_folder=folders.append)
    for line in (*map(summary, folders), *without_effect(folders, config)):
        output.say(line)
    return sources


class _Writer:
    """Writes scores as rows of a table, or as JSON objects.

    Args:
        by: line, document or file.
        is_pseudo: whether the model is bidirectional.
        out: where rows are written.
        as_json: whether to write JSON objects.
    """

    def __init__(self, by: str, is_pseudo: bool, out: output.DataStream, *, as_json: bool) -> None:
        self._by, self._kind, self._out = by, "pseudo_" if is_pseudo else "", out
        self._as_json = as_json
        self._is_first = True

    def write(self, score: TextScore) -> None:
        """Write one score."""
        if self._as_json:
            output.json_line(self._record(score))
            return
        if self._is_first:
            self._is_first = False
            names = ("peaks", "highest", "bits/char", "characters", "nats", "at", self._by)
            self._out.write(_row(*names))
        at = f"{score.line}:{score.column}" if self._by != "line" else f"{score.column}"
        if score.document:
            at = f"{score.document}:{at}"
        shown = repr(score.character) if score.character else "end"
        self._out.write(
            _row(
                f"{score.peak_bits:.2f}",
                f"{score.highest_bits:.2f}",
                f"{score.bits_per_char:.4f}",
                f"{score.count:,}",
                f"{score.nats:.2f}",
                f"{at} {shown}",
                self._text(score),
            )
        )

    def _text(self, score: TextScore) -> str:
        place = output.escape(score.source, newlines=False)
        if not score.number:
            return place
        text = output.escape(score.text[: _SHOWN + 1], newlines=False)
        cut = f"{text[:_SHOWN]}..." if len(score.text) > _SHOWN else text
        return f"{place}:{score.number}: {cut}"

    def _record(self, score: TextScore) -> dict[str, Any]:
        kind = self._kind
        unit = {self._by: score.number, "text": score.text} if score.number else {}
        place: dict[str, int] = {"highest_document": score.document} if score.document else {}
        if self._by != "line":
            place["highest_line"] = score.line
        return {
            "file": score.source,
            **unit,
            "characters": score.count,
            f"{kind}nats": score.nats,
            f"{kind}bits_per_char": score.bits_per_char,
            f"{kind}peak_bits": score.peak_bits,
            f"{kind}highest_bits": score.highest_bits,
            **place,
            "highest_column": score.column,
            "highest_character": score.character or None,
            "unknown_characters": score.unknown_characters,
        }


def _row(*cells: str) -> str:
    """A line of the table; columns have fixed widths, as rows are written while texts are read."""
    *figures, at, text = cells
    widths = (6, 7, 9, 10, 10)
    shown = [f"{cell:>{width}}" for cell, width in zip(figures, widths, strict=True)]
    return "  ".join([*shown, f"{at:<10}", text]) + "\n"
