"""The n-gram model of the benchmarks, and how scores are judged there."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.conftest import import_script

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


def script(name: str) -> ModuleType:
    """One of the benchmarks."""
    return import_script(BENCHMARKS, name)


def test_witten_bell_by_hand() -> None:
    ngram = script("ngram")
    model = ngram.WittenBell(["ab", "aa"], order=2)
    # Without context: a three times, b once, the end twice; three kinds of characters.
    alone = {"a": 3, "b": 1, "end": 2}
    base = {c: (count + 3 / ngram.CHARACTERS) / 9 for c, count in alone.items()}
    # After the beginning: a twice. After a: b, a and the end once each.
    first = (2 + 1 * base["a"]) / 3
    second = (1 + 3 * base["b"]) / 6
    last = (1 + 1 * base["end"]) / 2  # after b: the end once
    (losses,) = model.losses(["ab"])
    np.testing.assert_allclose(losses, -np.log([first, second, last]))
    # An unknown character, and the end after it, whose context never occurred.
    (losses,) = model.losses(["x"])
    unknown = (0 + 1 * (3 / ngram.CHARACTERS / 9)) / 3
    np.testing.assert_allclose(losses, -np.log([unknown, base["end"]]))


def test_probabilities_of_all_continuations_are_one() -> None:
    ngram = script("ngram")
    lines = ["abcabcab", "aabbcc", "cab", ""]
    model = ngram.WittenBell(lines, order=6)
    known = "abc"
    for before in ("", "a", "abcab", "ccccc"):
        losses = [model.losses([before + c])[0][len(before)] for c in known]
        end = model.losses([before])[0][-1]
        other = model.losses([before + "x"])[0][len(before)]
        rest = (ngram.CHARACTERS - 4) * math.exp(-other)
        assert sum(np.exp(-np.array(losses))) + math.exp(-end) + rest == pytest.approx(1)


def test_losses_belong_to_their_lines() -> None:
    model = script("ngram").WittenBell(["abc", "ab"])
    lines = ["abc", "", "b", "cab"]
    together = model.losses(lines)
    assert [len(losses) for losses in together] == [4, 1, 2, 4]
    for line, losses in zip(lines, together, strict=True):
        np.testing.assert_array_equal(model.losses([line])[0], losses)


def test_judgements_by_hand() -> None:
    oddities = script("oddities")
    odd, others = np.array([3.0, 1.0]), np.array([0.0, 1.0, 2.0, 4.0])
    assert oddities.auc(odd, others) == pytest.approx(((3) / 4 + 1.5 / 4) / 2)
    rng = np.random.default_rng(0)
    # One of four lines is taken: never the odd one, always, or half the time where both are equal.
    for value, expected in ((3.0, 0.0), (5.0, 1.0), (4.0, 0.5)):
        assert oddities.precision(np.array([value, value]), others, rng) == expected


def test_planted_oddities_are_new_lines_of_their_kind() -> None:
    planted = script("planted")
    lines = [f'::1 - - [d] "GET /page-{n} HTTP/1.1" 200 -' for n in range(20)]
    found = {kind: planted.planted("web", kind, lines, 30, 1) for kind in planted.KINDS}
    for odd in itertools.chain(*found.values()):
        assert odd not in lines
    assert all(line.rsplit(" ", 2)[1] in ("500", "502", "503") for line in found["status"])
    assert all(sorted(line.split()) == sorted(lines[0].replace("page-0", line.split("page-")[1]
               .split(" ")[0].join(["page-", ""])).split()) for line in found["swap"])  # fmt: skip
    assert all(len(line.split(" ")) == len(lines[0].split(" ")) for line in found["token"])
    assert all(any(f in line for f in planted.FRAGMENTS) for line in found["SQL"])
    assert found["swap"] == planted.planted("web", "swap", lines, 30, 1)
