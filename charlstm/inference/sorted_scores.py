"""Sorting of any number of scores in bounded memory."""

from __future__ import annotations

import heapq
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import IO

from charlstm.errors import SourceError
from charlstm.inference.text_score import TextScore

_LIMIT = 1 << 26  # bytes in memory, estimated
_EACH = 500  # bytes of a score without its text

_Item = tuple[float, int, TextScore]


def sorted_scores(
    scores: Iterable[TextScore], key: Callable[[TextScore], float]
) -> Iterator[TextScore]:
    """The scores, the highest key first; of equal ones, the earlier first.

    More than fit in memory are sorted in runs, which are kept in temporary files and merged.

    Raises:
        SourceError: a temporary file cannot be written.
    """
    files: list[IO[str]] = []
    held: list[_Item] = []
    size = 0
    for number, score in enumerate(scores):
        held.append((-key(score), number, score))  # numbers differ: scores are never compared
        size += _EACH + len(score.text)
        if size > _LIMIT:
            files.append(_write(sorted(held)))
            held, size = [], 0
    for _, _, score in heapq.merge(*map(_read, files), sorted(held)):
        yield score


def _write(items: list[_Item]) -> IO[str]:
    try:
        file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - read later
        for key, number, score in items:
            file.write(json.dumps([key, number, asdict(score)]) + "\n")
        file.seek(0)
    except OSError as error:
        raise SourceError(
            f"cannot sort in a temporary file: {error.strerror or error}.\nSet TMPDIR to a folder "
            "on a disk with free space, or give --top N, which needs no file."
        ) from error
    return file


def _read(file: IO[str]) -> Iterator[_Item]:
    with file:
        for line in file:
            key, number, score = json.loads(line)
            yield key, number, TextScore(**score)
