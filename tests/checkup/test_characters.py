"""Characters by script, and the rare ones."""

from __future__ import annotations

import pytest

import charlstm
from charlstm.checkup.characters import name, script, scripts


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        ("aZ\u00e9\u00df\u0142\u00aa", "Latin"),
        ("\u03b1\u03a9", "Greek"),
        ("\u0436\u042f", "Cyrillic"),
        ("\u05d0", "Hebrew"),
        ("\u0628", "Arabic"),
        ("\u0905\u093f", "Devanagari"),
        ("\u4e2d\u6587\u3005", "CJK"),
        ("\u3042", "Hiragana"),
        ("\u30a2\u30fc", "Katakana"),
        ("\ud55c", "Hangul"),
        ("\u0e01", "Thai"),
        ("\u0301", "marks"),
        ("7\u0663\u00bd", "digits"),
        (".\u2014\u3002", "punctuation"),
        ("$+\u20ac\U0001f600", "symbols"),
        (" \n\t\u00a0\u3000", "spaces and line ends"),
        ("\x07\x80", "control characters"),
        ("\u200b\ufeff", "invisible"),
        ("\ue000", "private use"),
        ("\u0378", "unassigned"),
    ],
)
def test_scripts(characters: str, expected: str) -> None:
    assert {script(character) for character in characters} == {expected}


def test_scripts_are_counted() -> None:
    found = scripts({"a": 5, "b": 2, "\u0436": 9, " ": 9})
    assert list(found) == ["Cyrillic", "spaces and line ends", "Latin"]
    assert found["Latin"] == {"distinct": 2, "characters": 7}


def test_every_character_has_a_name_and_a_script() -> None:
    for point in (*range(0x3000), *range(0xD800, 0xE001), 0x17000, 0x10FFFF):
        assert name(chr(point))
        assert script(chr(point))


def test_rare_characters_have_names_and_places() -> None:
    found = charlstm.check(text="aaaaa\nbbbbb \u00e9\n" * 4 + "c\x07\u4e2d\n").rare
    assert [one.to_json() for one in found] == [
        {"character": character, "code_point": point, "name": called, "count": count,
         "file": "text", "line": line}
        for character, point, called, count, line in (
            ("\x07", "U+0007", "CONTROL CHARACTER", 1, 9),
            ("c", "U+0063", "LATIN SMALL LETTER C", 1, 9),
            ("\u4e2d", "U+4E2D", "CJK UNIFIED IDEOGRAPH-4E2D", 1, 9),
            (" ", "U+0020", "SPACE", 4, 2),
            ("\u00e9", "U+00E9", "LATIN SMALL LETTER E WITH ACUTE", 4, 2),
        )
    ]  # fmt: skip
