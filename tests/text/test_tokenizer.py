from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charlstm.errors import CheckpointError, ConfigError, UnknownCharacterError
from charlstm.text.code_points import CODE_POINTS, count_code_points
from charlstm.text.tokenizer import CharTokenizer

anything = st.text(alphabet=st.characters(codec="utf-8"))


@given(anything.filter(bool), st.randoms())
def test_decode_inverts_encode(text: str, random: object) -> None:
    tokenizer = CharTokenizer.from_text(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    shuffled = "".join(sorted(text, key=lambda _: random.random()))  # type: ignore[attr-defined]
    assert tokenizer.decode(tokenizer.encode(shuffled)) == shuffled


@given(anything.filter(bool))
def test_json_keeps_the_tokenizer(text: str) -> None:
    tokenizer = CharTokenizer.from_text(text + text[:1], lowercase=True, min_count=2)
    assert CharTokenizer.from_json(json.loads(json.dumps(tokenizer.to_json()))) == tokenizer


def test_ids_follow_code_points() -> None:
    tokenizer = CharTokenizer.from_text("cab😀a")
    assert tokenizer.characters == "abc😀"
    assert tokenizer.encode("a😀c").tolist() == [0, 3, 2]
    assert len(tokenizer) == 4


@pytest.mark.parametrize(
    ("size", "dtype"), [(1, "uint8"), (256, "uint8"), (257, "uint16"), (65537, "uint32")]
)
def test_ids_take_the_smallest_type(size: int, dtype: str) -> None:
    points = [p for p in range(size + 2048) if not 0xD800 <= p < 0xE000][:size]
    tokenizer = CharTokenizer("".join(map(chr, points)))
    ids = tokenizer.encode(tokenizer.characters)
    assert ids.dtype == dtype
    assert ids.tolist() == list(range(size))
    with pytest.raises(UnknownCharacterError):
        tokenizer.encode("\U0010ffff")


def test_one_hot() -> None:
    rows = CharTokenizer("abc").one_hot([2, 0])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]


def test_unknown_characters() -> None:
    tokenizer = CharTokenizer.from_text("to be")
    with pytest.raises(UnknownCharacterError, match=r"'é' \(U\+00E9\) at position 3") as caught:
        tokenizer.encode("be é")
    assert caught.value.position == 3
    assert "--unknown skip" in str(caught.value)
    assert tokenizer.decode(tokenizer.encode("bée", "skip")) == "be"
    assert tokenizer.decode(tokenizer.encode("bée", "replace")) == "b e"
    assert tokenizer.unknown_characters("éaé b") == {"a": 1, "é": 2}
    with pytest.raises(ConfigError, match="--unknown"):
        tokenizer.encode("b", "whatever")


def test_min_count_counts_and_replaces_rare_characters() -> None:
    counts = np.zeros(CODE_POINTS, dtype=np.int64)
    count_code_points("aaaa bb xy", counts)
    tokenizer, rare = CharTokenizer.from_counts(counts, min_count=2)
    assert rare == {"x": 1, "y": 1}
    assert tokenizer.characters == " ab\ufffd"
    assert tokenizer.decode(tokenizer.encode("axby")) == "a\ufffdb\ufffd"
    with pytest.raises(UnknownCharacterError):  # rare is known; never seen is not
        tokenizer.encode("z")
    assert tokenizer.decode(tokenizer.encode("az", "replace")) == "a\ufffd"


def test_lowercase_folds_each_character_by_itself() -> None:
    tokenizer = CharTokenizer.from_text("AaBİΣ", lowercase=True)
    assert tokenizer.characters == "abİσ"  # İ's lower case is two characters: it stays
    assert tokenizer.decode(tokenizer.encode("BAbΣσİ")) == "babσσİ"


def test_a_letter_s_two_cases_count_together() -> None:
    tokenizer = CharTokenizer.from_text("Aa bbB c", lowercase=True, min_count=2)
    assert tokenizer.rare == "c"


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"characters": "ba", "lowercase": False, "rare": ""},
        {"characters": "aa", "lowercase": False, "rare": ""},
        {"characters": "", "lowercase": False, "rare": ""},
        {"characters": "ab", "lowercase": 0, "rare": ""},
        {"characters": "ab", "lowercase": False, "rare": "c"},
        {"characters": "ab\ufffd", "lowercase": False, "rare": "b"},
    ],
)
def test_unreadable_json(data: object) -> None:
    with pytest.raises(CheckpointError):
        CharTokenizer.from_json(data)


def test_decode_refuses_ids_outside() -> None:
    with pytest.raises(IndexError):
        CharTokenizer("ab").decode([2])
    with pytest.raises(IndexError):
        CharTokenizer("ab").decode([-1])
