"""The check of a text: one pass, statistics of a sample, and findings."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from charlstm.checkup import content_findings, findings
from charlstm.checkup.characters import Characters, Found, scripts
from charlstm.checkup.compression import bits_per_char
from charlstm.checkup.content_findings import Passage
from charlstm.checkup.documents import Documents, read_documents
from charlstm.checkup.expected import (
    USUAL_MINUTES,
    Loss,
    MachineSpeed,
    Plan,
    assumed_speed,
    expected_loss,
    plans,
)
from charlstm.checkup.findings import Finding, Mender
from charlstm.checkup.held_out import Sample, split_sample
from charlstm.checkup.ngrams import measure
from charlstm.checkup.passages import repeated_passages
from charlstm.checkup.scan import Place, Scan, scan
from charlstm.config import TextConfig
from charlstm.text.boundaries import Dropped
from charlstm.text.entropy import entropy
from charlstm.text.normalization import normalize
from charlstm.text.passes import ReadingProgress, check_text
from charlstm.text.sources import Source
from charlstm.text.tokenizer import CharTokenizer

_MOST_RARE = 1000  # in JSON


@dataclass(frozen=True)
class Checkup:
    """What a text is.

    Attributes:
        num_files: number of sources.
        num_bytes: their size, compressed or not.
        num_chars: characters, as training reads them.
        num_lines: lines.
        blank_lines: lines without a character.
        longest_line: characters of the longest line.
        longest_at: its place.
        line_ends: number of line ends of each kind: LF, CRLF, CR.
        distinct: distinct characters, as they stand in the text.
        vocab_size: V of a model of it, after `--lowercase` and `--min-count`.
        scripts: for each script or kind, numbers of distinct characters and of characters.
        rare: characters that occur fewer than five times, the rarest first.
        documents: what the text is divided into; None: one long text.
        repeated_lines: fraction of the characters that is in copies of earlier lines.
        lines_sampled: whether that is an estimate from some of the distinct lines.
        repeated_line: how often the line occurs whose copies have the most characters, its length,
            and its first place; None: no line occurs twice.
        repeated_passages: fraction of the sample in passages that occurred before.
        largest_passage: characters, and both places, of the largest repeated passage; None: none.
        sample_chars: length of the sample; equal to the text's for a text that is used whole.
        split: how training would split the text: tail, blocks or documents.
        other_tail: whether the end of the text differs from the rest; None for documents.
        entropies: of order 0 to 5, in bits per character.
        ngram_loss: loss of an n-gram model on the held-out part, in bits per character; None
            without such a part.
        compressed: bits per character by compressor.
        expected: the expected loss of a trained model; None without a held-out part.
        speed: the machine's speed that the plans assume.
        plans: what training would choose, by time budget.
        findings: what is unusual, with what mends it.
    """

    num_files: int
    num_bytes: int
    num_chars: int
    num_lines: int
    blank_lines: int
    longest_line: int
    longest_at: Place
    line_ends: dict[str, int]
    distinct: int
    vocab_size: int
    scripts: dict[str, dict[str, int]]
    rare: list[Found]
    documents: Documents | None
    repeated_lines: float
    lines_sampled: bool
    repeated_line: tuple[int, int, Place] | None
    repeated_passages: float
    largest_passage: tuple[int, Place, Place] | None
    sample_chars: int
    split: str
    other_tail: bool | None
    entropies: tuple[float, ...]
    ngram_loss: float | None
    compressed: dict[str, float]
    expected: Loss | None
    speed: MachineSpeed
    plans: list[Plan]
    findings: list[Finding]

    def to_json(self) -> dict[str, Any]:
        """The check as a JSON object; it has up to 1,000 of the rare characters."""
        data = dataclasses.asdict(self)
        data["num_rare"] = len(self.rare)
        data["rare"] = [found.to_json() for found in self.rare[:_MOST_RARE]]
        data["findings"] = [finding.to_json() for finding in self.findings]
        if self.repeated_line is not None:
            count, length, place = self.repeated_line
            line = {"count": count, "characters": length}
            data["repeated_line"] = line | dataclasses.asdict(place)
        if self.largest_passage is not None:
            length, first, second = self.largest_passage
            data["largest_passage"] = {
                "characters": length,
                "first": dataclasses.asdict(first),
                "second": dataclasses.asdict(second),
            }
        return data


def examine(
    sources: Sequence[Source],
    config: TextConfig,
    *,
    minutes: float | None = None,
    speed: Callable[[int], MachineSpeed] | None = None,
    progress: ReadingProgress | None = None,
) -> Checkup:
    """Check a text.

    Counts of characters and lines are those of the whole text. Entropies, compression, passages,
    the normal form, misread characters, and the comparison of the end with the rest are those of
    a sample: evenly spaced pieces, or all of a text of up to two million characters.

    Args:
        sources: the sources; with documents each is read twice.
        config: how training would read and split them.
        minutes: the time budget to plan for; None: several usual ones.
        speed: measures the machine's speed, given V; None: that of the slowest known machine.
        progress: called with the progress of reading.

    Raises:
        SourceError: a source cannot be read or decoded.
        CorpusError: the text is empty, or has no documents as configured.
        ConfigError: the encoding is unknown, or `--min-count` leaves no character.
    """
    found = scan(sources, config, progress=progress)
    num_chars = _num_chars(found, config)
    documents, stream = None, [piece.text for piece in found.pieces]
    dropped = Dropped()
    if config.has_documents:
        documents, stream = read_documents(sources, config, dropped, progress)
    check_text(num_chars, documents.count if documents else 0, dropped, sources, config)
    tokenizer = _tokenizer(found, config)
    sample = split_sample([normalize(text, config) for text in stream], tokenizer, config)
    ngrams = measure(sample.ordered.astype(np.int64), len(tokenizer), sample.num_held)
    entropies = (_entropy(found, config), *ngrams.entropies[1:])
    fraction, passage = _passages(found, config)
    machine = assumed_speed() if speed is None else speed(len(tokenizer))
    training = documents.chars if documents else num_chars
    training -= round(training * (config.val_fraction + config.test_fraction))
    characters = Characters(found)
    lines, table = found.lines, found.lines.table
    texts = [piece.text for piece in found.pieces]
    return Checkup(
        num_files=len(sources),
        num_bytes=sum(figures.num_bytes for figures in found.sources),
        num_chars=num_chars,
        num_lines=lines.count,
        blank_lines=lines.blank,
        longest_line=lines.longest,
        longest_at=found.place(lines.longest_at),
        line_ends=lines.ends,
        distinct=len(characters.counts),
        vocab_size=len(tokenizer),
        scripts=scripts(characters.counts),
        rare=characters.rare(),
        documents=documents,
        repeated_lines=table.repeated_fraction(),
        lines_sampled=table.halvings > 0,
        repeated_line=_repeated_line(found),
        repeated_passages=fraction,
        largest_passage=None
        if passage is None
        else (passage.length, found.place(passage.first), found.place(passage.second)),
        sample_chars=sum(map(len, texts)),
        split=sample.method,
        other_tail=sample.other_tail,
        entropies=entropies,
        ngram_loss=ngrams.loss,
        compressed=bits_per_char(texts),
        expected=None if ngrams.loss is None else expected_loss(ngrams.loss),
        speed=machine,
        plans=plans(
            USUAL_MINUTES if minutes is None else (minutes,), training, machine,
            repeated=sample.repeated, vocab_size=len(tokenizer),
        ),
        findings=list(
            _findings(found, characters, config, tokenizer, num_chars, sample, fraction, passage)
        ),
    )  # fmt: skip


def _num_chars(found: Scan, config: TextConfig) -> int:
    """Characters as training reads them: CRLF is one, unless line ends are kept."""
    pairs = 0 if config.keep_newlines else found.lines.ends.get("CRLF", 0)
    return int(found.counts.sum()) - pairs


def _read_counts(found: Scan, config: TextConfig) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Counts of code points as training reads them, before case is folded."""
    counts = found.counts
    if not config.keep_newlines:
        counts = counts.copy()
        counts[ord("\r")] = 0
        counts[ord("\n")] += found.lines.ends.get("CR", 0)
    return counts


