"""Options that change nothing are reported; options that contradict each other are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from charlstm.config import Config
from charlstm.planner.no_effect import without_effect
from charlstm.planner.rules import choose
from tests.conftest import Program


@pytest.mark.parametrize(
    ("given", "idle"),
    [
        ({"split": "tail", "documents": "line"}, ["--split"]),
        ({"split": "auto", "documents": "line"}, []),
        ({"split": "tail", "documents": "none"}, []),
        ({"step": 5}, ["--step"]),
        ({"step": 5, "stateless": True}, []),
        ({"reset": 0.1}, []),
        ({"reset": 0.1, "stateless": True}, ["--reset"]),
        ({"decay_every": 5, "decay_rate": 0.9}, ["--decay-every", "--decay-rate"]),
        ({"decay_every": 5, "decay_rate": 0.9, "schedule": "step"}, []),
        ({"decay_after": 0.3}, []),
        ({"decay_after": 0.3, "schedule": "constant"}, ["--decay-after"]),
        ({"on_overfit": "decay"}, []),
        ({"on_overfit": "decay", "schedule": "step"}, ["--on-overfit"]),
        ({"on_overfit": "continue", "schedule": "step"}, []),
        ({"beta1": 0.8, "beta2": 0.9, "optimizer": "rmsprop"}, ["--beta1"]),
        ({"beta1": 0.8, "beta2": 0.9, "optimizer": "sgd"}, ["--beta2"]),
        ({"beta1": 0.8, "beta2": 0.9}, []),
        ({"sample_every": 10}, []),
        ({"sample_every": 10, "direction": "both"}, ["--sample-every"]),
        ({"sample_every": 0, "direction": "both"}, []),
    ],
)
def test_options_without_effect(given: dict[str, Any], idle: list[str]) -> None:
    sentences = without_effect(Config().override(given), given)
    assert [sentence.split()[0] for sentence in sentences] == idle


def test_what_has_no_effect_is_reported(program: Program) -> None:
    given = ["--decay-every", 5, "--step", 2]
    result = program("train", "missing.txt", *given)
    for flag in given[::2]:
        assert f"{flag} has no effect" in result.stderr
    assert "no effect" not in program("train", "missing.txt", *given, "--quiet").stderr


def test_nothing_without_effect_is_chosen() -> None:
    for given in ({"stateless": True}, {"minutes": 5.0, "schedule": "constant"}, {}):
        chosen = choose(given, 10_000, 300, 50_000).overrides
        assert without_effect(Config().override({**given, **chosen}), chosen) == []


def test_size_and_hidden_size_contradict_each_other(program: Program, corpus_file: Path) -> None:
    result = program("train", corpus_file.name, "--size", "small", "--hidden-size", 64)
    assert result.returncode == 2
    assert "--size and --hidden-size" in result.stderr
    assert not Path(corpus_file.parent / "checkpoints").exists()
