"""Options as keyword arguments: the command line's names, with underscores."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from keyword import iskeyword
from typing import Any

from charlstm.config.fields import Section, flag_of
from charlstm.errors import ArgumentTypeError


def options_from_keywords(
    keywords: Mapping[str, Any], *kinds: type[Section], without: Collection[str] = ()
) -> dict[str, Any]:
    """Convert keyword arguments to field values.

    A keyword is the option's name on the command line (`layers` for `--layers`) or its field's
    name (`num_layers`). Options with the value None are treated as not given.

    Args:
        keywords: values by name.
        kinds: the dataclasses of the fields; field names must be unique across them.
        without: fields that are not options of the call.

    Returns:
        Values by field name.

    Raises:
        ArgumentTypeError: an option is unknown, or is given by both its names.
    """
    specs = (spec for kind in kinds for spec in dataclasses.fields(kind))  # type: ignore[arg-type]
    fields = {spec.name: spec for spec in specs if spec.name not in without}
    by_flag = {_keyword(spec): spec for spec in fields.values()}
    options: dict[str, Any] = {}
    for name, value in keywords.items():
        spec = fields.get(name) or by_flag.get(name)
        if spec is None:
            import difflib  # noqa: PLC0415 - only for the error

            near = difflib.get_close_matches(name, [*fields, *by_flag], n=1)
            hint = f" Did you mean {_usable(near[0], by_flag)!r}?" if near else ""
            raise ArgumentTypeError(
                f"there is no option {name!r}.{hint}\n"
                "Options have the names of `charlstm train -h`, with underscores."
            )
        if value is None:
            continue
        if spec.name in options:
            raise ArgumentTypeError(f"{spec.name} and {_keyword(spec)} are one option: give one.")
        zero = spec.metadata["zero"]
        options[spec.name] = 0 if zero and isinstance(value, str) and value == zero else value
    return options


def _usable(name: str, by_flag: Mapping[str, dataclasses.Field[Any]]) -> str:
    """An option's name as an argument; `from`, a reserved word, is no argument's name."""
    return by_flag[name].name if iskeyword(name) else name


def _keyword(spec: dataclasses.Field[Any]) -> str:
    return flag_of(spec).removeprefix("--").replace("-", "_")
