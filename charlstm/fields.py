"""Dataclass fields that know their option: help, range, name, and how they become JSON."""

from __future__ import annotations

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from charlstm.errors import ConfigError, UnknownOptionError


@dataclass(frozen=True)
class Range:
    """The numbers an option may take: from `low` to `high`, each end included unless open."""

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.low < value if self.open_low else self.low <= value
        below = value < self.high if self.open_high else value <= self.high
        return above and below

    def __str__(self) -> str:
        left = f"{_shown(self.low)} {'<' if self.open_low else '<='} x"
        return f"{left} {'<' if self.open_high else '<='} {_shown(self.high)}"


def _shown(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"


def option(
    default: Any,
    text: str,
    *,
    group: str,
    within: Range | None = None,
    choices: tuple[str, ...] = (),
    flag: str = "",
    on_resume: bool = False,
    zero: str = "",
    chosen: bool = False,
) -> Any:
    """A dataclass field with what the command line must know of it.

    Args:
        default: the default value.
        text: one line of help.
        group: the heading it stands under in `--help`.
        within: the allowed numbers.
        choices: the allowed words.
        flag: the option's name where it is not the field's name with dashes.
        on_resume: whether a resumed run may change it.
        zero: a word that stands for 0 on the command line.
        chosen: whether the command line chooses a value for text and time where none is given,
            and no recipe; `default` is what stands elsewhere.
    """
    meta = {
        "help": text,
        "group": group,
        "within": within,
        "choices": choices,
        "flag": flag,
        "on_resume": on_resume,
        "zero": zero,
        "chosen": chosen,
    }
    return field(default=default, metadata=meta)


def flag_of(spec: dataclasses.Field[Any]) -> str:
    """The option's name on the command line, such as `--hidden-size`."""
    return spec.metadata["flag"] or "--" + spec.name.replace("_", "-")


@functools.cache
def _types(section: type) -> dict[str, Any]:
    return typing.get_type_hints(section)


def type_of(section: type, name: str) -> type:
    """The plain type of a field: int, float, str, bool or tuple; `int | None` gives int."""
    hint = _types(section)[name]
    if isinstance(hint, types.UnionType):
        hint = next(t for t in typing.get_args(hint) if t is not type(None))
    kind: type = typing.get_origin(hint) or hint
    return kind


class Section:
    """What the option groups share: validation on construction, JSON in and out."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, spec.name)
            if value is None and spec.default is None:
                continue
            object.__setattr__(self, spec.name, self.checked(spec, value))

    @classmethod
    def checked(cls, spec: dataclasses.Field[Any], value: Any) -> Any:
        """The value as the field's plain type, if it may be the field's.

        Raises:
            ConfigError: it may not.
        """
        flag, kind = flag_of(spec), type_of(cls, spec.name)
        wanted = _WANTED[kind]
        # A numpy number is as good as a plain one; a bool, though an int, is no number.
        good = isinstance(value, wanted.kind) and (kind is bool or not isinstance(value, bool))
        if not good or (kind is tuple and not all(isinstance(part, str) for part in value)):
            raise ConfigError(f"{flag} must be {wanted.name}, not {_short(value)}.")
        within: Range | None = spec.metadata["within"]
        if within is not None and value not in within:
            raise ConfigError(f"{flag} {_short(value)} is out of range; allowed: {within}.")
        choices = spec.metadata["choices"]
        if choices and value not in choices:
            raise ConfigError(f"{flag} {value!r} is unknown; choose from: {', '.join(choices)}.")
        return kind(value)

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Rebuild from `to_json`'s object; absent fields take their defaults.

        Raises:
            UnknownOptionError: there is no such field.
            ConfigError: a wrong type, or a value out of range.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"{cls.__name__} must be an object, not {type(data).__name__}.")
        names = {spec.name for spec in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(map(str, data)) - names)
        if unknown:
            raise UnknownOptionError(f"{cls.__name__} has no field {_short(unknown[0])}.")
        return cls(**data)


@dataclass(frozen=True)
class _Wanted:
    kind: Any
    name: str


_WANTED: dict[type, _Wanted] = {
    int: _Wanted(numbers.Integral, "a whole number"),
    float: _Wanted(numbers.Real, "a number"),
    str: _Wanted(str, "a text"),
    bool: _Wanted(bool, "true or false"),
    tuple: _Wanted((tuple, list), "a list of texts"),
}


def _short(value: object) -> str:
    """A value for a message, whatever its size."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"  # Python refuses to write out the largest
    text = str(value) if isinstance(value, numbers.Real) else repr(value)
    return text if len(text) <= 80 else text[:80] + "..."
