"""Texts that a model is given are read by the rules that it was trained with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import TextConfig
from charlstm.errors import ConfigError, UnknownCharacterError
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.texts import TextReader
from charlstm.text.tokenizer import CharTokenizer
from tests import models

CHARACTERS = "\n ,.abcdeilnort'"


def make_model(text: str = CHARACTERS, direction: str = "forward", **options: Any) -> LanguageModel:
    return models.make_model(text, direction, **options)


def written(model: LanguageModel, prompt: str, **options: Any) -> tuple[str, str]:
    """What `generate` and `samples` write."""
    options = {"length": 60, "seed": 3, "temperature": 1.0} | options
    return "".join(model.generate(prompt, **options)), model.samples(2, prompt, **options)[0].text


RULES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "to be,\r\nor not\rto be", "to be,\nor not\nto be"),
    ({"lowercase": True}, "TO be,\r\nOr not", "to be,\nor not"),
]


@pytest.mark.parametrize(("rules", "given_text", "read"), RULES)
def test_every_door_reads_by_the_rules(rules: dict[str, Any], given_text: str, read: str) -> None:
    model = make_model(**rules)
    assert written(model, given_text) == written(model, read)
    assert model.score(given_text) == model.score(read)
    both = make_model(direction="both", **rules)
    assert both.fill(given_text + "_", seed=1, sweeps=1) == both.fill(read + "_", seed=1, sweeps=1)
    assert both.score(given_text) == both.score(read)


@pytest.mark.parametrize("door", ["generate", "samples", "score", "fill"])
def test_every_door_maps(door: str) -> None:
    model = make_model(direction="both" if door == "fill" else "forward")
    options: dict[str, Any] = {} if door == "score" else {"seed": 2}

    def call(text: str, **more: Any) -> Any:
        if door == "samples":
            return model.samples(2, text, **options, **more)
        result = getattr(model, door)(text + ("_" if door == "fill" else ""), **options, **more)
        return "".join(result) if door == "generate" else result

    with pytest.raises(UnknownCharacterError, match="--unknown map"):
        call("a\u2019b")
    assert call("a\u2019b", unknown="map") == call("a'b")
    with pytest.raises(UnknownCharacterError):
        call("a\u4e00b", unknown="map")
    with pytest.raises(ConfigError, match="--unknown 'x'"):
        call("ab", unknown="x")


def test_line_ends_are_kept_where_they_were_kept() -> None:
    model = make_model(CHARACTERS + "\r", keep_newlines=True)
    assert model.texts.read("a\r\nb\r").text == "a\r\nb\r"
    assert model.score("a\r\nb").count == 3


def test_a_blank_is_found_before_case_is_folded() -> None:
    model = make_model(direction="both", lowercase=True)
    (filled,) = model.fill("beXDxeB", blank="X", seed=1, unknown="skip")
    assert (filled[:2], filled[3:]) == ("be", "deb")
    (filled,) = model.fill("beE", blank="E", seed=1)
    assert filled[:2] == "be"


def test_after_a_blank_a_straight_mark_closes() -> None:
    both = make_model("\n abs\u2018\u2019", direction="both")
    (filled,) = both.fill("_'s", unknown="map", seed=1)
    assert filled[1:] == "\u2019s"


# Stop texts


def test_stop_texts_follow_the_rules() -> None:
    model = make_model(lowercase=True)
    whole, _ = written(model, "to")
    stop = whole[20:23]
    cut = whole[: whole.index(stop)]
    for given_stop in (stop, stop.upper(), stop.replace("\n", "\r\n")):
        assert written(model, "to", stop=given_stop) == (cut, cut)


def test_the_order_of_stop_texts_does_not_matter() -> None:
    model = make_model()
    whole, _ = written(model, "to")
    stops = (whole[21:23], whole[20:23], whole[30])
    expected = whole[: min(whole.index(stop) for stop in stops)]
    assert written(model, "to", stop=stops) == (expected, expected)
    assert written(model, "to", stop=stops[::-1]) == (expected, expected)


@pytest.mark.parametrize(
    ("stop", "words"),
    [
        ("\\n", [r"--stop '\n' holds '\' (U+005C)", "--escapes", r"$'\n'"]),
        ("a\\b", ["'\\' (U+005C)", "omit it"]),
        ("a\u4e00", ["'\u4e00' (U+4E00)", "omit it"]),
        ("\u2019", ['its text has "\'" (U+0027)', "--unknown map"]),
        ("A", ["'A' (U+0041)"]),
    ],
)
@pytest.mark.parametrize("unknown", ["error", "skip", "replace"])
def test_a_stop_text_that_cannot_be_written(stop: str, words: list[str], unknown: str) -> None:
    model = make_model()
    for call in (model.generate, lambda **options: model.samples(2, **options)):
        with pytest.raises(ConfigError) as caught:
            call(stop=["a", stop], unknown=unknown)
        for word in words:
            assert word in str(caught.value)


def test_stop_texts_are_mapped() -> None:
    model = make_model()
    assert model.texts.read_stop("a\u2019\u2026", "map").text == "a'..."
    with pytest.raises(ConfigError, match="no character that the model knows"):
        model.texts.read_stop("\u200b", "map")
    assert make_model(lowercase=True).texts.read_stop("\uff21", "map").text == "a"


def test_a_rare_character_can_be_read_but_not_written() -> None:
    model = make_model("aabbcc''d\u2019", min_count=2)
    assert model.score("adb").count == 2
    with pytest.raises(ConfigError, match=r"'d' \(U\+0064\), which the model cannot write"):
        model.generate(stop="d")


def test_a_model_that_knows_the_backslash_can_stop_at_it() -> None:
    assert make_model("ab\\n").texts.read_stop("\\n").text == "\\n"


READERS = {
    (keep, fold): TextReader(
        TextConfig(keep_newlines=keep, lowercase=fold), CharTokenizer.from_text("a", lowercase=fold)
    )
    for keep in (False, True)
    for fold in (False, True)
}


@given(st.text(), st.sampled_from(sorted(READERS)))
def test_what_was_read_stays(text: str, rules: tuple[bool, bool]) -> None:
    read = READERS[rules].read(text).text
    assert READERS[rules].read(read).text == read
    assert rules[0] or "\r" not in read


def test_case_is_folded_as_the_vocabulary_folds_it() -> None:
    text = "AaB\u0130\u03a3 \u03a3\u0391\u03a3 \u03c2\ufb01\u01c5\u1e9e"
    model = make_model(text, lowercase=True)
    assert model.texts.read(text).text == model.tokenizer.decode(model.tokenizer.encode(text))
