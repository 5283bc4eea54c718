from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

import charlstm.config
from charlstm.cells import CELLS, TRAINING_KERNEL_CELLS
from charlstm.config import (
    SECTIONS,
    Config,
    DynamicConfig,
    EvalConfig,
    FillConfig,
    InputConfig,
    ModelConfig,
    MoreConfig,
    OutputConfig,
    PromptConfig,
    SampleConfig,
    TextConfig,
    TrainConfig,
)
from charlstm.config.fields import Range, type_of
from charlstm.errors import ConfigError
from charlstm.planner.presets import RECIPES, recipe


def test_json_round_trip() -> None:
    config = Config().override({"hidden_size": 7, "lr": 0.1, "val_fraction": 0.0})
    assert Config.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_sections_are_imported_when_used() -> None:
    assert {charlstm.config.__getattr__(name).__name__ for name in charlstm.config.__all__
            if name != "SECTIONS"} == set(charlstm.config.__all__) - {"SECTIONS"}  # fmt: skip
    with pytest.raises(AttributeError, match="NoConfig"):
        charlstm.config.__getattr__("NoConfig")


def test_names_are_unique_over_sections() -> None:
    names = [spec.name for kind in SECTIONS.values() for spec in dataclasses.fields(kind)]  # type: ignore[arg-type]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (ModelConfig, {"hidden_size": 0}, ["--hidden-size 0", "1 <= x"]),
        (ModelConfig, {"num_layers": 65}, ["--layers 65", "x <= 64"]),
        (ModelConfig, {"dropout": 1.0}, ["--dropout 1.0", "x < 1"]),
        (ModelConfig, {"cell": "gnu"}, ["--cell 'gnu'", "lstm"]),
        (ModelConfig, {"hidden_size": True}, ["--hidden-size", "whole number"]),
        (ModelConfig, {"hidden_size": 1.5}, ["--hidden-size", "whole number"]),
        (TrainConfig, {"lr": float("nan")}, ["--lr nan", "0 < x"]),
        (TrainConfig, {"lr": float("inf")}, ["--lr inf"]),
        (TrainConfig, {"decay_after": 2.0}, ["--decay-after 2", "0 <= x <= 1"]),
        (ModelConfig, {"zoneout": 0.1}, ["--zoneout 0.1", "--cell peephole"]),
        (ModelConfig, {"residual": True}, ["--residual", "--layers 2"]),
        (ModelConfig, {"dense_output": True}, ["--dense-output", "--layers 2"]),
        (ModelConfig, {"layer_norm": True}, ["--layer-norm", "--layers 2"]),
        (ModelConfig, {"embedding": -1}, ["--embedding -1", "0 <= x"]),
        (ModelConfig, {"direction": "back"}, ["--direction 'back'", "both"]),
        (FillConfig, {"blank": ""}, ["--blank", "one character"]),
        (EvalConfig, {"split": "x"}, ["--split 'x'", "val, test, train"]),
        (EvalConfig, {"protocol": "x"}, ["--protocol 'x'", "carried, cold"]),
        (EvalConfig, {"window": 9}, ["--window", "--protocol cold"]),
        (EvalConfig, {"window": 0, "protocol": "cold"}, ["--window 0", "1 <= x"]),
        (InputConfig, {"unknown": "x"}, ["--unknown 'x'", "error, skip, replace, map"]),
        (OutputConfig, {"samples": 4097}, ["--samples 4097", "x <= 4,096"]),
        (PromptConfig, {"prompt": "a", "prompt_file": "b"}, ["--prompt", "--prompt-file"]),
        (SampleConfig, {"temperature": -1}, ["--temp -1", "0 <= x"]),
        (SampleConfig, {"top_p": 0.0}, ["--top-p 0", "0 < x <= 1"]),
        (SampleConfig, {"seed": -1}, ["--seed -1"]),
        (SampleConfig, {"seed": 2**63}, ["--seed"]),
        (SampleConfig, {"stop": [1]}, ["--stop", "list of texts"]),
        (SampleConfig, {"stop": b"ab"}, ["--stop", "list of texts"]),
        (SampleConfig, {"temperature": 10**400}, ["--temp", "64 bits"]),
        (ModelConfig, {"hidden_size": 10**400}, ["--hidden-size", "64 bits"]),
        (TrainConfig, {"optimizer": "x" * 1000}, ["--optimizer"]),
    ],
)
def test_out_of_range(kind: Any, values: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        kind(**values)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("data", [None, [], {"model": {"x": 1}}, {"other": {}}, {"model": 3}])
def test_odd_json(data: object) -> None:
    with pytest.raises(ConfigError):
        Config.from_json(data)


def test_values_become_plain_ones() -> None:
    config = SampleConfig(temperature=1, top_p=np.float32(0.5), top_k=np.int64(3), stop=["a"])  # type: ignore[arg-type]
    assert [type(v) for v in (config.temperature, config.top_p, config.top_k, config.stop)] == [
        float, float, int, tuple,
    ]  # fmt: skip


def test_every_number_has_a_range() -> None:
    others = (
        MoreConfig, SampleConfig, FillConfig, EvalConfig, DynamicConfig, InputConfig, OutputConfig,
        PromptConfig,
    )  # fmt: skip
    for kind in (*SECTIONS.values(), *others):
        for spec in dataclasses.fields(kind):
            if type_of(kind, spec.name) in (int, float):
                assert isinstance(spec.metadata["within"], Range), spec.name
            elif type_of(kind, spec.name) is str:
                assert spec.metadata["choices"] or spec.name in (
                    "encoding", "documents", "blank", "prompt", "prompt_file", "separator",
                )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "window"),
    [({}, 0), ({"protocol": "cold"}, 64), ({"protocol": "cold", "window": 9}, 9)],
)
def test_cold_windows(options: dict[str, Any], window: int) -> None:
    assert EvalConfig(**options).cold_window == window


