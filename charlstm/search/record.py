"""The record of a search in its study: text, space and budgets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charlstm.errors import SearchError
from charlstm.search.space import Dimension, Space

SHA256, RECORD = "text_sha256", "search"
"""Keys of the study's user attributes."""


@dataclass(frozen=True)
class Record:
    """The settings common to all trials of a search.

    Attributes:
        sha256: digest of the text.
        given: options given for all trials, by field.
        automatic: the automatic choice, by field: all other options.
        tries: the `--try` options as given.
        space: the space.
        minutes: the time budget of a trial; 0: epochs are its budget.
        epochs: epochs of a trial; 0: minutes are its budget.
        seed: seed of the proposals and of the trials.
        prune: whether unpromising trials are stopped.
    """

    sha256: str
    given: Mapping[str, Any]
    automatic: Mapping[str, Any]
    tries: tuple[str, ...]
    space: Space
    minutes: float
    epochs: int
    seed: int
    prune: bool

    def to_json(self) -> dict[str, Any]:
        """The record as a JSON object."""
        data = {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}
        data["space"] = [one.to_json() for one in self.space.dimensions]
        plain: dict[str, Any] = json.loads(json.dumps(data))  # tuples become lists
        return plain

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """The record of an object of `to_json`.

        Raises:
            SearchError: it is not readable, or of a newer version.
        """
        try:
            dimensions = tuple(Dimension.from_json(one) for one in data["space"])
            changed = {"space": Space(dimensions), "tries": tuple(data["tries"])}
            return cls(**{**data, **changed})
        except (KeyError, TypeError) as error:
            raise SearchError(
                "the search was started by another version of charlstm, whose record is not "
                "readable.\nGive another --name."
            ) from error

    def check(self, wanted: Record, place: str) -> None:
        """Check that a command continues this search.

        Args:
            wanted: the record that the command would create; derived values (automatic choice,
                budgets and space, unless given) are not compared.
            place: the search, for messages.

        Raises:
            SearchError: the text or an option differs.
        """
        if wanted.sha256 != self.sha256:
            raise SearchError(
                f"{place} belongs to another text (SHA-256 {self.sha256[:12]}, not "
                f"{wanted.sha256[:12]}).\nGive the same text, or another --name."
            )
        new, old = wanted.to_json(), self.to_json()
        names = [
            name
            for name in sorted(new["given"].keys() | old["given"].keys())
            if new["given"].get(name) != old["given"].get(name)
        ]
        names += [name for name in ("tries", "seed", "prune") if new[name] != old[name]]
        names += [name for name in ("minutes", "epochs") if new[name] and new[name] != old[name]]
        if names:
            flags = {"tries": "--try", "minutes": "--trial-minutes", "epochs": "--trial-epochs"}
            shown = ", ".join(flags.get(name, "--" + name.replace("_", "-")) for name in names)
            raise SearchError(
                f"{place} was started with other options: {shown}.\n"
                "Repeat the options of its first command, or give another --name."
            )
