"""Exact resume from every kind of moment, for every kind of run."""

from __future__ import annotations

from typing import Any

import pytest

from charlstm.training.loop import Trainer
from tests.training import test_trainer
from tests.training.test_trainer import (
    VARIANTS,
    Start,
    assert_same_end,
    check_resume,
    finish,
    resume,
    run_until,
)

start = test_trainer.start  # the fixture


def everywhere(whole: Trainer) -> list[int]:
    """Steps near the start, the end of an epoch and the end of the run."""
    total, per_epoch = whole.progress.step, whole.windows.batches_per_epoch
    return [0, 1, 7, 20, per_epoch - 1, per_epoch, per_epoch + 1, total - 1, total]


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
