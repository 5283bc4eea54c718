"""The search space: options and the values to try for each."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charlstm.config import Config, ModelConfig, TrainConfig, WindowConfig
from charlstm.config.fields import Section, flag_of, type_of
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = bool | int | float | str
Values = dict[str, Any]
"""Values of options, by field."""

_SECTIONS: tuple[type[Section], ...] = (ModelConfig, WindowConfig, TrainConfig)
_FIXED = {"epochs", "minutes", "stop_after", "patience", "seed", "direction"}
_FIXED_GROUPS = {"Machine", "Run"}
_BOOLS = {"true": True, "false": False}


def triable() -> dict[str, tuple[type[Section], dataclasses.Field[Any]]]:
    """The options that can be searched, by field, with their sections.

    Options of reading and splitting the text, the length of training, and the direction are not
    included, as losses would not be comparable. Nor are options of the machine and of saving.
    """
    return {
        spec.name: (section, spec)
        for section in _SECTIONS
        for spec in dataclasses.fields(section)  # type: ignore[arg-type]
        if spec.name not in _FIXED and spec.metadata["group"] not in _FIXED_GROUPS
    }


@dataclass(frozen=True)
class Dimension:
    """An option and the values to try: a list, or an interval.

    Attributes:
        name: the option's field.
        choices: the list; empty for an interval.
        low, high: the ends of the interval, both included.
        log: whether the interval is sampled on a logarithmic scale.
    """

    name: str
    choices: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    @property
    def is_integer(self) -> bool:
        """Whether the interval has whole numbers only."""
        return not self.choices and isinstance(self.low, int)

    def distribution(self) -> BaseDistribution:
        """The dimension as Optuna's distribution."""
        from optuna import distributions  # noqa: PLC0415 - optional, and slow to import

        if self.choices:
            return distributions.CategoricalDistribution(self.choices)
        if self.is_integer:
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.log)
        return distributions.FloatDistribution(self.low, self.high, log=self.log)

    def __contains__(self, value: object) -> bool:
        if self.choices:
            # 1 == True: a number is no choice of a flag.
            return any(type(value) is type(one) and value == one for one in self.choices)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and self.low <= value <= self.high  # type: ignore[operator]

    def points(self) -> Sequence[Value]:
        """All values of a list or of an interval of whole numbers.

        Raises:
            ConfigError: there are infinitely many.
        """
        if self.choices:
            return self.choices
        if self.is_integer and not self.log:
            return range(int(self.low), int(self.high) + 1)
        _, spec = triable()[self.name]
        flag = flag_of(spec).removeprefix("--")
        raise ConfigError(
            f"--sampler grid needs lists, and {flag} is an interval.\n"
            f"Write --try {flag}=A,B,C, or use --sampler random or tpe."
        )

    def to_json(self) -> dict[str, Any]:
        """The dimension as a JSON object."""
        if self.choices:
            return {"name": self.name, "choices": list(self.choices)}
        return {"name": self.name, "low": self.low, "high": self.high, "log": self.log}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Dimension:
        """The dimension of an object of `to_json`."""
        return cls(**{**data, "choices": tuple(data.get("choices", ()))})