def test_one_pattern_is_written_as_older_versions_do() -> None:
    for stored, patterns in (("*.md", ("*.md",)), (["*.md", "*.txt"], ("*.md", "*.txt"))):
        text = TextConfig.from_json({"glob": stored})
        assert text.glob == patterns
        assert json.loads(json.dumps(text.to_json()))["glob"] == stored
        assert TextConfig.from_json(json.loads(json.dumps(text.to_json()))) == text
    with pytest.raises(ConfigError, match="--glob"):
        TextConfig(glob=())


def test_nothing_is_left_to_train_on() -> None:
    with pytest.raises(ConfigError, match=r"--val-fraction .* --test-fraction"):
        Config().override({"val_fraction": 0.6, "test_fraction": 0.4})


def test_both_directions_need_all_targets() -> None:
    with pytest.raises(ConfigError, match=r"--direction both .*--targets all"):
        Config().override({"direction": "both", "targets": "last"})


@pytest.mark.parametrize("cell", sorted(set(CELLS) - set(TRAINING_KERNEL_CELLS)))
def test_compiled_code_is_for_some_cells(cell: str) -> None:
    with pytest.raises(ConfigError, match=f"--kernel compiled .*--cell {cell}"):
        Config().override({"kernel": "compiled", "cell": cell})


def test_ranges_read_well() -> None:
    assert str(Range(0, 1, open_high=True)) == "0 <= x < 1"
    assert str(Range(0, 1e6, open_low=True)) == "0 < x <= 1e+06"
    assert str(Range(1, 2**31 - 1)) == "1 <= x <= 2,147,483,647"
    assert 1 not in Range(0, 1, open_high=True)


def test_every_recipe_is_a_valid_configuration() -> None:
    for name in RECIPES:
        Config().override(recipe(name))
    tutorial = Config().override(recipe("tutorial"))
    assert (tutorial.model.hidden_size, tutorial.windows.maxlen, tutorial.windows.step) == (
        128, 40, 3,
    )  # fmt: skip
    assert tutorial.windows.targets == "last"
    assert (tutorial.train.optimizer, tutorial.train.epochs) == ("adam", 10)
    with pytest.raises(ConfigError, match=r"--recipe 'x'.*tutorial"):
        recipe("x")
