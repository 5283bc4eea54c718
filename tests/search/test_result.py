"""What a search reports about its trials."""

from __future__ import annotations

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from charlstm.search.result import importances_of


def trials(count: int) -> list[FrozenTrial]:
    """Trials whose loss depends on the learning rate only; one has no loss, and one no options."""
    space = {"lr": FloatDistribution(0.0, 1.0), "dropout": FloatDistribution(0.0, 1.0)}
    made = [
        create_trial(
            params={"lr": n / count, "dropout": (7 * n % count) / count},
            distributions=dict(space),
            value=(n / count) ** 2,
        )
        for n in range(count)
    ]
    pruned = create_trial(
        params={"lr": 0.5, "dropout": 0.5}, distributions=dict(space), state=TrialState.PRUNED
    )
    return [*made, pruned, create_trial(value=9.0)]


def test_importances_name_what_the_loss_depends_on() -> None:
    found = importances_of(trials(20))
    assert list(found) == ["lr", "dropout"]  # highest first
    assert found["lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_few_trials_have_no_importances() -> None:
    assert importances_of(trials(7)) == {}
    assert set(importances_of(trials(8))) == {"lr", "dropout"}


def test_nothing_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    importances_of(trials(8))
    assert capsys.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() >= optuna.logging.WARNING
