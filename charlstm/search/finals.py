"""Final runs: the best trials, trained again with other seeds, and their statistical comparison.

The loss of the best of many trials is too low on average (selection bias). The best trials and the
automatic choice are therefore trained again with two other seeds, the same for all. Only those
losses are compared.

With losses x_ij of setting i and seed j, the variance of a single loss is pooled over all settings,
s^2 = sum_ij (x_ij - mean_i)^2 / sum_i (n_i - 1). The difference of two means has
the standard error s sqrt(1/n_a + 1/n_b); times the 97.5% quantile of Student's t with
sum_i (n_i - 1) degrees of freedom it is the half-width of a 95% confidence interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from charlstm.search.plan import FRESH_SEEDS, TOP
from charlstm.search.study import OF, SEED

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

AUTOMATIC = 0
"""The trial of the automatic choice."""
# 97.5% quantiles of Student's t for 1, 2, ... degrees of freedom.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306)


def best_trials(trials: Sequence[FrozenTrial]) -> list[int]:
    """Numbers of the trials to train again: the best, then the automatic choice if it has a loss.

    Args:
        trials: all trials of the search.
    """
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    ranked = sorted(complete, key=lambda trial: (trial.value, trial.number))
    best = [trial.number for trial in ranked[:TOP]]
    if ranked and AUTOMATIC not in best and trials[AUTOMATIC] in complete:
        best.append(AUTOMATIC)
    return best if len(best) > 1 else []


def missing_runs(
    best: Sequence[int], finals: Sequence[FrozenTrial], seed: int
) -> list[tuple[int, int]]:
    """The final runs that have not begun, as (trial, seed).

    Args:
        best: numbers of the trials to train again.
        finals: trials of the study of final runs.
        seed: the search's seed.
    """
    begun = {(trial.user_attrs[OF], trial.user_attrs[SEED]) for trial in finals}
    wanted = [(number, seed + 1 + n) for n in range(FRESH_SEEDS) for number in best]
    return [pair for pair in wanted if pair not in begun]


@dataclass(frozen=True)
class Verdict:
    """The comparison of the final runs.

    Attributes:
        winner: number of the trial with the lowest mean.
        losses: losses with other seeds, by trial; nats per character.
        gain: mean loss of the automatic choice minus that of the winner, in nats per character;
            None if the automatic choice has no loss.
        margin: half-width of the 95% confidence interval of `gain`.
    """

    winner: int
    losses: Mapping[int, tuple[float, ...]]
    gain: float | None
    margin: float | None

    @property
    def is_better(self) -> bool:
        """Whether the winner is significantly better than the automatic choice."""
        return self.gain is not None and self.margin is not None and self.gain > self.margin

    def sentence(self) -> str:
        """The verdict for display."""
        if self.gain is None:
            return "the automatic choice has no loss to compare with"
        if self.winner == AUTOMATIC:
            return "not better than the automatic choice, which is the best"
        shown = f"{self.gain:.4f} ± {self.margin:.4f} nats"
        if self.is_better:
            return f"better than the automatic choice by {shown} per character"
        return f"not significantly better than the automatic choice: by {shown} per character"


def judge(best: Sequence[int], finals: Sequence[FrozenTrial], seed: int) -> Verdict | None:
    """The verdict of the final runs; None if no trial has completed all of its final runs.

    Args:
        best: numbers of the trials that were trained again.
        finals: trials of the study of final runs.
        seed: the search's seed.
    """
    seeds = {seed + 1 + n for n in range(FRESH_SEEDS)}
    losses: dict[int, dict[int, float]] = {number: {} for number in best}
    for trial in finals:
        number, of_seed = trial.user_attrs[OF], trial.user_attrs[SEED]
        if number in losses and of_seed in seeds and trial.value is not None:
            losses[number].setdefault(of_seed, trial.value)
    # A setting that diverges with one of the seeds is not recommended.
    found = {
        number: tuple(one[of_seed] for of_seed in sorted(one))
        for number, one in losses.items()
        if len(one) == len(seeds)
    }
    if not found:
        return None
    means = {number: sum(values) / len(values) for number, values in found.items()}
    winner = min(means, key=lambda number: (means[number], number))
    if AUTOMATIC not in found:
        return Verdict(winner, found, None, None)
    squares = sum((x - means[number]) ** 2 for number, values in found.items() for x in values)
    freedom = sum(len(values) - 1 for values in found.values())
    error = math.sqrt(squares / freedom * (1 / FRESH_SEEDS + 1 / FRESH_SEEDS))
    margin = _T[min(freedom, len(_T)) - 1] * error
    return Verdict(winner, found, means[AUTOMATIC] - means[winner], margin)
