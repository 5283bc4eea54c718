"""Scores of texts that come in passages, and sorting of scores."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from charlstm.errors import SourceError, UnknownCharacterError
from charlstm.inference import sorted_scores
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.text_score import TextScore
from charlstm.text import passages
from charlstm.text.passages import Passage
from tests.inference.test_each import BOTH, KNOWN, MODEL, of_documents
from tests.models import make_model


def cut(text: str, size: int) -> list[Passage]:
    """A text in passages of some size."""
    parts = [text[n : n + size] for n in range(0, len(text), size)]
    befores = ["", *(text[: n * size][-passages.CONTEXT :] for n in range(1, len(parts)))]
    last = len(parts) - 1
    return [
        Passage("x", 3, part, before, ends=n == last, last=n == last)
        for n, (part, before) in enumerate(zip(parts, befores, strict=True))
    ]


@pytest.mark.parametrize("model", [MODEL, BOTH], ids=["forward", "both"])
@pytest.mark.parametrize("together", [True, False])
def test_a_text_in_passages_scores_as_the_whole_text(model: LanguageModel, together: bool) -> None:
    rng = np.random.default_rng(3)
    text = "".join(rng.choice(list("abc \n"), size=3000))
    (whole,) = model.score_each([text])
    scorer, parts = model.each_scorer(), cut(text, 700)
    blocks = [parts] if together else [[part] for part in parts]
    (score,) = [score for block in blocks for score in scorer.score(block)]
    assert (score.source, score.number) == ("x", 3)
    assert score.count == whole.count == 3001
    assert score.nats == pytest.approx(whole.nats, rel=1e-3 if model is BOTH else 1e-6)
    assert (score.line, score.column, score.character) == (
        whole.line, whole.column, whole.character,
    )  # fmt: skip
    lines = f"{text}\n".split("\n")
    assert f"{lines[score.line - 1]}\n"[score.column - 1] == (score.character or "\n")


def test_an_unknown_character_of_a_later_passage() -> None:
    text = "a" * 900 + "X" + "b" * 99
    for together in (True, False):
        scorer, parts = MODEL.each_scorer(), cut(text, 400)
        blocks = [parts] if together else [[part] for part in parts]
        with pytest.raises(UnknownCharacterError, match="position 900 of x:3,"):
            [list(scorer.score(block)) for block in blocks]


def test_a_file_of_documents_is_the_sum_of_its_documents() -> None:
    model = of_documents()
    documents = ["ab", "cc a", "b"]
    units = [Passage("x", 0, t, last=n == 2, document=n + 1) for n, t in enumerate(documents)]
    (score,) = model.each_scorer().score(units)
    alone = list(model.score_each(documents))
    assert score.nats == pytest.approx(sum(one.nats for one in alone), rel=1e-6)
    assert score.count == model.score("\n".join(documents)).count
    highest = max(alone, key=lambda one: one.highest)
    assert (score.document, score.column) == (highest.number, highest.column)


# --- Sorting ---


def test_scores_are_sorted_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{'ab c'[n % 4]}{'c' * (n % 7)}" for n in range(100)] + ["\ud800"]
    scores = list(make_model(KNOWN + "\ud800").score_each(texts))
    expected = sorted(scores, key=lambda score: -score.nats)  # stable

    def nats(score: TextScore) -> float:
        return score.nats

    assert list(sorted_scores.sorted_scores(scores, nats)) == expected
    monkeypatch.setattr(sorted_scores, "_LIMIT", 3000)
    assert list(sorted_scores.sorted_scores(iter(scores), nats)) == expected
    assert json.loads(json.dumps(asdict(scores[0]))) == asdict(scores[0])


def test_a_full_disk_while_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sorted_scores, "_LIMIT", 0)
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(SourceError, match=r"No space left.*\n.*TMPDIR.*--top"):
        list(sorted_scores.sorted_scores(MODEL.score_each(["a"]), lambda score: score.nats))
