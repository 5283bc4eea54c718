"""A search that takes a moment: its options, and trials made by hand."""

from __future__ import annotations

from typing import Any

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from charlstm.search.space import Space

QUICK = ["--hidden-size", "8", "--maxlen", "16", "--batch-size", "32", "--precision", "float32"]
QUICK += ["--kernel", "torch", "--device", "cpu", "--grow", "0", "--reset", "0"]
QUICK += ["--trial-epochs", "1"]
"""Options of trials of about ten steps, whose results do not depend on the machine's speed."""
TRY = ["--try", "lr=0.002..0.02:log", "--try", "cell=lstm,coupled"]


def trial_of(
    space: Space, values: dict[str, Any], nats: float | None = 2.0, **more: Any
) -> FrozenTrial:
    """A trial at a point of the space; without a loss it is still running."""
    distributions: dict[str, BaseDistribution] = space.distributions() if values else {}
    state = TrialState.RUNNING if nats is None else TrialState.COMPLETE
    return create_trial(state=state, value=nats, params=values, distributions=distributions, **more)
