"""How options are written: flags and their negative forms, numbers, suggestions."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click
import pytest

from charlstm.cli import COMMANDS, main
from charlstm.cli.options import Number
from charlstm.config import SECTIONS, Config
from charlstm.config.fields import flag_of, type_of
from charlstm.planner.presets import RECIPES

OPTIONS = [
    (name, param)
    for name, (module, _) in COMMANDS.items()
    for param in importlib.import_module(module).command.params
    if isinstance(param, click.Option)
]
NUMERIC = [(name, param) for name, param in OPTIONS if param.type.name in ("integer", "float")]
FLAGS = [
    (name, flag_of(spec))
    for section, kind in SECTIONS.items()
    for name, spec in kind.__dataclass_fields__.items()  # type: ignore[attr-defined]
    if type_of(kind, name) is bool
]


def usage_error(*arguments: str) -> str:
    """What is said of a command that cannot be parsed."""
    with pytest.raises(click.UsageError) as caught:
        main.main(list(arguments), standalone_mode=False)
    return caught.value.format_message()


def planned(patch: pytest.MonkeyPatch, *arguments: str) -> Config:
    """The configuration that a command would set up a run with."""
    plans: list[Config] = []

    def keep(plan: Any, *_: object) -> None:
        plans.append(plan.config)
        sys.exit(0)

    with patch.context() as context:
        context.setattr("charlstm.cli.train._set_up", keep)
        with pytest.raises(SystemExit):
            main.main(list(arguments), standalone_mode=False)
    return plans[0]


@pytest.mark.parametrize(("command", "param"), NUMERIC, ids=str)
def test_a_decimal_comma_in_any_number(command: str, param: click.Option) -> None:
    said = usage_error(command, param.opts[-1], "0,5")
    assert param.opts[-1] in said
    assert "'0,5'" in said
    assert ("use a point: 0.5" in said) == (param.type.name == "float")


def test_all_numbers_are_parsed_alike() -> None:
    assert {type(param.type) for _, param in NUMERIC} == {Number}


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--lr", "1,000", ["omit the commas: 1000", "use a point: 1.000"]),
        ("--lr", "-1,5", ["use a point: -1.5"]),
        ("--lr", ",5", ["use a point: .5"]),
        ("--lr", "fast", ["'fast' is not a number"]),
        ("--lr", "", ["'' is not a number"]),
        ("--epochs", "1,000,000", ["omit the commas: 1000000"]),
        ("--epochs", "1.5", ["'1.5' is not a whole number"]),
        ("--processes", "1,5", ["neither a whole number nor 'auto'"]),
    ],
)
def test_what_is_no_number(flag: str, value: str, words: list[str]) -> None:
    said = usage_error("train", "x.txt", flag, value)
    for word in words:
        assert word in said


@pytest.mark.parametrize(("name", "flag"), FLAGS)
@pytest.mark.parametrize("recipe", [None, *RECIPES])
def test_every_flag_can_be_given_and_taken_back(
    name: str, flag: str, recipe: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = [] if recipe is None else ["--recipe", recipe]
    for given, wanted in ((flag, True), (flag.replace("--", "--no-", 1), False)):
        config = planned(monkeypatch, "train", "x.txt", *start, given)
        values = {k: v for section in SECTIONS for k, v in vars(getattr(config, section)).items()}
        assert values[name] is wanted


def test_help_shows_both_forms_of_a_flag() -> None:
    command = importlib.import_module("charlstm.cli.train").command
    shown = command.get_help(click.Context(command, info_name="train"))
    for _, flag in FLAGS:
        assert flag.replace("--", "--[no-]", 1) in shown


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("smaple", "sample"), ("trian", "train"), ("evaluate", "eval"), ("run", "runs")],
)
def test_the_nearest_command_is_suggested(typed: str, meant: str) -> None:
    said = usage_error(typed)
    assert f"'{typed}'" in said
    assert f"'{meant}'" in said


def test_no_command_is_near() -> None:
    assert "mean" not in usage_error("xyzzy")


@pytest.mark.parametrize(("command", "param"), OPTIONS, ids=str)
def test_the_nearest_option_is_suggested(command: str, param: click.Option) -> None:
    flag = next(flag for flag in param.opts if flag.startswith("--"))
    said = usage_error(command, f"{flag[:3]}{flag[4:]}{flag[3]}")
    assert flag in said
