"""Dataclass fields that describe options: help, range and flag; conversion to and from JSON."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self, TypeVar, dataclass_transform

from charlstm.errors import ArgumentTypeError, ConfigError, UnknownOptionError

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Range:
    """The interval of allowed values: from `low` to `high`, each end included unless open."""

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


FRACTION = Range(0, 1, open_high=True)
COUNT = Range(1, 2**31 - 1)
COUNT_OR_ZERO = Range(0, 2**31 - 1)
BOUND = Range(0, 1e30)  # fits in float32; sums of its squares fit in float64


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
    short: str = "",
    metavar: str = "",
    negatable: bool = True,
    shown_default: str = "",
    bare: str = "",
) -> Any:
    """A dataclass field with the metadata from which its command-line option is built.

    Args:
        default: the default value.
        text: the help text.
        group: its section in `--help`.
        within: the allowed interval.
        choices: the allowed values of a str.
        flag: the option's name, if it is not the field's name with dashes.
        on_resume: whether a resumed run may change it.
        zero: a word for 0 on the command line.
        chosen: whether `train` without a recipe chooses the value automatically if it is not
            given. Otherwise `default` applies.
        short: a second name of one letter, such as `-n`.
        metavar: placeholder of the value in help; FILE makes the value a path, and RUN in it
            completes the names of runs.
        negatable: whether a flag has a negative form, `--no-...`.
        shown_default: what help shows as the default instead of None.
        bare: the value if the option is given without one; empty: a value is required.
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
        "short": short,
        "metavar": metavar,
        "negatable": negatable,
        "shown_default": shown_default,
        "bare": bare,
    }
    return field(default=default, metadata=meta)


def flag_of(spec: dataclasses.Field[Any]) -> str:
    """The option's name on the command line, such as `--hidden-size`."""
    return spec.metadata["flag"] or "--" + spec.name.replace("_", "-")


# By annotation, which is a string: to evaluate those of all options takes milliseconds.
_TYPES: dict[str, type] = {kind.__name__: kind for kind in (int, float, str, bool, tuple)}


def type_of(section: type, name: str) -> type:
    """The type of a field: int, float, str, bool or tuple; `int | None` gives int."""
    annotation: str = section.__dataclass_fields__[name].type  # type: ignore[attr-defined]
    return _TYPES[annotation.removesuffix(" | None").partition("[")[0]]


@dataclass_transform(frozen_default=True)
def section(kind: type[_Kind]) -> type[_Kind]:
    """A decorator like `dataclass(frozen=True)`, for classes with the methods of `Record`.

    `dataclass` compiles these methods for each class, which takes milliseconds of every command.
    """
    return dataclass(frozen=True, eq=False, repr=False)(kind)