@dataclass(frozen=True)
class Space:
    """The dimensions of a search, whose product is searched."""

    dimensions: tuple[Dimension, ...]

    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distributions, by field."""
        return {one.name: one.distribution() for one in self.dimensions}

    def __contains__(self, values: Mapping[str, Any]) -> bool:
        return all(values.get(one.name) in one for one in self.dimensions)

    def outside(self, values: Mapping[str, Any]) -> list[str]:
        """The options whose value is not in the space, as flags."""
        return [
            flag_of(triable()[one.name][1])
            for one in self.dimensions
            if values.get(one.name) not in one
        ]

    def grid(self) -> dict[str, list[Value]]:
        """The values of each dimension, by field.

        Raises:
            ConfigError: a dimension has infinitely many.
        """
        return {one.name: list(one.points()) for one in self.dimensions}

    def size(self) -> float:
        """The number of points; inf if a dimension is an interval of real numbers."""
        try:
            return math.prod(len(values) for values in self.grid().values())
        except ConfigError:
            return math.inf

    def points(self) -> Iterator[Values]:
        """All points of a grid, in order; errors as for `grid`."""
        grid = self.grid()
        for values in itertools.product(*grid.values()):
            yield dict(zip(grid, values, strict=True))


def parse_space(texts: Sequence[str], given: Mapping[str, Any]) -> Space:
    """The space of `--try` options.

    Args:
        texts: `NAME=A,B,C` or `NAME=LOW..HIGH`, with `:log` for a logarithmic scale.
        given: fields with a fixed value.

    Raises:
        ConfigError: a name is unknown or given twice, or a value is out of its range.
    """
    dimensions: dict[str, Dimension] = {}
    for text in texts:
        one = _parse(text)
        flag = flag_of(triable()[one.name][1])
        if one.name in dimensions:
            raise ConfigError(f"--try has {flag.removeprefix('--')} twice: give all values once.")
        if one.name in given:
            raise ConfigError(f"{flag} and --try {text} contradict each other: omit one.")
        dimensions[one.name] = one
    return Space(tuple(dimensions.values()))


def _parse(text: str) -> Dimension:
    name, equals, values = text.partition("=")
    section, spec = _field(name.strip(), text)
    if not equals or not values:
        raise ConfigError(
            f"--try {text!r} has no values.\nWrite --try {name}=A,B,C or --try {name}=LOW..HIGH."
        )
    scale, log = values.removesuffix(":log"), values.endswith(":log")
    low, dots, high = scale.partition("..")
    if not dots and not log:
        choices = [_value(section, spec, part, text) for part in values.split(",")]
        if len(set(choices)) < len(choices) or len(choices) < 2:
            raise ConfigError(
                f"--try {text!r} must have at least two different values.\n"
                f"For one value write {flag_of(spec)} {values}."
            )
        return Dimension(spec.name, tuple(choices))
    if not dots or type_of(section, spec.name) not in (int, float):
        raise ConfigError(
            f"--try {text!r} is no interval.\nWrite --try NAME=LOW..HIGH[:log] for numbers, or "
            "--try NAME=A,B,C."
        )
    ends = [_value(section, spec, part, text) for part in (low, high)]
    if ends[0] >= ends[1] or (log and ends[0] <= 0):
        raise ConfigError(
            f"--try {text!r} has no values in between; allowed: LOW < HIGH"
            + (", and 0 < LOW with :log." if log else ".")
        )
    return Dimension(spec.name, low=ends[0], high=ends[1], log=log)


def _field(name: str, text: str) -> tuple[type[Section], dataclasses.Field[Any]]:
    """The section and field of an option's name.

    Raises:
        ConfigError: the option does not exist, or cannot be tried.
    """
    fields = triable()
    by_name = {flag_of(spec).removeprefix("--"): field for field, (_, spec) in fields.items()}
    plain = name.removeprefix("--").replace("_", "-")
    field = by_name.get(plain) or name.replace("-", "_")
    if field in fields:
        return fields[field]
    known = {
        flag_of(spec).removeprefix("--")
        for section in (type(getattr(Config(), part)) for part in ("text", *_parts()))
        for spec in dataclasses.fields(section)
    }
    if plain in known:
        raise ConfigError(
            f"--try {text!r}: {plain} cannot be searched.\n"
            "Only options of model, windows and optimizer can: with others, losses would not be "
            "comparable."
        )
    near = difflib.get_close_matches(plain, by_name, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ConfigError(
        f"--try {text!r}: there is no option {plain!r} of training.{hint}\n"
        "`charlstm train -h` lists the options."
    )


def _parts() -> tuple[str, ...]:
    return ("model", "windows", "train")


def _value(section: type[Section], spec: dataclasses.Field[Any], word: str, text: str) -> Any:
    """A word as a value of the field.

    Raises:
        ConfigError: it is not a value of the field's type, or out of range.
    """
    kind, word = type_of(section, spec.name), word.strip()
    try:
        value: Value = word if kind is str else _BOOLS[word] if kind is bool else kind(word)
    except (ValueError, KeyError):
        wanted = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise ConfigError(f"--try {text!r}: {word!r} is not {wanted}.") from None
    return section.checked(spec, value)


def default_space(automatic: Mapping[str, Any], given: Mapping[str, Any]) -> Space:
    """A space around the automatic choice, for options that are not given.

    Args:
        automatic: all options of the automatic choice.
        given: fields with a fixed value.
    """
    lr, units = automatic["lr"], automatic["hidden_size"]
    batch, window = automatic["batch_size"], automatic["maxlen"]
    layers, decay = automatic["num_layers"], automatic["weight_decay"]
    found = [
        Dimension("lr", low=lr / 3, high=lr * 3, log=True),
        Dimension("hidden_size", _distinct(max(1, units * 3 // 4), units, units * 3 // 2)),
        Dimension("num_layers", _distinct(layers, layers + 1)),
        Dimension("cell", _distinct(automatic["cell"], "coupled", "lstm")),
        Dimension("batch_size", _distinct(max(1, batch // 2), batch, batch * 2)),
        Dimension("maxlen", _distinct(max(1, window // 2), window, window * 2)),
        _around("dropout", automatic["dropout"], 0.6),
        _around("recurrent_dropout", automatic["recurrent_dropout"], 0.5),
    ]
    if decay > 0:
        found.append(Dimension("weight_decay", low=decay / 10, high=decay * 10, log=True))
    if automatic["schedule"] in ("linear", "cosine"):
        found.append(Dimension("decay_after", low=0.0, high=0.9))
    return Space(tuple(one for one in found if one.name not in given))


def _distinct(*values: Value) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(values))


def _around(name: str, value: float, high: float) -> Dimension:
    """The interval from 0 to `high`, or further if the automatic choice is near its end."""
    return Dimension(name, low=0.0, high=max(high, min(0.95, value + 0.2)))
