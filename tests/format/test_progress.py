from __future__ import annotations

import json
import math
from typing import Any

import pytest

from charlstm.errors import CheckpointError
from charlstm.format.progress import Progress


def test_json_round_trip() -> None:
    entry: dict[str, float | None] = {
        "step": 3,
        "epoch": 1,
        "train_nats": 0.1 + 0.2,
        "val_nats": None,
    }
    for progress in (Progress(), Progress(step=7, best_nats=1.25, seconds=2.5, history=[entry])):
        again = Progress.from_json(json.loads(json.dumps(progress.to_json())))
        assert again == progress
    assert Progress().to_json()["best_nats"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1}, {"step": 2**63}, {"step": 10**400}, {"step": 1.5}, {"step": True},
        {"evaluated_step": -2}, {"best_nats": 10**400}, {"best_nats": "low"},
        {"seconds": math.nan}, {"seconds": math.inf}, {"history": 3}, {"history": [3]},
        {"history": [{"step": 1}]}, {"extra": 1}, {"piece": 1}, {"pieces": 0}, {"pieces": 5},
        {"history": [{"step": 1, "epoch": 1, "train_nats": [], "val_nats": None}]},
    ],
    ids=lambda change: str(change)[:30],
)  # fmt: skip
def test_odd_json_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="progress is not readable"):
        Progress.from_json(Progress().to_json() | change)