class Record:
    """Equality, hash and representation by fields, as `dataclass` defines them."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__qualname__}({values})"


class Section(Record):
    """Base class of the configuration dataclasses: validation on construction, JSON conversion."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, spec.name)
            if value is None and spec.default is None:
                continue
            object.__setattr__(self, spec.name, self.checked(spec, value))

    @classmethod
    def checked(cls, spec: dataclasses.Field[Any], value: Any) -> Any:
        """The value, checked and converted to the field's type.

        Raises:
            ArgumentTypeError: the value has the wrong type.
            ConfigError: the value is out of range, or not one of the choices.
        """
        flag, kind = flag_of(spec), type_of(cls, spec.name)
        name = f"{spec.name} ({flag})"
        given, value = value, check_type(name, value, kind, optional=spec.default is None)
        within: Range | None = spec.metadata["within"]
        if within is not None and value not in within:
            raise ConfigError(f"{flag} {_short(given)} is out of range; allowed: {within}.")
        if spec.metadata["choices"]:
            check_choice(flag, value, spec.metadata["choices"])
        return value

    @classmethod
    def from_options(cls, options: Mapping[str, Any], base: Self | None = None) -> Self:
        """A section with some fields replaced.

        Args:
            options: values by field.
            base: provides the other fields; None: the defaults.

        Raises:
            ArgumentTypeError: a field does not exist, or a value has the wrong type.
            ConfigError: a value is out of range.
        """
        names = [spec.name for spec in dataclasses.fields(cls)]  # type: ignore[arg-type]
        for name in options:
            if name not in names:
                raise ArgumentTypeError(
                    f"there is no option {_short(name)}; choose from: {', '.join(names)}."
                )
        return dataclasses.replace(cls() if base is None else base, **options)  # type: ignore[type-var]

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    @classmethod
    def from_json(cls, data: object) -> Self:
        """A section from the object of `to_json`; absent fields take their defaults.

        Raises:
            UnknownOptionError: a field does not exist.
            ConfigError: a value has the wrong type, or is out of range.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"{cls.__name__} must be an object, not {type(data).__name__}.")
        names = {spec.name for spec in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(map(str, data)) - names)
        if unknown:
            raise UnknownOptionError(f"{cls.__name__} has no option {_short(unknown[0])}.")
        return cls(**data)


def check_choice(flag: str, value: str, choices: Iterable[str]) -> None:
    """Check that a word is one of those that are allowed.

    Raises:
        ConfigError: it is not; the message lists them.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ConfigError(f"{flag} {value!r} is unknown; choose from: {', '.join(choices)}.")


def check_type(name: str, value: Any, kind: type, *, optional: bool = False) -> Any:
    """The value converted to `kind`, by the rules in `charlstm.config.arguments`.

    Args:
        name: name of the argument or field, for the message.
        value: the value.
        kind: int, float, bool, str, any class, or tuple. A tuple has str elements; a list or a
            single str is converted to it.
        optional: whether the caller also accepts None; the message mentions it.

    Raises:
        ArgumentTypeError: the value has another type.
    """
    wanted = _WANTED.get(kind) or _Wanted(kind, f"a {kind.__name__}", lambda value: value)
    if kind is tuple and isinstance(value, str):
        value = (value,)
    number = kind in (int, float)
    if kind is bool and (type(value).__module__, type(value).__name__) in _NUMPY_BOOLS:
        value = bool(value)
    # bool is a subclass of int, but not accepted as a number.
    good = isinstance(value, wanted.kind) and not (number and isinstance(value, bool))
    if not good or (kind is tuple and not all(isinstance(part, str) for part in value)):
        end = " or None" if optional else ""
        raise ArgumentTypeError(f"{name} must be {wanted.name}{end}, not {describe_value(value)}.")
    return wanted.convert(value)


# By name, so that this module does not import numpy: its bool before and since version 2.0.
_NUMPY_BOOLS = (("numpy", "bool_"), ("numpy", "bool"))


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an int larger than any float
        return math.inf if value > 0 else -math.inf


class _Wanted(NamedTuple):
    kind: Any
    name: str
    convert: Callable[[Any], Any]


_WANTED: dict[type, _Wanted] = {
    int: _Wanted(numbers.Integral, "a whole number (int)", int),
    float: _Wanted(numbers.Real, "a number (float)", _float),
    str: _Wanted(str, "a text (str)", str),
    bool: _Wanted(bool, "true or false (bool)", bool),
    tuple: _Wanted((tuple, list), "a list of texts (str)", tuple),
}


def describe_value(value: object) -> str:
    """A value and its type, for an error message."""
    return "None" if value is None else f"{_short(value)} ({type(value).__name__})"


def _short(value: object) -> str:
    """A value for an error message, abbreviated."""
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"  # str() raises ValueError for very large ints
    if isinstance(value, (str, bytes)):
        value = value[:100]
    text = str(value) if isinstance(value, numbers.Real) else repr(value)
    if "\n" in text:  # the repr of an array
        text = " ".join(text.split())
    return text if len(text) <= 80 else text[:80] + "..."
