"""A text is evaluated in excerpts: the figure is that of the whole text, however it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import DynamicConfig
from charlstm.errors import CorpusError, DirectionError
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.long_texts import score_stream
from charlstm.inference.score import Score
from charlstm.inference.texts import part_of_stream
from charlstm.text.excerpts import Excerpt, excerpts
from charlstm.text.parts import as_part
from charlstm.text.tokenizer import CharTokenizer, Ids
from tests.models import make_model

PLAIN, BOTH = make_model("abcdé€ \n"), make_model("abcdé€ \n", "both")


def of_documents(direction: str) -> LanguageModel:
    """A model of documents with random weights."""
    model = make_model("\0abcdé€ ", direction)
    tokenizer = CharTokenizer(model.tokenizer.characters, boundary=True)
    return LanguageModel(model.weights, model.config, tokenizer)


DOCUMENTS, BOTH_DOCUMENTS = of_documents("forward"), of_documents("both")


def ids_of(size: int, seed: int = 0, border: float = 0.0) -> Ids:
    """Random ids of the models; some are borders of documents."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, 8, size=size).astype(np.uint8)
    ids[rng.random(size) < border] = 0
    if border:
        ids[[0, -1]] = 0
    return ids


def pieces(ids: Ids, cuts: list[int]) -> Iterator[Ids]:
    for first, last in pairwise(sorted({0, len(ids), *(cut % len(ids) for cut in cuts)})):
        yield ids[first:last]


@st.composite
def streams(draw: st.DrawFn) -> tuple[Ids, bool]:
    """A stream, and whether it consists of documents: short, long, and some without a character."""
    border = draw(st.sampled_from([0.0, 0.01, 0.2, 0.7]))
    return ids_of(draw(st.integers(2, 400)), draw(st.integers(0, 99)), border), border > 0


CUTS = st.lists(st.integers(0, 400), max_size=8)


def listed(found: Iterator[Excerpt]) -> list[Any]:
    return [
        (
            [segment.tolist() for segment in excerpt.part.segments],
            (excerpt.before, excerpt.after, excerpt.continues),
        )
        for excerpt in found
    ]


@settings(max_examples=60, deadline=None)
@given(streams(), CUTS, st.integers(1, 90), st.integers(0, 20), st.integers(0, 20))
def test_excerpts_do_not_depend_on_the_pieces_and_predict_all_once(
    stream: tuple[Ids, bool], cuts: list[int], size: int, before: int, after: int
) -> None:
    ids, documents = stream
    options: Any = {"documents": documents, "before": before, "after": after}
    found = list(excerpts(pieces(ids, cuts), size, **options))
    assert listed(iter(found)) == listed(excerpts([ids], size, **options))
    predicted = [array for excerpt in found for array in excerpt.own.predicted(1 << 20)]
    whole = ids if not documents else expected_of_documents(ids)
    assert np.concatenate([*predicted, ids[:0]]).tolist() == whole[1:].tolist()
    for excerpt in found:
        assert 1 <= excerpt.own.predictions <= size
        assert excerpt.before <= before
        assert excerpt.after <= after
        assert not documents or all(0 not in segment[1:-1] for segment in excerpt.part.segments)


def expected_of_documents(ids: Ids) -> Ids:
    """The stream without documents that have no character."""
    return np.delete(ids, [n for n, (a, b) in enumerate(pairwise(ids)) if a == b == 0])


def whole_score(model: LanguageModel, ids: Ids, cold_window: int) -> Score:
    part = part_of_stream(ids) if model.tokenizer.boundary else as_part(ids)
    return model.score_ids(part, cold_window=cold_window)


CASES = [(PLAIN, 0), (PLAIN, 7), (BOTH, 0), (DOCUMENTS, 0), (DOCUMENTS, 7), (BOTH_DOCUMENTS, 0)]
NAMES = ["plain", "cold", "both", "documents", "cold documents", "both, documents"]


