"""Changes of a checkpoint's metadata since older versions, so that readers know one form only.

A file on disk is never changed. Its metadata is migrated in memory as it is read, before anything
else looks at it. What is not in the old form, or is damaged, passes through unchanged: whoever
reads that part checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from charlstm.config import WindowConfig
from charlstm.errors import CharlstmError

FORMAT = 1
"""The version that this program writes, and the newest that it reads."""

Migration = Callable[[dict[str, Any]], dict[str, Any]]

_STEP_COUNTS = ("pending_steps", "epoch_steps")
# Fields of the progress record that the first files of format 1 lack.
_ADDED = {"val_chars": 0, "averaged": 0, "piece": 0, "pieces": 1, "ended": 0.0}


def migrate(meta: dict[str, Any]) -> dict[str, Any]:
    """The metadata of a file of any version up to `FORMAT`, in the form of the newest."""
    for change in MIGRATIONS[meta["format"]]:
        meta = change(meta)
    return meta


def _count_characters(meta: dict[str, Any]) -> dict[str, Any]:
    """Progress that sums losses over characters, from one that sums the mean losses of steps.

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
    """Progress with the fields that were added later, at their initial values."""
    progress = meta.get("progress")
    if not isinstance(progress, dict):
        return meta
    return {**meta, "progress": {**_ADDED, **progress}}


MIGRATIONS: Mapping[int, tuple[Migration, ...]] = MappingProxyType(
    {1: (_count_characters, _add_progress_fields)}
)
"""For each version of a file, the changes to the newest form, in order."""
