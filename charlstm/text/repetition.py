"""Repetition between the parts of a text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from charlstm.text.document_part import DocumentPart
from charlstm.text.parts import Part
from charlstm.text.tokenizer import Ids

PASSAGE = 32
"""Length of a passage that rarely occurs twice by chance, in characters."""

# Limits that keep the work to about a second: passages to look up, characters to search, and
# characters to search at once.
_MOST_PASSAGES = 30_000
_MOST_CHARS = 4_000_000
_CHUNK = 250_000
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that a product can be inverted

Hashes = NDArray[np.uint64]


def repeated_fraction(train: Part, val: Part) -> float:
    """The fraction of `val` that also occurs in `train`.

    `val` is cut into passages of `PASSAGE` characters, each of which is searched in `train`. Only
    the ends of a long `train`'s segments are searched, for evenly spaced passages of a long `val`.

    Args:
        train: the training part.
        val: the validation part.

    Returns:
        0 to 1; 0 if no segment of `val` has a passage. For documents: the fraction of `val` in
        documents that `train` also has.
    """
    if isinstance(train, DocumentPart) and isinstance(val, DocumentPart):
        return _repeated_documents(train, val)
    cut = [ids[: len(ids) // PASSAGE * PASSAGE].reshape(-1, PASSAGE) for ids in val.segments]
    passages = np.concatenate([val.ids[:0].reshape(0, PASSAGE), *cut])
    passages = passages[:: -(-len(passages) // _MOST_PASSAGES) or 1]
    if len(passages) == 0:
        return 0.0
    sought = _hashes(passages)[:, 0]
    found = np.zeros(len(sought), dtype=bool)
    for ids in train.shortened(_MOST_CHARS, end=True).segments:
        for start in range(0, len(ids) - PASSAGE + 1, _CHUNK):
            found |= np.isin(sought, _hashes(ids[start : start + _CHUNK + PASSAGE - 1]))
    return float(found.mean())


def _repeated_documents(train: DocumentPart, val: DocumentPart) -> float:
    """The fraction of `val` in documents that `train` also has; both may be shortened."""
    if not len(val.spans) or not len(train.spans):
        return 0.0
    sought = val.shortened(_MOST_CHARS)
    digests = np.concatenate(list(_document_digests(sought)))
    found = np.zeros(len(digests), dtype=bool)
    for digest in _document_digests(train.shortened(_MOST_CHARS)):
        found |= np.isin(digests, digest)
    lengths = sought.lengths - 1
    return float(lengths[found].sum() / lengths.sum())


def _document_digests(part: DocumentPart) -> Iterator[Hashes]:
    """A hash of each document, in blocks: a polynomial in an odd number, modulo 2^64."""
    for _, begins, places in part.blocks(_CHUNK):
        lengths = np.diff(np.append(begins, len(places)))
        powers = np.cumprod(np.full(int(lengths.max()), _FACTOR))
        within = np.arange(len(places)) - np.repeat(begins, lengths)
        values = (part.ids[places].astype(np.uint64) + np.uint64(1)) * _FACTOR
        values ^= values >> np.uint64(29)
        yield np.add.reduceat(values * powers[within], begins)


def _hashes(ids: Ids) -> Hashes:
    """A hash of the passage that starts at each position, by doubling the length.

    Args:
        ids: shape (..., num_chars).

    Returns:
        Shape (..., num_chars - PASSAGE + 1).
    """
    hashes = ids.astype(np.uint64)
    length = 1
    while length < PASSAGE:
        # An odd factor is invertible; the shift mixes high bits into low ones.
        first, second = hashes[..., :-length], hashes[..., length:]
        hashes = first * _FACTOR + second
        hashes ^= hashes >> np.uint64(29)
        length *= 2
    return hashes