@pytest.mark.parametrize(("model", "cold_window"), CASES, ids=NAMES)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99), cuts=CUTS, size=st.integers(150, 900))
def test_the_score_is_that_of_the_whole_text(
    model: LanguageModel, cold_window: int, seed: int, cuts: list[int], size: int
) -> None:
    border = 0.02 * (1 + seed % 9) if model.tokenizer.boundary else 0.0
    ids = ids_of(300 + 5 * seed, seed, border)
    whole = whole_score(model, ids, cold_window)
    at_once = score_stream(model, pieces(ids, cuts), cold_window=cold_window)
    assert at_once.score == whole  # to the bit
    parts = score_stream(model, pieces(ids, cuts), cold_window=cold_window, size=size)
    again = score_stream(model, [ids], cold_window=cold_window, size=size)
    assert parts == again  # to the bit
    assert parts.segments == at_once.segments
    found = parts.score
    assert (found.count, found.num_bytes) == (whole.count, whole.num_bytes)
    # Before an excerpt, 512 characters are read, or 128 on each side: nothing else is left out.
    assert found.nats == pytest.approx(whole.nats, rel=1e-5)


@pytest.mark.parametrize("model", [PLAIN, BOTH, DOCUMENTS], ids=["plain", "both", "documents"])
def test_a_long_text_of_many_streams(model: LanguageModel) -> None:
    ids = ids_of(12_000, 1)
    ids[[0, 9, -1]] = 0  # a short document, and one of several excerpts
    done: list[int] = []
    found = score_stream(model, pieces(ids, [5, 9000]), size=5000, progress=done.append).score
    whole = whole_score(model, ids, 0)
    assert found.count == whole.count == done[-1]
    assert done == sorted(done)
    assert found.nats == pytest.approx(whole.nats, rel=1e-6)


@pytest.mark.parametrize("model", [PLAIN, DOCUMENTS], ids=["plain", "documents"])
def test_dynamic_evaluation_goes_on_from_excerpt_to_excerpt(model: LanguageModel) -> None:
    from charlstm.training.dynamic import DynamicReader

    ids = ids_of(300, 2, 0.01 if model.tokenizer.boundary else 0.0)
    how = DynamicConfig(dynamic_window=8)
    scores = []
    for size in (1 << 22, 100):
        reader = DynamicReader(model.weights, model.config.model, len(model.tokenizer), how)
        static, adapted, _ = score_stream(model, [ids], adaptive=reader, size=size)
        assert adapted is not None
        assert (adapted.count, adapted.num_bytes) == (static.count, static.num_bytes)
        scores.append(adapted.nats)
    assert scores == pytest.approx([scores[0]] * 2, rel=1e-12)
    assert scores[0] != pytest.approx(static.nats, rel=1e-4)


def test_errors() -> None:
    for size in (0, 1):
        with pytest.raises(CorpusError, match=f"{size} character"):
            score_stream(PLAIN, [ids_of(size)])
    for ids in ([], [0], [0, 0, 0]):
        with pytest.raises(CorpusError, match="no document"):
            score_stream(DOCUMENTS, [np.array(ids, dtype=np.uint8)])
    with pytest.raises(DirectionError, match="--protocol cold"):
        score_stream(BOTH, [ids_of(9)], cold_window=3)


def test_bytes_by_hand() -> None:
    model = make_model("aé€😀")
    score = model.score("€aé😀a")  # all but the first: 1 + 2 + 4 + 1
    assert (score.count, score.num_bytes) == (4, 8)
    assert score.bits_per_byte == pytest.approx(score.bits_per_char / 2)
    assert Score(1.0, 1).bits_per_byte is None
    ends = DOCUMENTS.score_ids([0, 1, 2, 0, 6, 0])  # space and a, then é; two ends
    assert (ends.count, ends.num_bytes) == (5, 6)


def test_omitted_characters_are_charged() -> None:
    model = make_model("ab")
    skipped = model.score("abXbé", unknown="skip")
    plain = model.score("abb")
    assert (skipped.nats, skipped.count) == (plain.nats, plain.count)
    assert (skipped.unknown, skipped.unknown_bytes) == (2, 3)
    charged = skipped.charged
    assert (charged.count, charged.num_bytes) == (4, 5)
    assert charged.nats == pytest.approx(plain.nats + 2 * np.log(154_998))
    assert plain.charged == plain
