"""Migration of a checkpoint's metadata from older versions to the current form.

Files on disk are never changed: metadata is migrated in memory, directly after it is read. Parts
that are damaged, or not in the old form, are left unchanged; their readers check them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from charlstm.config import WindowConfig
from charlstm.errors import CharlstmError

FORMAT = 1
"""The format version that is written, and the newest that can be read."""

Migration = Callable[[dict[str, Any]], dict[str, Any]]

_STEP_COUNTS = ("pending_steps", "epoch_steps")
# Fields of the progress record that the first files of format 1 lack.
_ADDED = {
    "val_chars": 0, "averaged": 0, "piece": 0, "pieces": 1, "ended": 0.0, "decays": 0,
    "decay_step": 0, "decay_from": 0.0, "decay_until": 1.0, "decay_rate": 0.0,
}  # fmt: skip


def migrate(meta: dict[str, Any]) -> dict[str, Any]:
    """Metadata of any version up to `FORMAT`, converted to the current form."""
    for change in MIGRATIONS[meta["format"]]:
        meta = change(meta)
    return meta


def _count_characters(meta: dict[str, Any]) -> dict[str, Any]:
    """Convert progress with sums of mean losses per step to sums of losses over characters.

    Each step counts as a full batch.
    """
    progress, config = meta.get("progress"), meta.get("config")
    if not isinstance(progress, dict) or not set(_STEP_COUNTS) <= set(progress):
        return meta
    if not isinstance(config, Mapping):
        return meta
    try:
        windows = WindowConfig.from_json(config.get("windows", {}))
    except CharlstmError:
        return meta
    chars_per_step = windows.batch_size * (1 if windows.targets == "last" else windows.maxlen)
    progress = dict(progress)
    for part in ("pending", "epoch"):
        steps, nats = progress.pop(f"{part}_steps"), progress.get(f"{part}_nats")
        if type(steps) is not int or not isinstance(nats, int | float):
            return meta
        progress[f"{part}_chars"] = steps * chars_per_step
        progress[f"{part}_nats"] = nats * chars_per_step
    return {**meta, "progress": progress}


def _add_progress_fields(meta: dict[str, Any]) -> dict[str, Any]:
    """Add the fields of progress that older files lack, at their initial values."""
    progress = meta.get("progress")
    if not isinstance(progress, dict):
        return meta
    return {**meta, "progress": {**_ADDED, **progress}}


def _add_split(meta: dict[str, Any]) -> dict[str, Any]:
    """Name the method of splitting the text that older files lack: its tail was held out."""
    config = meta.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("text"), dict):
        return meta
    return {**meta, "config": {**config, "text": {"split": "tail", **config["text"]}}}


MIGRATIONS: Mapping[int, tuple[Migration, ...]] = MappingProxyType(
    {1: (_count_characters, _add_progress_fields, _add_split)}
)
"""For each format version, the migrations to the current form, in order."""
