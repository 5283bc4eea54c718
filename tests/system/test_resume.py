"""Exact resume from every kind of moment, for every kind of run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from charlstm.training.loop import Trainer
from tests.training import conftest, test_saved_best
from tests.training.common import (
    Start,
    assert_same_end,
    check_resume,
    finish,
    resume,
    run_until,
    starter,
)
from tests.training.test_resume import VARIANTS

start = conftest.start  # the fixture


def everywhere(whole: Trainer) -> list[int]:
    """Steps near the start, the end of an epoch and the end of the run."""
    total, per_epoch = whole.progress.step, whole.windows.batches_per_epoch
    return [0, 1, 7, 20, per_epoch - 1, per_epoch, per_epoch + 1, total - 1, total]


@pytest.mark.parametrize("lost", [0, 1, 2], ids=lambda n: f"{n} checkpoints lost")
@pytest.mark.parametrize("lr", test_saved_best.RATES)
@pytest.mark.parametrize("val_fraction", [0.1, 0.0])
def test_best_never_gets_worse(
    tmp_path: Path, lr: float | None, lost: int, val_fraction: float
) -> None:
    start = starter(tmp_path, test_saved_best.TEXT, test_saved_best.BASE)
    test_saved_best.check_best(start, lr, lost, val_fraction)


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_resume_is_exact_from_anywhere(start: Start, options: dict[str, Any]) -> None:
    check_resume(start, options, everywhere)


def test_every_step_can_be_the_last(start: Start) -> None:
    """Save and resume after each step, one long chain."""
    whole = start("whole", epochs=2)
    finish(whole)
    chain = start("chain", epochs=2)
    for _ in range(whole.progress.step):
        run_until(chain, chain.progress.step + 1)
        chain = resume(chain)
    finish(chain)
    assert_same_end(whole, chain)
