"""Scores of many texts, each from its own beginning."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charlstm.config import Config, ModelConfig, TextConfig
from charlstm.errors import (
    ArgumentTypeError,
    ConfigError,
    CorpusError,
    SourceError,
    UnknownCharacterError,
)
from charlstm.inference import segment_losses
from charlstm.inference.generation import FAST_WRITER
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.score import UNKNOWN_NATS
from charlstm.inference.scoring import cross_entropy
from charlstm.kernels.availability import unavailable
from charlstm.text.tokenizer import CharTokenizer
from tests.models import make_model

KNOWN = "ab c\n"
MODEL = make_model(KNOWN)
BOTH = make_model(KNOWN, "both")


def of_documents(direction: str = "forward") -> LanguageModel:
    model = make_model("\0abc ", direction)
    text = TextConfig(documents="line")
    config = replace(model.config, text=text)
    return LanguageModel(model.weights, config, CharTokenizer("\0 abc", boundary=True))


def losses_by_hand(model: LanguageModel, text: str, edge: str) -> list[float]:
    """The loss of each character and the end, one step at a time."""
    session = model.engine.session()
    ids = [model.tokenizer.characters.index(c) for c in edge + text + edge]
    return [
        float(cross_entropy(session.step(now)[None, :], np.array([then]))[0])
        for now, then in pairwise(ids)
    ]


texts_of = st.lists(st.text("abc ", max_size=30), max_size=20)


@settings(max_examples=25)
@given(texts_of)
def test_each_text_is_predicted_from_a_newline_to_its_end(texts: list[str]) -> None:
    for model, edge in ((MODEL, "\n"), (of_documents(), "\0")):
        scores = list(model.score_each(iter(texts)))
        assert [score.text for score in scores] == texts
        assert [score.number for score in scores] == list(range(1, len(texts) + 1))
        for text, score in zip(texts, scores, strict=True):
            losses = losses_by_hand(model, text, edge)
            assert score.count == len(text) + 1
            assert score.nats == pytest.approx(sum(losses), rel=1e-5)
            assert score.highest == pytest.approx(max(losses), rel=1e-5)
            assert score.peaks == pytest.approx(np.mean(sorted(losses)[-3:]), rel=1e-5)
            assert losses[score.column - 1] == pytest.approx(max(losses), rel=1e-5)
            assert score.character == text[score.column - 1 : score.column]
            assert score.line == 1
            assert score.bits == pytest.approx(score.nats / math.log(2))


@settings(max_examples=15)
@given(texts_of)
def test_a_bidirectional_model_gives_the_pseudo_likelihood_of_each(texts: list[str]) -> None:
    for text, score in zip(texts, BOTH.score_each(texts), strict=True):
        assert score.nats == pytest.approx(BOTH.score(f"\n{text}\n").nats, rel=1e-5)
    model = of_documents("both")
    for text, score in zip(texts, model.score_each(texts), strict=True):
        if text.strip():
            assert score.count == len(text) + 1
            ids = np.array([0, *model.tokenizer.encode(text), 0])
            assert score.nats == pytest.approx(model.score_ids(ids).nats, rel=1e-5)


def test_many_texts_of_all_lengths_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    lengths = [*rng.integers(0, 90, size=700).tolist(), 9000, 1, 5000]
    texts = ["".join(rng.choice(list("abc "), size=length)) for length in lengths]
    scores = list(MODEL.score_each(texts))
    assert [score.text for score in scores] == texts
    for n in (*range(0, 700, 50), 700, 701, 702):
        whole = MODEL.score(f"\n{texts[n]}\n")
        assert scores[n].count == whole.count == lengths[n] + 1
        assert scores[n].nats == pytest.approx(whole.nats, rel=1e-5)


def segments_of(texts: list[str]) -> segment_losses.Segments:
    """Texts after newlines."""
    ids = MODEL.tokenizer.encode("".join(f"\n{text}" for text in texts))
    stops = np.cumsum([len(text) + 1 for text in texts])
    begins = np.array([0, *stops[:-1]])
    return segment_losses.Segments(ids, begins, begins + 1, stops)


def test_groups_have_streams_of_similar_length() -> None:
    lengths = [4000, 90, 89, 88] + [80] * 600 + [10] * 30 + [2] * 3
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("abc "), size=length - 1)) for length in lengths]
    ((cluster, shared),) = segment_losses._clusters(segments_of(texts))
    assert shared == 0
    found = [(group.stops - group.begins).tolist() for group in segment_losses._groups(cluster)]
    assert [length for own in found for length in own] == sorted(lengths)[::-1]
    assert max(map(len, found)) == segment_losses._ROWS
    computed = sum(max(own) * len(own) for own in found)
    assert computed < 1.1 * sum(lengths), "one long line does not hold up all others"


@pytest.mark.parametrize("name", ["lstm", "gru", "documents"])
def test_what_lines_begin_with_is_read_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = of_documents() if name == "documents" else make_model(KNOWN, cell=name)
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list("abc"), size=n % 9)) for n in range(120)]
    texts = [f"abc a {text}" for text in texts] + ["abc a "] * 3
    texts += [f"cab {text}" for text in texts]
    monkeypatch.setattr(segment_losses, "_CLUSTER", 40)
    seen: list[int] = []
    clusters = segment_losses._clusters

    def seeing(streams: segment_losses.Segments) -> Iterator[tuple[segment_losses.Segments, int]]:
        for cluster, shared in clusters(streams):
            seen.append(shared)
            yield cluster, shared

    monkeypatch.setattr(segment_losses, "_clusters", seeing)
    found = list(model.score_each(texts))
    assert max(seen) >= 10
    assert len(seen) == 7
    edge = "\0" if name == "documents" else "\n"
    for text, score in zip(texts, found, strict=True):
        losses = losses_by_hand(model, text, edge)
        assert score.nats == pytest.approx(sum(losses), rel=1e-5)
        assert score.highest == pytest.approx(max(losses), rel=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "coupled"])
def test_compiled_code_scores_as_numpy_does(cell: str) -> None:
    pytest.importorskip(FAST_WRITER, reason="numba is not installed")
    if (fault := unavailable("float32")) is not None:
        pytest.skip(str(fault))
    plain = make_model(KNOWN, cell=cell)
    compiled = LanguageModel(plain.weights, plain.config, plain.tokenizer, compiled=True)
    texts = ["abc" * n for n in range(40)]
    for one, other in zip(plain.score_each(texts), compiled.score_each(texts), strict=True):
        assert one.nats == pytest.approx(other.nats, rel=1e-5)
        assert one.column == other.column


def test_compiled_code_is_used_from_the_block_in_which_it_is_worth_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []

    def is_worth_compiling(_: object, predictions: int) -> bool:
        seen.append(predictions)
        return False

    monkeypatch.setattr(segment_losses, "is_worth_compiling", is_worth_compiling)
    monkeypatch.setattr("charlstm.inference.each.BLOCK_PASSAGES", 2)
    list(MODEL.score_each(["ab", "c", "abc"]))
    assert seen == [5, 9]


# --- Unknown characters ---


def test_an_unknown_character_is_charged() -> None:
    known, other = MODEL.score_each(["abc", "ab"])
    for unknown in ("skip", "replace"):
        both = list(MODEL.score_each(["aXXbc", "ab"], unknown=unknown))
        assert both[0].unknown_characters == 2
        assert both[0].count == 6
        assert both[0].highest == pytest.approx(UNKNOWN_NATS)
        assert (both[0].column, both[0].character) == (2, "X")
        assert both[1].nats == pytest.approx(other.nats)
        assert both[1].unknown_characters == 0
    skipped = next(MODEL.score_each(["aXXbc"], unknown="skip"))
    assert skipped.nats == pytest.approx(known.nats + 2 * UNKNOWN_NATS, rel=1e-5)
    (only,) = MODEL.score_each(["XX"], unknown="skip")
    empty = next(MODEL.score_each([""]))
    assert only.nats == pytest.approx(empty.nats + 2 * UNKNOWN_NATS, rel=1e-5)


def test_unknown_characters_are_errors_or_mapped() -> None:
    with pytest.raises(UnknownCharacterError, match="position 2 of text 2,"):
        list(MODEL.score_each(["abc", "abX"]))
    with pytest.raises(UnknownCharacterError, match="position 1 of text 1,"):
        list(MODEL.score_each(["aX"], unknown="map"))
    mapped, plain = MODEL.score_each(["a\u00a0b", "a b"], unknown="map")
    assert mapped.nats == pytest.approx(plain.nats)
    assert mapped.text == "a b"


def test_case_and_line_endings_are_those_of_the_training_text() -> None:
    model = make_model(KNOWN, lowercase=True)
    one, other = model.score_each(["AB\r\nc", "ab\nc"])
    assert one.nats == pytest.approx(other.nats)
    assert one.text == "ab\nc"


def test_a_vocabulary_without_a_newline() -> None:
    model = make_model("xyz")
    (score,) = model.score_each(["yx"])
    assert score.count == 2
    assert score.nats == pytest.approx(model.score("xyx").nats)
    with pytest.raises(CorpusError, match="text 2 has no character"):
        list(model.score_each(["x", ""]))


def test_wrong_arguments() -> None:
    texts: Any
    for texts in ("abc", 3):
        with pytest.raises(ArgumentTypeError, match="iterable of texts"):
            MODEL.score_each(texts)
    with pytest.raises(ArgumentTypeError, match="text 2 must be a text"):
        list(MODEL.score_each(["a", 3]))
    with pytest.raises(ConfigError, match="--unknown 'x'"):
        MODEL.score_each(["a"], unknown="x")
    with pytest.raises(SourceError, match="text 1 has a NUL"):
        list(MODEL.score_each(["a\0b"], unknown="skip"))


def test_a_network_whose_products_are_not_stacked() -> None:
    config = Config(model=ModelConfig(hidden_size=5, num_layers=2, layer_norm=True, cell="gru"))
    from charlstm.format.weights import weight_shapes

    rng = np.random.default_rng(0)
    shapes = weight_shapes(config.model, 5)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    model = LanguageModel(weights, config, CharTokenizer.from_text(KNOWN))
    for text, score in zip(
        ["ab", "c" * 40, ""], model.score_each(["ab", "c" * 40, ""]), strict=True
    ):
        assert score.nats == pytest.approx(model.score(f"\n{text}\n").nats, rel=1e-5)
