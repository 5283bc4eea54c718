"""Evaluation of a text of any length, in bounded memory.

The text is read in excerpts of some million characters (`charlstm.text.excerpts`). Each is divided
into streams as a whole text is (`charlstm.inference.scoring`); the first stream, too, reads
`WARM_UP` characters before its own. A text of one excerpt has the score of `score_ids`, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from charlstm.errors import CorpusError, DirectionError
from charlstm.inference.score import Score, num_bytes
from charlstm.inference.scoring import WARM_UP, score_cold, score_ids
from charlstm.text.excerpts import EXCERPT, Excerpt, excerpts
from charlstm.text.parts import Part, too_short
from charlstm.text.tokenizer import Ids

if TYPE_CHECKING:
    from charlstm.config import DynamicConfig
    from charlstm.inference.language_model import LanguageModel


class Adaptive(Protocol):
    """A model that is fine-tuned on the text that it reads: a `DynamicReader`."""

    dynamic: DynamicConfig

    def score(
        self, ids: Part, progress: Callable[[int], None] | None = None, *, continues: bool = False
    ) -> Score:
        """See `DynamicReader.score`."""


class StreamScore(NamedTuple):
    """The scores of a stream.

    Attributes:
        score: that of the model.
        adapted: that of `adaptive`; None if none was given.
        segments: number of documents; 1 for a text without.
    """

    score: Score
    adapted: Score | None
    segments: int


def score_excerpt(
    model: LanguageModel,
    excerpt: Excerpt,
    cold_window: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Score:
    """Evaluate on an excerpt of valid ids; arguments and errors as for `LanguageModel.score_ids`.

    Raises:
        CorpusError: it has no two characters in a row.
        DirectionError: `cold_window` with a bidirectional model.
    """
    part, before, after = excerpt.part, excerpt.before, excerpt.after
    if model.bidirectional is None:
        if cold_window:
            return score_cold(model.engine, excerpt.own, cold_window, progress)
        return score_ids(model.engine, part, progress, before=before)
    if cold_window:
        raise DirectionError("--protocol cold does not apply to bidirectional models.\nOmit it.")
    return model.bidirectional.score(part, progress, before=before, after=after)


def score_stream(
    model: LanguageModel,
    chunks: Iterable[Ids],
    *,
    cold_window: int = 0,
    adaptive: Adaptive | None = None,
    progress: Callable[[int], None] | None = None,
    size: int = EXCERPT,
) -> StreamScore:
    """Evaluate on a stream of ids.

    Args:
        model: the model.
        chunks: valid ids, in pieces of any length. For a model of documents, id 0 separates them.
        cold_window: as for `LanguageModel.score_ids`.
        adaptive: also evaluates on the stream; not with `cold_window`.
        progress: receives the number of characters predicted, or read by `adaptive`.
        size: number of predictions in an excerpt.

    Raises:
        CorpusError: the text has fewer than two characters, or no document.
        DirectionError: `cold_window` with a bidirectional model.
    """
    before = after = 0
    whole = 1  # excerpts end after a whole number of so many predictions
    if model.is_bidirectional:
        from charlstm.inference.bidirectional import BLOCK, CONTEXT  # noqa: PLC0415 - when used

        whole, before, after = BLOCK, CONTEXT, CONTEXT
    elif cold_window:
        whole = cold_window
    else:
        whole, before = (1 if adaptive is None else adaptive.dynamic.dynamic_window), WARM_UP
    size = max(1, size // whole) * whole
    documents = model.tokenizer.boundary
    lengths = model.tokenizer.utf8_lengths
    score = adapted = Score(0.0, 0, 0)
    read = segments = 0

    def counted(pieces: Iterable[Ids]) -> Iterable[Ids]:
        nonlocal read
        for piece in pieces:
            read += len(piece)
            yield piece

    for excerpt in excerpts(counted(chunks), size, documents=documents, before=before, after=after):
        own = excerpt.own
        segments += len(own.spans) - excerpt.continues
        done = score.count

        def show(more: int, done: int = done) -> None:
            if progress is not None:
                progress(done + more)

        quiet = adaptive is not None  # it takes longer, and shows its own progress
        found = score_excerpt(model, excerpt, cold_window, None if quiet else show)
        in_bytes = num_bytes(own, lengths)
        score += Score(found.nats, found.count, in_bytes)
        if adaptive is not None:
            follows = adaptive.score(own, show, continues=excerpt.continues)
            adapted += Score(follows.nats, follows.count, in_bytes)
    if not score.count:
        if documents:
            raise CorpusError("the text has no document: it is empty, or whitespace alone.")
        raise too_short(read)
    return StreamScore(score, None if adaptive is None else adapted, segments)
