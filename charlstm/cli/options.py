"""Options built from the configuration's fields, and help with option groups."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.completion import complete_run
from charlstm.cli.help import QuietHelp
from charlstm.config import RunsConfig, SeparateConfig
from charlstm.config.fields import Section, flag_of, type_of

CommandFunction = Callable[..., Any]


class UserPath(click.ParamType[str]):
    """A path with a leading `~` expanded, also in `--option=~/file`."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The expanded path."""
        from charlstm.format.files import expand_home

        return expand_home(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Completions: files and folders."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]


class GroupedOption(click.Option):
    """An option that belongs to a group in `--help`."""

    def __init__(self, *args: Any, group: str = "Other", **kwargs: Any) -> None:
        self.group = group
        super().__init__(*args, **kwargs)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """The option's names and help text; a flag with its negative form is `--[no-]flag`."""
        record = super().get_help_record(ctx)
        if record is None or not self.secondary_opts:
            return record
        return f"--[no-]{self.opts[0].removeprefix('--')}", record[1]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Completions: the choices, taken from a metavar such as `carried|cold`."""
        from click.shell_completion import CompletionItem

        words = [word for word in (self.metavar or "").split("|") if word.islower()]
        if not words:
            return super().shell_complete(ctx, incomplete)
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]


class GroupedCommand(QuietHelp):
    """A command whose help lists options by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each group, in the order of their first options."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Argument):
                continue  # documented in the command's docstring
            if (record := param.get_help_record(ctx)) is not None:
                groups.setdefault(getattr(param, "group", "Other"), []).append(record)
        other = groups.pop("Other", [])
        for heading, records in {**groups, "Other": other}.items():
            with formatter.section(heading):
                formatter.write_dl(records)


if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from charlstm.text.separate import GivenText

    _ParamType = click.ParamType[int | float]
else:
    _ParamType = click.ParamType  # generic only since click 8.2


class Number(_ParamType):
    """A parameter type for numbers in Python's notation.

    Args:
        kind: int or float.
        zero: a word for 0; empty: none.
    """

    def __init__(self, kind: type[int] | type[float], zero: str = "") -> None:
        self.name = "integer" if kind is int else "float"
        self._kind = kind
        self._zero = zero

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | float:
        """The number.

        Raises:
            click.BadParameter: the value is not a number.
        """
        if self._zero and value == self._zero:
            return 0
        try:
            return self._kind(value)
        except ValueError:
            wanted = "a whole number" if self._kind is int else "a number"
            wrong = f"neither {wanted} nor {self._zero!r}" if self._zero else f"not {wanted}"
            self.fail(f"{value!r} is {wrong}{self._advice(str(value))}.", param, ctx)

    def _advice(self, value: str) -> str:
        """A suggestion for a number with commas; empty if it has none."""
        ways = []
        if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+", value):
            ways.append(f"omit the commas: {value.replace(',', '')}")
        if self._kind is float and re.fullmatch(r"[+-]?\d*,\d+", value):
            ways.append(f"use a point: {value.replace(',', '.')}")
        return f"; {', or '.join(ways)}" if ways else ""


def config_options(
    *sections: type[Section],
    names: Iterable[str] | None = None,
    without: Collection[str] = (),
    group: str = "",
) -> Callable[[CommandFunction], CommandFunction]:
    """A decorator that adds one option for each field; options not given are passed as None.

    Args:
        sections: the dataclasses.
        names: the fields to add; None: all.
        without: fields not to add.
        group: the options' group; empty: that of each field.
    """
    chosen = None if names is None else frozenset(names)

    def decorate(function: CommandFunction) -> CommandFunction:
        pairs = [(s, f) for s in sections for f in dataclasses.fields(s)]  # type: ignore[arg-type]
        for section, spec in reversed(pairs):
            if (chosen is None or spec.name in chosen) and spec.name not in without:
                function = _option(section, spec, group)(function)
        return function

    return decorate


def _option(
    section: type[Section], spec: dataclasses.Field[Any], group: str
) -> Callable[[CommandFunction], CommandFunction]:
    kind = type_of(section, spec.name)
    meta = spec.metadata
    group = group or meta["group"]
    keywords: dict[str, Any] = {"cls": GroupedOption, "group": group, "default": None}
    flags = flag_of(spec)
    if kind is bool:
        keywords["is_flag"] = True
        if meta["negatable"]:
            flags += f"/--no-{flags.removeprefix('--')}"
    elif kind is tuple:
        keywords |= {"multiple": True, "metavar": meta["metavar"] or "TEXT"}
    else:
        keywords["type"] = Number(kind) if kind in (int, float) else kind
        keywords["metavar"] = {int: "N", float: "X", str: "TEXT"}[kind]
        if meta["metavar"]:
            keywords["metavar"] = meta["metavar"]
        if "RUN" in meta["metavar"]:
            keywords["shell_complete"] = complete_run
        if meta["bare"]:
            keywords |= {"is_flag": False, "flag_value": meta["bare"]}
        if meta["zero"]:
            keywords["type"] = Number(int, meta["zero"])
            keywords["metavar"] = f"N|{meta['zero']}"
        if meta["choices"]:
            keywords["metavar"] = "|".join(meta["choices"])
    if meta["metavar"] == "FILE":
        keywords["type"] = UserPath()
    notes = [] if kind is bool else _notes(spec)
    help_text = meta["help"] + (f"  [{'; '.join(notes)}]" if notes else "")
    names = [meta["short"], flags] if meta["short"] else [flags]
    return click.option(*names, spec.name, help=help_text, **keywords)


def _notes(spec: dataclasses.Field[Any]) -> list[str]:
    """What ends an option's help: the default, and the allowed interval."""
    meta, notes = spec.metadata, []
    if meta["chosen"]:
        notes.append("default: chosen automatically")
    elif meta["shown_default"]:
        notes.append(f"default: {meta['shown_default']}")
    elif spec.default is not None and spec.default != ():
        notes.append(f"default: {_shown(spec.default)}")
    if meta["within"] is not None:
        notes.append(str(meta["within"]))
    return notes


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def given(values: Mapping[str, Any], sections: Iterable[type[Section]]) -> dict[str, Any]:
    """The options that were given and are fields of the sections."""
    fields = itertools.chain.from_iterable(dataclasses.fields(s) for s in sections)  # type: ignore[arg-type]
    names = {spec.name for spec in fields}
    return {k: v for k, v in values.items() if k in names and v is not None and v != ()}


def separate_texts(values: Mapping[str, Any]) -> dict[str, GivenText]:
    """The separate texts that were given, by part; `replay` is that of `--replay-text`."""
    found = given(values, [SeparateConfig])
    if not found:
        return {}
    from charlstm.text.separate import GivenText

    return {part.removesuffix("_text"): GivenText(paths) for part, paths in found.items()}


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show a traceback with an error."
)
"""A decorator that adds `--debug`, which `charlstm.cli` reads."""


def common_options(function: CommandFunction) -> CommandFunction:
    """A decorator that adds `--runs-dir` and `--debug`."""
    return config_options(RunsConfig)(debug_option(function))
