"""Splits of a text of documents into training, validation and test part.

The documents are put into a pseudo-random order that depends only on their number. In this order,
documents are assigned to the validation part until its fraction of the text is reached, then to the
test part. A document that is larger than the whole part is skipped. If all documents are, the part
is the shortest document. At least one document remains for training.

A checkpoint records the numbers of documents and a digest of the held-out ranges, which the rule
reproduces from the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import CorpusError
from charlstm.text.document_part import DocumentPart
from charlstm.text.permutation import shuffle
from charlstm.text.tokenizer import Ids

METHOD = "documents"
_RULE = 1  # the order below, and what is taken from it
_KEY = 0x5EED_D0C5  # of the order


@dataclass(frozen=True)
class DocumentRecord:
    """The record of a split by documents in a checkpoint.

    Attributes:
        documents: number of documents of the text.
        val, test: number of documents of each part.
        val_chars, test_chars: their characters, each document's end included.
        sha256: digest of the held-out ranges.
    """

    documents: int
    val: int
    test: int
    val_chars: int
    test_chars: int
    sha256: str

    method = METHOD

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return {
            "method": METHOD,
            "rule": _RULE,
            "documents": self.documents,
            "val": self.val,
            "test": self.test,
            "val_chars": self.val_chars,
            "test_chars": self.test_chars,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, data: object) -> DocumentRecord:
        """A record from the object of `to_json`.

        Raises:
            CorpusError: the object is not valid.
        """
        counts = ("documents", "val", "test", "val_chars", "test_chars")
        valid = (
            isinstance(data, Mapping)
            and set(data) == {"method", "rule", "sha256", *counts}
            and data["method"] == METHOD
            and type(data["rule"]) is int
            and isinstance(data["sha256"], str)
            and all(type(data[name]) is int and 0 <= data[name] < 2**53 for name in counts)
        )
        if not valid:
            raise CorpusError("the record of the held-out documents is not readable.")
        assert isinstance(data, Mapping)
        if data["rule"] != _RULE:
            raise CorpusError("the record of the held-out documents has an unknown rule.")
        return cls(**{name: data[name] for name in (*counts, "sha256")})


@dataclass(frozen=True, eq=False)
class DocumentSplit:
    """The documents of a stream (see `charlstm.text.boundaries`), divided into parts.

    Attributes:
        train, val, test: the documents of each part, in the text's order.
    """

    train: DocumentPart
    val: DocumentPart
    test: DocumentPart

    method = METHOD

    @cached_property
    def record(self) -> DocumentRecord:
        """The record for a checkpoint."""
        held_out = np.concatenate([self.val.spans, self.test.spans]).astype("<i8")
        count = len(self.train.spans) + len(held_out)
        return DocumentRecord(
            count, len(self.val.spans), len(self.test.spans), len(self.val), len(self.test),
            hashlib.sha256(held_out.tobytes()).hexdigest(),
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        return self.record.to_json()


def document_split(
    ids: Ids,
    val_fraction: float,
    test_fraction: float,
    recorded: DocumentRecord | None = None,
    *,
    sizes: tuple[int, int] = (0, 0),
) -> DocumentSplit:
    """The split of a stream of documents.

    Args:
        ids: the stream, shape (num_chars,).
        val_fraction, test_fraction: of the text's characters; 0 for a separate part.
        recorded: the record in a checkpoint; None: no record.
        sizes: lengths of the separate validation and test text at the stream's end; 0 where there
            is none.

    Raises:
        CorpusError: the split differs from the record.
    """
    separate: list[NDArray[np.int64]] = []
    end = len(ids)
    for size in reversed(sizes):  # each begins after the boundary that ends the text before it
        end -= size
        found = DocumentPart.of_stream(ids[end - 1 : end + size]).spans + (end - 1)
        # Without its unknown characters (`--unknown skip`) a document may be empty.
        separate.insert(0, found[found[:, 1] - found[:, 0] > 2])
    whole = DocumentPart.of_stream(ids[:end])
    lengths = whole.lengths - 1
    count = len(lengths)
    order = shuffle(np.arange(count, dtype=np.uint64), count, _KEY).astype(np.int64)
    total = int(lengths.sum())
    is_free = np.ones(count, dtype=np.bool_)
    parts = []
    for fraction, own in zip((val_fraction, test_fraction), separate, strict=True):
        chosen = _chosen(order[is_free[order]], lengths, int(total * fraction), fraction > 0)
        is_free[chosen] = False
        spans = np.concatenate([whole.spans[np.sort(chosen)], own])
        parts.append(DocumentPart(ids, spans))
    split = DocumentSplit(DocumentPart(ids, whole.spans[is_free]), *parts)
    if recorded not in (None, split.record):
        raise CorpusError("the record of the held-out documents does not fit the text.")
    return split


def _chosen(
    order: NDArray[np.int64], lengths: NDArray[np.int64], room: int, is_wanted: bool
) -> NDArray[np.int64]:
    """The documents of one part.

    Args:
        order: the unassigned documents, (N,), in the order of assignment.
        lengths: lengths of all documents.
        room: maximum number of characters of the part.
        is_wanted: whether the part has a fraction above 0.
    """
    fitting = order[lengths[order] <= room]
    count = int(np.searchsorted(np.cumsum(lengths[fitting]), room, side="right"))
    chosen = fitting[:count]
    if is_wanted and not count and len(order):
        chosen = order[[int(lengths[order].argmin())]]
    return chosen[: len(order) - 1]