def _tokenizer(found: Scan, config: TextConfig) -> CharTokenizer:
    return CharTokenizer.from_counts(
        _read_counts(found, config), lowercase=config.lowercase, min_count=config.min_count,
        boundary=config.has_documents,
    )[0]  # fmt: skip


def _entropy(found: Scan, config: TextConfig) -> float:
    """The entropy of order 0 of the whole text, in bits per character."""
    return entropy(_read_counts(found, config)) / math.log(2)


def _repeated_line(found: Scan) -> tuple[int, int, Place] | None:
    lines = found.lines.table.most_repeated(1)
    return (lines[0].count, lines[0].length, found.place(lines[0].first)) if lines else None


def _passages(found: Scan, config: TextConfig) -> tuple[float, Passage | None]:
    """The fraction of the sample in repeated passages, and the largest."""
    texts = [normalize(piece.text, config) for piece in found.pieces]
    stops = np.cumsum([len(text) for text in texts])
    whole = "".join(texts)
    points = np.frombuffer(whole.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    result = repeated_passages(points, stops)
    if not result.length:
        return result.fraction, None
    skipped = whole[result.first] == "\n"  # the end of the line before
    lines, is_whole = [], False
    for position in (result.first + skipped, result.second + skipped):
        number = int(np.searchsorted(stops, position, side="right"))
        start = int(stops[number - 1]) if number else 0
        lines.append(found.pieces[number].line + whole.count("\n", start, position))
        is_whole = whole[position - 1] == "\n"
    ends = whole.count("\n", result.second + skipped, result.second + result.length)
    first, second = lines
    cut = 0 if is_whole else 1
    passage = Passage(result.length - skipped, first, second, second + cut, ends - cut)
    return result.fraction, passage


def _findings(
    found: Scan,
    characters: Characters,
    config: TextConfig,
    tokenizer: CharTokenizer,
    num_chars: int,
    sample: Sample,
    fraction: float,
    passage: Passage | None,
) -> Iterator[Finding]:
    mend = Mender(found, config.encoding)
    return itertools.chain(
        content_findings.hint_findings(found, tokenizer, config, mend),
        findings.character_findings(found, characters, mend, config.min_count),
        findings.normal_form_findings(found, mend),
        findings.line_findings(found, mend, config.keep_newlines),
        content_findings.entity_findings(found, mend),
        content_findings.edge_findings(found, mend),
        content_findings.document_findings(found, config, num_chars),
        content_findings.copy_findings(found),
        content_findings.repetition_findings(
            found,
            mend,
            repeated_lines=found.lines.table.repeated_fraction(),
            repeated_passages=fraction,
            largest=passage,
            sampled_chars=sum(len(piece.text) for piece in found.pieces),
        ),
        content_findings.tail_findings(sample.other_tail, config.split),
    )
