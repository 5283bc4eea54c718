"""The configuration of a training run: all sections, checked against each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from charlstm.cells import TRAINING_KERNEL_CELLS
from charlstm.config.fields import Record, Section, check_type, section
from charlstm.config.model import ModelConfig
from charlstm.config.text import TextConfig
from charlstm.config.train import TrainConfig
from charlstm.config.windows import WindowConfig
from charlstm.errors import ConfigError, UnknownOptionError


@section
class Config(Record):
    """The configuration of a training run."""

    text: TextConfig = field(default_factory=TextConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def __post_init__(self) -> None:
        for name, kind in SECTIONS.items():
            check_type(name, getattr(self, name), kind)
        if self.train.kernel == "compiled" and self.model.cell not in TRAINING_KERNEL_CELLS:
            raise ConfigError(
                f"--kernel compiled does not support --cell {self.model.cell}; allowed: "
                f"{', '.join(TRAINING_KERNEL_CELLS)}. Use --kernel auto or torch."
            )
        if self.model.direction == "both" and self.windows.targets == "last":
            raise ConfigError(
                "--direction both does not support --targets last (which recipes may set); use "
                "--targets all."
            )

    def to_json(self) -> dict[str, Any]:
        """A JSON object with one entry for each section."""
        return {name: getattr(self, name).to_json() for name in SECTIONS}

    @classmethod
    def from_json(cls, data: object) -> Config:
        """A configuration from the object of `to_json`.

        Raises:
            ConfigError: as for `Section.from_json`.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(
                f"a configuration must be an object with the sections {', '.join(SECTIONS)}."
            )
        if unknown := sorted(set(map(str, data)) - set(SECTIONS)):
            raise UnknownOptionError(f"a configuration has no section {unknown[0][:80]!r}.")
        sections: dict[str, Any] = {
            name: kind.from_json(data.get(name, {})) for name, kind in SECTIONS.items()
        }
        return cls(**sections)

    def override(self, changes: Mapping[str, Any]) -> Config:
        """A copy with fields of any section replaced; field names are unique across sections.

        Raises:
            ConfigError: a value is out of range.
        """
        sections: dict[str, Any] = {}
        for name, kind in SECTIONS.items():
            names = {spec.name for spec in dataclasses.fields(kind)}  # type: ignore[arg-type]
            own = {key: value for key, value in changes.items() if key in names}
            sections[name] = dataclasses.replace(getattr(self, name), **own)
        return Config(**sections)


def check_values(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values converted to their fields' types, each checked on its own.

    For a resumed run, whose other options are not known yet.

    Raises:
        ConfigError: a value has the wrong type, or is out of range.
    """
    values = dict(changes)
    for kind in SECTIONS.values():
        for spec in dataclasses.fields(kind):  # type: ignore[arg-type]
            if spec.name in changes and not (changes[spec.name] is None and spec.default is None):
                values[spec.name] = kind.checked(spec, changes[spec.name])
    return values


SECTIONS: dict[str, type[Section]] = {
    "text": TextConfig,
    "model": ModelConfig,
    "windows": WindowConfig,
    "train": TrainConfig,
}
