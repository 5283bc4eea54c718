"""One rule for the types of arguments: every public method, every type."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charlstm
from charlstm.config import Config, FillConfig, ModelConfig, SampleConfig
from charlstm.errors import (
    ArgumentTypeError,
    CharlstmError,
    CheckpointError,
    ConfigError,
    IdError,
)
from charlstm.format.checkpoint import Checkpoint
from charlstm.format.weights import weight_shapes
from charlstm.inference.language_model import LanguageModel
from charlstm.text.tokenizer import CharTokenizer

TOKENIZER = CharTokenizer("\n _abc")
VALUES: dict[str, list[Any]] = {
    "none": [None],
    "bool": [True, np.bool_(False)],
    "int": [1, np.int64(1), np.uint8(1)],
    "float": [1.0, np.float32(1), Fraction(1, 2)],
    "str": ["ab", np.str_("ab")],
    "bytes": [b"ab"],
    "path": [Path("ab")],
    "texts": [["ab"], ("ab",)],
    "ids": [[1, 2], (1, 2), np.array([1, 2]), np.array([1, 2], dtype=np.uint8)],
    "other": [1j, {"a"}, object(), [1.0], [b"a"], np.array([1.0]), np.array(1), ["a", 1]],
    "config": [SampleConfig()],
    "fill config": [FillConfig()],
    "mapping": [{"a": 1}],
    "function": [print],
}
"""Values by kind; those of one kind are all accepted by an argument, or none is."""


def make(direction: str) -> LanguageModel:
    config = ModelConfig(num_layers=1, hidden_size=3, direction=direction)
    rng = np.random.default_rng(0)
    weights = {
        name: rng.normal(size=shape).astype(np.float32)
        for name, shape in weight_shapes(config, len(TOKENIZER)).items()
    }
    return LanguageModel(weights, Config(model=config), TOKENIZER)


FORWARD, BOTH = make("forward"), make("both")
NUMBER = {"int", "float"}
OPTIONS: dict[str, set[str]] = {
    "temperature": NUMBER, "top_k": {"int"}, "top_p": NUMBER, "min_p": NUMBER,
    "precision": {"str"}, "length": {"int"}, "seed": {"int", "none"}, "stop": {"str", "texts"},
}  # fmt: skip
FILLING = {
    "blank": {"str"}, "temperature": NUMBER, "sweeps": {"int"}, "seed": {"int", "none"},
}  # fmt: skip
PROGRESS = {"none", "function"}
DRAWING = {
    "prompt": {"str"}, "unknown": {"str"}, "config": {"none", "config"}, "progress": PROGRESS,
}  # fmt: skip
PATH, SWITCH = {"str", "path", "none"}, {"bool", "none"}

CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any], dict[str, set[str]]]] = {
    "load": (charlstm.load, {}, {"run": PATH}),
    "LanguageModel.load": (
        LanguageModel.load,
        {"run": None},
        {"run": PATH, "runs_dir": PATH, "warn": {"function"}, "compiled": SWITCH},
    ),
    "LanguageModel": (
        LanguageModel,
        {"weights": FORWARD.weights, "config": FORWARD.config, "tokenizer": TOKENIZER},
        {"weights": {"mapping"}, "config": set(), "tokenizer": set(), "path": {"none", "path"},
         "compiled": SWITCH},
    ),
    "LanguageModel.from_checkpoint": (
        LanguageModel.from_checkpoint,
        {"path": Path("x"), "checkpoint": Checkpoint({}, {})},
        {"path": {"path"}, "checkpoint": set(), "compiled": SWITCH},
    ),
    "start": (FORWARD.start, {}, {"prompt": {"str"}, "unknown": {"str"}, "progress": PROGRESS}),
    "generate": (FORWARD.generate, {}, DRAWING | OPTIONS),
    "samples": (
        FORWARD.samples,
        {"count": 1, "length": 2},
        {"count": {"int"}, "written": PROGRESS} | DRAWING | OPTIONS,
    ),
    "score": (FORWARD.score, {"text": "ab"}, {"text": {"str"}, "unknown": {"str"}}),
    "each_scorer": (FORWARD.each_scorer, {}, {"unknown": {"str"}}),
    "score_ids": (
        FORWARD.score_ids,
        {"ids": [1, 2]},
        {"ids": {"ids"}, "cold_window": {"int"}, "progress": PROGRESS},
    ),
    "fill": (
        BOTH.fill,
        {"text": "a_", "sweeps": 0},
        {"text": {"str"}, "count": {"int"}, "unknown": {"str"}, "config": {"none", "fill config"},
         "progress": PROGRESS} | FILLING,
    ),
    "CharTokenizer": (
        CharTokenizer, {"characters": "ab"},
        {"characters": {"str"}, "lowercase": {"bool"}, "rare": {"str"}, "boundary": {"bool"}},
    ),
    "from_text": (
        CharTokenizer.from_text, {"text": "ab"},
        {"text": {"str"}, "lowercase": {"bool"}, "min_count": {"int"}},
    ),
    "encode": (
        TOKENIZER.encode, {"text": "ab"},
        {"text": {"str"}, "unknown": {"str"}, "boundaries": {"bool"}},
    ),
    "unknown_characters": (TOKENIZER.unknown_characters, {"text": "ab"}, {"text": {"str"}}),
    "knows": (TOKENIZER.knows, {"text": "a"}, {"text": {"str"}}),
    "map_unknown": (TOKENIZER.map_unknown, {"text": "ab"}, {"text": {"str"}, "before": {"str"}}),
    "decode": (TOKENIZER.decode, {"ids": [1]}, {"ids": {"ids"}, "boundaries": {"bool"}}),
    "one_hot": (TOKENIZER.one_hot, {"ids": [1]}, {"ids": {"ids"}}),
    "SampleConfig": (SampleConfig, {}, OPTIONS),
    "FillConfig": (FillConfig, {}, FILLING),
}  # fmt: skip
"""For each public call: valid arguments, and what kinds of value each argument takes."""
CASES = [(call, argument) for call, (_, _, wanted) in CALLS.items() for argument in wanted]


def refusal(function: Callable[..., Any], arguments: dict[str, Any]) -> CharlstmError | None:
    """What the call raises."""
    try:
        function(**arguments)
    except CharlstmError as error:
        return error
    return None


@pytest.mark.parametrize(("call", "argument"), CASES)
def test_every_argument_takes_its_types_and_names_itself_otherwise(
    call: str, argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where there is no run
    function, valid, wanted = CALLS[call]
    for kind, values in VALUES.items():
        for value in values:
            if kind in wanted[argument]:
                # If it is refused, then for another reason: no such file, out of range, ...
                assert not isinstance(refusal(function, {**valid, argument: value}), TypeError)
                continue
            error = refusal(function, {**valid, argument: value})
            assert isinstance(error, ArgumentTypeError)
            message = str(error)
            assert re.match(rf"{argument}( \(--[a-z-]+\))? must be ", message), message
            assert ("None" if value is None else f"({type(value).__name__})") in message
            assert "\n" not in message


def test_no_public_method_is_left_out() -> None:
    for owner in (LanguageModel, CharTokenizer):
        for name, method in inspect.getmembers(owner, callable):
            if name.startswith("_") or name in NOT_CHECKED:
                continue
            assert name in CALLS or f"{owner.__name__}.{name}" in CALLS, name
            call = CALLS.get(f"{owner.__name__}.{name}") or CALLS[name]
            taken = {p.name for p in inspect.signature(method).parameters.values()} - {
                "self",
                "options",
            }
            assert taken <= set(call[2]), name


# Of checkpoints' contents, which are checked as such; score_each: tests/inference/test_each.py.
NOT_CHECKED = {"from_counts", "from_json", "to_json", "check_ids", "score_each"}


def test_numpy_numbers_are_as_good_as_python_s() -> None:
    options: Any = {"length": 9, "temperature": 0.5, "top_k": 2, "seed": 3}
    numpys: Any = {
        "length": np.int16(9), "temperature": np.float16(0.5), "top_k": np.uint64(2),
        "seed": np.int64(3),
    }  # fmt: skip
    two: Any = np.int64(2)
    assert FORWARD.samples(two, "a", **numpys) == FORWARD.samples(2, "a", **options)
    assert BOTH.fill("a_", two, seed=np.int64(1)) == BOTH.fill("a_", 2, seed=1)
    ids = TOKENIZER.encode("abba")
    assert FORWARD.score_ids(ids, cold_window=two) == FORWARD.score_ids(ids, cold_window=2)
    assert FORWARD.score_ids(ids.tolist()) == FORWARD.score_ids(ids) == FORWARD.score("abba")


def test_missing_arguments_are_told_by_python() -> None:
    with pytest.raises(TypeError, match=r"LanguageModel.score\(\) missing 1 required"):
        FORWARD.score()  # type: ignore[call-arg]


def test_options_change_a_config() -> None:
    config = SampleConfig(length=5, seed=1, temperature=2.0)
    expected = FORWARD.samples(2, config=SampleConfig(length=5, seed=2, temperature=2.0))
    assert FORWARD.samples(2, config=config, seed=2) == expected
    assert SampleConfig(stop="ab") == SampleConfig(stop=["ab"])  # type: ignore[arg-type]
    assert BOTH.fill("_", config=FillConfig(seed=1), sweeps=3) == BOTH.fill("_", seed=1, sweeps=3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: FORWARD.generate(temprature=1.0), "temprature.*temperature"),
        (lambda: FORWARD.samples(1, tokens=3), "tokens.*length"),
        (lambda: BOTH.fill("_", top_k=3), "top_k.*sweeps"),
    ],
)
def test_an_option_that_there_is_not(call: Callable[[], Any], words: str) -> None:
    with pytest.raises(ArgumentTypeError, match=words):
        call()


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: FORWARD.samples(0), ConfigError, "count"),
        (lambda: BOTH.fill("_", 4097), ConfigError, "count"),
        (lambda: FORWARD.generate(seed=-1), ConfigError, "seed -1"),
        (lambda: FORWARD.generate(seed=2**63), ConfigError, "9,223,372,036,854,775,807"),
        (lambda: FORWARD.generate(temperature=10**400), ConfigError, "temp.*out of range"),
        (lambda: FORWARD.score_ids([1, 2], cold_window=-5), ConfigError, "cold_window -5"),
        (lambda: FORWARD.score_ids([1, -1]), IdError, "0 to 5"),
        (lambda: FORWARD.score_ids([1, 6]), IdError, "0 to 5"),
        (lambda: TOKENIZER.decode([2**40]), IdError, "0 to 5"),
        (lambda: TOKENIZER.one_hot([-1]), IdError, "0 to 5"),
        (lambda: TOKENIZER.decode([[1], [2, 3]]), ArgumentTypeError, "shape"),
        (lambda: TOKENIZER.decode([[1]]), ArgumentTypeError, "shape"),
    ],
)
def test_a_value_out_of_range(call: Callable[[], Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        call()
    assert issubclass(IdError, IndexError)
    assert TOKENIZER.decode([]) == ""


def test_parts_of_a_model_that_are_something_else() -> None:
    lists: Any = {name: array.tolist() for name, array in FORWARD.weights.items()}
    with pytest.raises(CheckpointError, match="not an array"):
        LanguageModel(lists, FORWARD.config, TOKENIZER)
    with pytest.raises(ArgumentTypeError, match="model must be a ModelConfig"):
        Config(model={"hidden_size": 3})  # type: ignore[arg-type]
