"""`--unknown map`: what a model knows in place of a character that it does not."""

from __future__ import annotations

import string
import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charlstm.errors import UnknownCharacterError
from charlstm.text.tokenizer import CharTokenizer

LETTERS = string.ascii_letters + " \n,:()"
PLAIN = string.printable
TYPOGRAPHIC = LETTERS + "\u201c\u201d\u2018\u2019\u2014\u2013\u2026!"


def mapped(vocabulary: str, text: str) -> str:
    return CharTokenizer.from_text(vocabulary).map_unknown(text).text


@pytest.mark.parametrize(
    ("vocabulary", "text", "expected"),
    [
        (PLAIN, "“It’s…” ‘no’", "\"It's...\" 'no'"),
        (PLAIN, "a — b–c − d‐e‑f", "a -- b-c - d-e-f"),
        (PLAIN, "«ja» „ja“ ‹ja› 5′ 6″", '"ja" "ja" \'ja\' 5\' 6"'),
        (PLAIN, "a\u00a0b\u2009c\u3000d\u202fe", "a b c d e"),
        (PLAIN, "a\u2028b\x85c", "a\nb\nc"),
        (PLAIN, "ﬁn ﬃ ĳ ＡＢ x² ½ № ™", "fin ffi ij AB x2 1/2 No TM"),
        (PLAIN, "naïve cafe\u0301 Łódź straße Æon", "naive cafe Lodz strasse AEon"),
        (PLAIN, "soft\u00adhyphen zero\u200bwidth \u202eright", "softhyphen zerowidth right"),
        (TYPOGRAPHIC, '"It\'s --- a \'b\' ("c")..."', "“It’s — a ‘b’ (“c”)…”"),
        (TYPOGRAPHIC, "a -- b-c", "a — b–c"),
        (LETTERS + "„“’", '"ja" “ja” it\'s', "„ja“ “ja“ it’s"),
        (LETTERS + "«»", '"oui" “oui”', "«oui» «oui»"),
        (LETTERS + "'", '"yes"', "''yes''"),
        ("e\u0301a", "é", "e\u0301"),
        ("éa", "e\u0301", "é"),
        ("한", "\u1112\u1161\u11ab", "한"),
        ("Ａ\u3000", "Ａ ", "Ａ\u3000"),
        ("ab", "a\u0301b", "ab"),
        ("ab ", "a\nb\tb", "a b b"),
    ],
)
def test_forms(vocabulary: str, text: str, expected: str) -> None:
    assert mapped(vocabulary, text) == expected
    tokenizer = CharTokenizer.from_text(vocabulary)
    assert tokenizer.decode(tokenizer.encode(text, "map")) == expected


@pytest.mark.parametrize(
    ("vocabulary", "text", "position"),
    [
        (PLAIN, "a\u4e00", 1),
        (PLAIN, "ab\u2260", 2),  # without its stroke it would mean the opposite
        ("\u304b", "\u304c", 0),  # without its mark it is another syllable
        (PLAIN, "\u201ca\u00a8", 2),  # counted in the text that was given
        ("ab", "a-b", 1),
        (PLAIN, "x\u2764\ufe0f", 1),
    ],
)
def test_what_has_no_form_is_an_error(vocabulary: str, text: str, position: int) -> None:
    with pytest.raises(UnknownCharacterError) as caught:
        mapped(vocabulary, text)
    assert caught.value.position == position
    assert caught.value.character == text[position]
    assert "skip" in str(caught.value)


def test_what_was_replaced_is_counted() -> None:
    counts = CharTokenizer.from_text(PLAIN).map_unknown("\u2019a\u2019\u2026").counts
    assert counts == {("\u2019", "'"): 2, ("\u2026", "..."): 1}


@pytest.mark.parametrize(
    ("vocabulary", "text", "form"),
    [
        (PLAIN, "It\u2019s", ("\u2019", "'")),
        (TYPOGRAPHIC, "It's", ("'", "\u2019")),
        (TYPOGRAPHIC, "so...", ("...", "\u2026")),
        (PLAIN, "caf\u00e9", ("\u00e9", "e")),
        (PLAIN, "\u4e00", None),
    ],
)
def test_the_error_shows_the_form(vocabulary: str, text: str, form: tuple[str, str] | None) -> None:
    with pytest.raises(UnknownCharacterError) as caught:
        CharTokenizer.from_text(vocabulary).encode(text)
    assert caught.value.form == form
    assert ("--unknown map" in str(caught.value)) == (form is not None)
    assert form is None or repr(form[1]) in str(caught.value)


marks = st.sampled_from("\"'“”‘’-—. …\u0301eéﬁ\n\u200b/½")


@given(st.text(marks, min_size=1), st.text(marks | st.characters(codec="utf-8")))
def test_a_mapped_text_is_known_and_stays(vocabulary: str, text: str) -> None:
    tokenizer = CharTokenizer.from_text(vocabulary)
    unknown = tokenizer.unknown_characters(text)
    result = mapped_or_position(tokenizer, text)
    if isinstance(result, int):
        assert text[result] in unknown
    else:
        assert not tokenizer.unknown_characters(result)
        assert mapped_or_position(tokenizer, result) == result
        assert bool(tokenizer.map_unknown(text).counts) == bool(unknown)


@given(st.text(marks), st.text(marks))
def test_lines_are_mapped_by_themselves(first: str, second: str) -> None:
    assume(not second or unicodedata.category(second[0])[0] != "M")
    tokenizer = CharTokenizer.from_text(TYPOGRAPHIC + "/12.")
    whole = tokenizer.map_unknown(f"{first}\n{second}").text
    parts = [tokenizer.map_unknown(part).text for part in (f"{first}\n", second)]
    assert whole == "".join(parts)


def mapped_or_position(tokenizer: CharTokenizer, text: str) -> str | int:
    """The text, or the position of the character that nothing stands for."""
    try:
        return tokenizer.map_unknown(text).text
    except UnknownCharacterError as error:
        return error.position


def test_marks_continue_after_what_comes_before() -> None:
    tokenizer = CharTokenizer.from_text(TYPOGRAPHIC)
    assert tokenizer.map_unknown("'", before="_").text == "\u2019"
    assert tokenizer.map_unknown("'", before=" ").text == "\u2018"
