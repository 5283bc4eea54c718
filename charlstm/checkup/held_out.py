"""The sample as `train` would read and split the whole text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from charlstm.config import TextConfig
from charlstm.text.corpus import make_split
from charlstm.text.document_part import DocumentPart
from charlstm.text.document_splits import DocumentSplit
from charlstm.text.parts import Part
from charlstm.text.repetition import repeated_fraction
from charlstm.text.shift import is_other_tail
from charlstm.text.tokenizer import BOUNDARY, CharTokenizer, Ids

_LEAST_DOCUMENTS = 2  # in a sample; fewer are read as one text
_ALL = 1 << 30


@dataclass(frozen=True)
class Sample:
    """A sample, split.

    Attributes:
        method: tail, blocks, or documents.
        other_tail: whether the end differs from the rest; None for documents.
        repeated: the fraction of the validation part that the training part has, too.
        ordered: ids of the training part, then of the held-out part, shape (N,).
        num_held: length of the latter.
    """

    method: str
    other_tail: bool | None
    repeated: float
    ordered: Ids
    num_held: int


def split_sample(texts: Sequence[str], tokenizer: CharTokenizer, config: TextConfig) -> Sample:
    """Encode and split a sample.

    Args:
        texts: the pieces, normalised as in training; of documents, those of their stream.
        tokenizer: the vocabulary of the whole text.
        config: how `train` reads the text.
    """
    whole = "".join(texts)
    if whole.count(BOUNDARY) > _LEAST_DOCUMENTS:
        whole = whole[whole.index(BOUNDARY) : whole.rindex(BOUNDARY) + 1]
    else:
        whole = whole.replace(BOUNDARY, "")
        config = replace(config, documents="none")
    ids = tokenizer.encode(whole, boundaries=config.has_documents)
    size = len(tokenizer)
    split = make_split(ids, size, config)
    other_tail = None
    if isinstance(split, DocumentSplit):
        train: Part = split.train
        val: Part = split.val
        held: Part = DocumentPart(ids, np.concatenate([split.val.spans, split.test.spans]))
    else:
        train, val = Part(ids, split.train), Part(ids, split.val)
        held = Part(ids, split.val + split.test)
        other_tail = split.method == "blocks"  # as chosen
        if config.split != "auto":
            other_tail = is_other_tail(ids, size, len(held))
    parts = [*train.arrays(_ALL), *held.arrays(_ALL)]
    return Sample(
        split.method,
        other_tail,
        repeated_fraction(train, val),
        np.concatenate([ids[:0], *parts]),
        len(held),
    )
