from __future__ import annotations

from typing import Any

import pytest

from charlstm.errors import CheckpointError
from charlstm.format.checkpoint import load_checkpoint, load_meta, save_checkpoint
from charlstm.format.migrations import FORMAT, MIGRATIONS, migrate
from charlstm.format.progress import Progress

WINDOWS = {"maxlen": 4, "batch_size": 2}
ADDED = (
    "val_chars",
    "averaged",
    "piece",
    "pieces",
    "ended",
    "decays",
    "decay_step",
    "decay_from",
    "decay_until",
    "decay_rate",
)


def old_meta(progress: Progress, windows: Any = WINDOWS, **changes: Any) -> dict[str, Any]:
    """Metadata as the first files of format 1 have it: losses are means over steps."""
    record = progress.to_json()
    for name in ("pending_chars", "epoch_chars", *ADDED):
        del record[name]
    record |= {"pending_nats": 7.5, "pending_steps": 3, "epoch_nats": 0.5, "epoch_steps": 1}
    return {"format": 1, "config": {"windows": windows}, "progress": record | changes}


def test_every_version_has_migrations() -> None:
    assert list(MIGRATIONS) == list(range(1, FORMAT + 1))


def test_progress_of_the_newest_form_stays() -> None:
    meta = {"format": FORMAT, "config": {}, "progress": Progress(step=3, averaged=2).to_json()}
    assert migrate(meta) == meta


@pytest.mark.parametrize(("targets", "chars"), [("all", 8), ("last", 2)])
def test_losses_of_steps_become_sums_over_characters(targets: str, chars: int) -> None:
    migrated = migrate(old_meta(Progress(step=9), {**WINDOWS, "targets": targets}))
    assert Progress.from_json(migrated["progress"]) == Progress(
        step=9, pending_nats=7.5 * chars, pending_chars=3 * chars,
        epoch_nats=0.5 * chars, epoch_chars=chars,
    )  # fmt: skip


def test_a_file_is_migrated_as_it_is_read(tmp_path: Any) -> None:
    path = tmp_path / "old.npz"
    old = old_meta(Progress(step=9))
    save_checkpoint(path, old, {})
    for meta in (load_meta(path), load_checkpoint(path).meta):
        assert meta["progress"] == migrate(old)["progress"]


@pytest.mark.parametrize(
    "bad",
    [
        {"pending_steps": -1}, {"epoch_steps": 2**63}, {"epoch_nats": "x"}, {"epoch_nats": None},
        {"pending_steps": True}, {"pending_nats": float("inf")},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_progress_is_left_to_its_reader(bad: dict[str, Any]) -> None:
    migrated = migrate(old_meta(Progress(step=9), **bad))
    with pytest.raises(CheckpointError, match="progress is not readable"):
        Progress.from_json(migrated["progress"])


@pytest.mark.parametrize("meta", [
    {}, {"progress": 3}, {"progress": []}, {"config": []}, {"config": {"windows": 3}},
    {"config": {"windows": {"maxlen": 10**400}}}, {"config": None},
])  # fmt: skip
def test_odd_metadata_passes_through(meta: dict[str, Any]) -> None:
    whole = {"format": 1, **old_meta(Progress()), **meta}
    assert migrate(whole).get("config") == whole.get("config")
