"""Predictions and plans: from the measured figures, and from the planner."""

from __future__ import annotations

import math

import pytest

import charlstm
from charlstm.checkup.expected import (
    MEASURED,
    MachineSpeed,
    assumed_speed,
    expected_loss,
    plans,
)
from charlstm.doctor.speeds import KNOWN_MACHINES
from charlstm.planner.rules import choose
from tests.conftest import PLAY


def test_the_prediction_lies_within_what_was_measured() -> None:
    ratios = [text.nats / math.log(2) / text.ngram for text in MEASURED]
    loss = expected_loss(2.0)
    assert loss.low == pytest.approx(2 * min(ratios))
    assert loss.high == pytest.approx(2 * max(ratios))
    logs = [math.log(loss.expected / 2 / ratio) for ratio in ratios]
    assert sum(logs) == pytest.approx(0, abs=1e-9)
    assert loss.trainings == len(MEASURED)


def test_each_prediction_without_its_own_text_is_rough_but_right() -> None:
    """Within a quarter for all texts but the manual, of which the sample is a twentieth."""
    for left_out in {text.name for text in MEASURED} - {"manual"}:
        logs = [math.log(text.ratio) for text in MEASURED if text.name != left_out]
        mean = math.exp(sum(logs) / len(logs))
        for text in MEASURED:
            if text.name == left_out:
                assert 0.75 < text.ratio / mean < 1.25


def test_the_figure_of_the_play_is_what_a_check_measures() -> None:
    (play,) = [text for text in MEASURED if text.name == "lighthouse"]
    found = charlstm.check(PLAY)
    assert found.ngram_loss == pytest.approx(play.ngram, abs=0.0005)
    assert found.expected is not None
    assert found.expected.low < play.nats / math.log(2) < found.expected.high


def test_plans_are_the_choice_of_train() -> None:
    speed = MachineSpeed(50_000, True)
    (plan,) = plans([5], 400_000, speed, repeated=0.1, vocab_size=80)
    choice = choose(
        {"minutes": 5.0}, 400_000, 300, 50_000, compiled=True, repeated=0.1, vocab_size=80
    )
    for name in ("cell", "hidden_size", "dropout", "recurrent_dropout"):
        assert getattr(plan, name) == choice.overrides[name]
    assert plan.epochs == choice.epochs
    assert plan.seconds <= 300


def test_a_short_text_takes_less_than_the_budget() -> None:
    speed = MachineSpeed(100_000, False)
    few, many = plans([0.5, 60], 50_000, speed, repeated=0, vocab_size=60)
    assert few.seconds == pytest.approx(30, rel=0.05)
    assert 60 < many.seconds < 1000
    assert many.epochs == 100


def test_the_duration_is_that_of_the_characters() -> None:
    choice = choose({"minutes": 4.0}, 10_000_000, 240, 80_000)
    assert choice.seconds == pytest.approx(240, rel=0.01)
    assert choose({"hidden_size": 512, "epochs": 3}, 10_000_000, 240, 0.0).seconds == 0


def test_the_assumed_machine_is_the_slowest() -> None:
    assert assumed_speed().chars_per_second == min(machine.speed for machine in KNOWN_MACHINES)
    assert assumed_speed().machine
