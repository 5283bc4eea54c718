from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.config import TextConfig
from charlstm.text.alphabets import match_alphabets, sibling
from charlstm.text.corpus import load_corpus
from charlstm.text.sources import Source
from charlstm.text.tokenizer import BOUNDARY, CharTokenizer


@pytest.mark.parametrize(
    ("character", "known", "similar"),
    [
        ("E", "aeiou", "e"),
        ("e", "AEIOU", "E"),
        ("\u00e9", "abcde", "e"),
        ("\u00c9", "abcde", "e"),
        ("\u00e9", "\u00c9e", "\u00c9"),
        ("\u2019", "it's", "'"),
        ("\u2014", "a-b", "-"),
        ("\u2026", "a.b", "."),
        ("\u00df", "s", "s"),
        ("\u00a0", "a b", " "),
        ("\uff21", "A", "A"),
        ("\u00e6", "ae", ""),  # two letters
        ("\u4e2d", "abc", ""),
        ("\u0301", "abc", ""),  # an accent alone
    ],
)
def test_the_most_similar_character(character: str, known: str, similar: str) -> None:
    assert sibling(character, known.__contains__) == similar


alphabets = st.sets(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=30)


@given(alphabets, alphabets, st.booleans(), st.booleans())
def test_characters_are_matched_and_not_numbers(
    old: set[str], new: set[str], old_boundary: bool, new_boundary: bool
) -> None:
    base, tokenizer = (
        CharTokenizer(
            "".join(sorted(found | ({BOUNDARY} if boundary else set()))), boundary=boundary
        )
        for found, boundary in ((old, old_boundary), (new, new_boundary))
    )
    found = match_alphabets(base, tokenizer)
    for number, character in enumerate(tokenizer.characters):
        source = found.base_ids[number]
        if source >= 0:
            assert base.characters[source] == character
            assert found.sibling_ids[number] == -1
            assert character in found.copied
        elif found.sibling_ids[number] >= 0:
            assert base.characters[found.sibling_ids[number]] == found.new[character]
        else:
            assert found.new[character] == ""
    both = {BOUNDARY} if old_boundary and new_boundary else set()
    assert set(found.copied) == old & new | both
    assert set(found.new) == new - old | ({BOUNDARY} if new_boundary else set()) - both
    assert set(found.dropped) == old - new | ({BOUNDARY} if old_boundary else set()) - both


def test_the_boundary_is_not_another_text_s_nul_character() -> None:
    base = CharTokenizer("\0\nab")
    found = match_alphabets(base, CharTokenizer("\0ab", boundary=True))
    assert (found.copied, found.new, found.dropped) == ("ab", {"\0": "\n"}, "\0\n")
    np.testing.assert_array_equal(found.base_ids, [-1, 2, 3])
    np.testing.assert_array_equal(found.sibling_ids, [1, -1, -1])


def test_characters_that_a_vocabulary_has_anyway() -> None:
    counts = np.zeros(0x110000, dtype=np.int64)
    counts[[ord(c) for c in "abAx"]] = [5, 5, 5, 1]

    def made(also: str, **options: bool | int) -> CharTokenizer:
        return CharTokenizer.from_counts(counts, also=also, **options)[0]  # type: ignore[arg-type]

    assert made("zxa").characters == "Aabxz"
    assert made("zZ", lowercase=True).characters == "abxz"
    rare = made("xz", min_count=2)
    assert (rare.characters, rare.rare) == ("Aabxz", "")
    assert made("z", min_count=2).rare == "x"
    assert made("z", boundary=True).characters == "\0Aabxz"


def test_ids_with_further_characters_are_cached_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "x.txt"
    path.write_text("abc\n" * 9)
    sources, config = [Source("x.txt", path)], TextConfig()
    for also, characters in (("", "\nabc"), ("az", "\nabcz"), ("", "\nabc"), ("az", "\nabcz")):
        corpus = load_corpus(sources, config, also=also, in_memory_bytes=0)
        assert corpus.tokenizer.characters == characters
        assert corpus.tokenizer.decode(corpus.ids[:4]) == "abc\n"
    assert len(list((tmp_path / "cache" / "charlstm").glob("*.ids"))) == 2
