"""The ancestors of a fine-tuned model: a record of each base, in a checkpoint's metadata."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from charlstm.errors import CheckpointError

KEY = "ancestors"
"""The key in the metadata. Checkpoints of models that started from random weights lack it."""
_MAX_ANCESTORS = 10_000
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Ancestor:
    """A model that another one started from.

    Attributes:
        run: name of its run, or of its file.
        sha256: digest of its checkpoint file.
        text_sha256: digest of its text; None if it is unknown.
        step: its optimizer steps.
        nats_per_char: its lowest validation loss on its own text; None if it is unknown.
        copied: the characters whose weights were copied.
        kept: those among them that the new text lacks (`--keep-alphabet`).
        new: the characters that were added, each with the one whose weights it started from, or
            an empty text.
        dropped: its other characters.
    """

    run: str
    sha256: str
    text_sha256: str | None
    step: int
    nats_per_char: float | None
    copied: str
    kept: str
    new: Mapping[str, str]
    dropped: str

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return {**vars(self), "new": dict(self.new)}

    @classmethod
    def from_json(cls, data: object) -> Ancestor:
        """A record from the object of `to_json`.

        Raises:
            CheckpointError: the object is not valid.
        """
        names = {spec.name for spec in dataclasses.fields(cls)}
        if not isinstance(data, dict) or set(data) != names or not _is_valid(data):
            raise CheckpointError("the model's ancestry is not readable.")
        return cls(**data)


def _is_valid(data: Mapping[str, Any]) -> bool:
    digest, nats, step, new = (
        data[name] for name in ("text_sha256", "nats_per_char", "step", "new")
    )
    texts = [data[name] for name in ("run", "sha256", "copied", "kept", "dropped")]
    if not isinstance(new, dict) or not all(
        isinstance(text, str) for text in [*texts, *new.values()]
    ):
        return False
    return (
        _SHA256.fullmatch(data["sha256"]) is not None
        and (digest is None or (isinstance(digest, str) and bool(_SHA256.fullmatch(digest))))
        and type(step) is int
        and 0 <= step < 2**53
        and (nats is None or type(nats) in (int, float))
    )


def read_ancestors(meta: Mapping[str, Any]) -> tuple[Ancestor, ...]:
    """A model's ancestors, its base first; empty if it started from random weights.

    Args:
        meta: the checkpoint's metadata.

    Raises:
        CheckpointError: the record is not valid.
    """
    data = meta.get(KEY, [])
    if not isinstance(data, list) or len(data) > _MAX_ANCESTORS:
        raise CheckpointError("the model's ancestry is not readable.")
    return tuple(map(Ancestor.from_json, data))
