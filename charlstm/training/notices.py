"""Notices about the text of a new run."""

from __future__ import annotations

from charlstm.config import TextConfig
from charlstm.errors import show_text
from charlstm.text.corpus import Corpus
from charlstm.text.document_splits import DocumentSplit
from charlstm.text.separate import describe_unknown
from charlstm.training.events import Notice


def notice_split(corpus: Corpus, config: TextConfig, notice: Notice) -> None:
    """Report held-out blocks that were chosen automatically, and the documents."""
    split = corpus.split
    if isinstance(split, DocumentSplit):
        record = split.record
        test = f", {record.test:,} for testing" if record.test else ""
        empty = f"; {corpus.empty:,} empty ones omitted" if corpus.empty else ""
        notice(
            f"{record.documents:,} documents, {record.val:,} held out for validation{test}{empty}."
        )
    elif config.split == "auto" and split.method != "tail":
        blocks = split.val + split.test
        size = (len(corpus.val) + len(corpus.test)) / len(blocks)
        plural = "s" * (len(blocks) != 1)
        notice(
            f"held out for evaluation: {len(blocks)} block{plural} of about {size:,.0f} characters "
            "spread over the text, because its end differs from the rest. --split tail holds out "
            "the end."
        )


def notice_characters(corpus: Corpus, config: TextConfig, notice: Notice) -> None:
    """Report rare and unknown characters, and a validation part that is missing."""
    for part, own in corpus.separate.items():
        if own.unknown:
            done = {"skip": "omitted", "map": "mapped to equivalents"}.get(config.unknown)
            done = done or f"read as {show_text(corpus.tokenizer.replacement)}"
            notice(f"{describe_unknown(part, own.unknown)}; {done} (--unknown {config.unknown})")
    if corpus.rare:
        shown = " ".join(repr(c) for c in list(corpus.rare)[:10])
        notice(
            f"{len(corpus.rare)} rare characters ({sum(corpus.rare.values()):,} occurrences) "
            f"replaced by U+FFFD (--min-count {config.min_count}): {shown}"
            + (" ..." if len(corpus.rare) > 10 else "")
        )
    if corpus.val.predictions < 1:
        why = "the validation part is too short" if len(corpus.val) else "no validation part"
        notice(f"{why}: the best checkpoint is the one with the lowest training loss.")
