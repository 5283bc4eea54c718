from __future__ import annotations

import math
from typing import Any

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from charlstm.search.finals import best_trials, judge, missing_runs


def trials(*losses: float | None) -> list[FrozenTrial]:
    """Trials with these losses; None: it was stopped without one."""
    made = []
    for number, loss in enumerate(losses):
        state = TrialState.PRUNED if loss is None else TrialState.COMPLETE
        trial = create_trial(state=state, value=loss)
        trial.number = number
        made.append(trial)
    return made


def finals(**losses: Any) -> list[FrozenTrial]:
    """Final runs: `t3=(1.0, None)` are the losses of trial 3 with seeds 2 and 3."""
    made = []
    for name, values in losses.items():
        for seed, loss in enumerate(values, 2):
            state = TrialState.PRUNED if loss is None else TrialState.COMPLETE
            attrs = {"trial": int(name[1:]), "seed": seed}
            made.append(create_trial(state=state, value=loss, user_attrs=attrs))
    return made


def test_the_best_three_and_the_automatic_choice_are_trained_again() -> None:
    assert best_trials(trials(9.0, 5.0, None, 3.0, 4.0, 8.0)) == [3, 4, 1, 0]
    assert best_trials(trials(3.0, 5.0, 4.0, 6.0)) == [0, 2, 1]
    assert best_trials(trials(None, 5.0, 4.0)) == [2, 1]
    assert best_trials(trials(1.0)) == []  # nothing to compare
    assert best_trials([]) == []


def test_the_same_two_seeds_for_all() -> None:
    assert missing_runs([3, 0], [], 1) == [(3, 2), (0, 2), (3, 3), (0, 3)]
    assert missing_runs([3, 0], finals(t3=(1.0, 1.1), t0=(1.0,)), 1) == [(0, 3)]


def test_the_verdict_by_hand() -> None:
    """Means 1.1 and 1.5; squares 2 * 0.1^2 each, of 2 degrees of freedom: s^2 = 0.02."""
    verdict = judge([3, 0], finals(t3=(1.0, 1.2), t0=(1.4, 1.6)), 1)
    assert verdict is not None
    assert verdict.winner == 3
    assert verdict.losses == {3: (1.0, 1.2), 0: (1.4, 1.6)}
    assert verdict.gain == pytest.approx(0.4)
    # The difference of means of two each has the standard error s; t(2) = 4.303.
    assert verdict.margin == pytest.approx(4.303 * math.sqrt(0.02))
    assert not verdict.is_better
    assert verdict.sentence().startswith("not significantly better")
    assert "0.4000 ± 0.6085 nats" in verdict.sentence()


def test_more_settings_make_the_estimate_surer() -> None:
    verdict = judge(
        [3, 4, 1, 0], finals(t3=(1.0, 1.02), t4=(1.1, 1.12), t1=(1.2, 1.22), t0=(1.4, 1.42)), 1
    )
    assert verdict is not None
    assert verdict.margin == pytest.approx(2.776 * math.sqrt(0.0002))
    assert verdict.is_better
    assert verdict.sentence() == (
        "better than the automatic choice by 0.4000 ± 0.0393 nats per character"
    )


def test_the_automatic_choice_may_win() -> None:
    verdict = judge([3, 0], finals(t3=(1.5, 1.5), t0=(1.0, 1.1)), 1)
    assert verdict is not None
    assert verdict.winner == 0
    assert not verdict.is_better
    assert verdict.sentence() == "not better than the automatic choice, which is the best"


def test_a_setting_that_diverges_with_another_seed_does_not_win() -> None:
    verdict = judge([3, 4, 0], finals(t3=(1.0, None), t4=(1.1, 1.2), t0=(1.3, 1.4)), 1)
    assert verdict is not None
    assert verdict.winner == 4
    alone = judge([3, 0], finals(t3=(1.0, 1.1), t0=(1.3, None)), 1)
    assert alone is not None
    assert (alone.winner, alone.gain, alone.is_better) == (3, None, False)
    assert judge([3, 0], finals(t3=(1.0, None), t0=(None, None)), 1) is None
