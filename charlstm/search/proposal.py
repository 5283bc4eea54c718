"""The next point of the space to try, a function of the search's seed and the previous trials.

Optuna's sampler proposes a point in a study in memory, which has copies of the finished trials. Its
seed is derived from the search's seed and the trial's number. A proposal therefore does not depend
on when a process started or ended, and a trial is stored at once, with all of its values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from charlstm.config import Config
from charlstm.errors import ConfigError
from charlstm.search.space import Space, Values
from charlstm.search.storage import load_optuna

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

# Maximum number of proposals that were tried before or are invalid. A grid sampler never repeats.
_MAX_REPEATED = {"grid": 4000, "random": 200, "tpe": 20}
_MAX_LISTED = 2_000  # points of a space whose combinations are all checked
GRID = "grid_id"
"""Key that Optuna's grid sampler writes into a trial."""


@dataclass(frozen=True)
class Proposal:
    """A point of the space to try.

    Attributes:
        values: values of the options that are searched, by field.
        system_attrs: Optuna's system attributes, set by the sampler.
    """

    values: Values
    system_attrs: dict[str, Any]


def propose(
    space: Space,
    trials: Sequence[FrozenTrial],
    sampler: str,
    seed: int,
    automatic: Mapping[str, Any],
) -> Proposal | None:
    """Propose a point that was not tried and is a valid configuration.

    Args:
        space: the space.
        trials: all trials of the study, in order.
        sampler: grid, random or tpe.
        seed: the search's seed.
        automatic: values of all other options.

    Returns:
        The proposal; None if all points were tried.

    Raises:
        ConfigError: no combination of the space is valid.
    """
    optuna = load_optuna()
    tried = [dict(trial.params) for trial in trials if trial.params]
    listed = space.size() <= _MAX_LISTED
    fault = ""
    left: list[Values] = []
    if listed:
        faults = [(point, _fault(point, automatic)) for point in space.points()]
        valid = [point for point, why in faults if not why]
        if not valid:
            raise _nothing(faults[0][1])
        left = [point for point in valid if point not in tried]
        if not left:
            return None
    known = list(trials) if sampler == "grid" else [t for t in trials if t.state.is_finished()]
    # The tpe sampler may keep proposing points that were tried; then a random one is used.
    for name, most in ((sampler, _MAX_REPEATED[sampler]), ("random", _MAX_REPEATED["random"])):
        study = optuna.create_study(sampler=_sampler(name, space, seed, len(trials)))
        study.add_trials(known)
        for _ in range(most):
            values = dict(study.ask(space.distributions()).params)
            why = _fault(values, automatic)
            if not why and values not in tried:
                attrs = study.trials[-1].system_attrs
                kept = {key: attrs[key] for key in (GRID, "search_space") if key in attrs}
                return Proposal(values, kept)
            fault = fault or why
    if left:
        return Proposal(left[0], {})
    raise _nothing(fault)


def _nothing(fault: str) -> ConfigError:
    first = fault.splitlines()[0] if fault else "no combination is new."
    return ConfigError(f"the values of --try allow no combination: {first}\nChange --try.")


def _fault(values: Values, automatic: Mapping[str, Any]) -> str:
    """Why values contradict each other; empty if they do not."""
    try:
        Config().override({**automatic, **values})
    except ConfigError as error:
        return str(error)
    return ""


def _sampler(name: str, space: Space, seed: int, number: int) -> BaseSampler:
    """Optuna's sampler for one trial."""
    samplers = load_optuna().samplers
    of_trial = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    make: dict[str, Callable[[], BaseSampler]] = {
        # The order of a grid follows from its seed, so it is the same for all trials.
        "grid": lambda: samplers.GridSampler(space.grid(), seed=seed),
        "random": lambda: samplers.RandomSampler(seed=of_trial),
        # Without the constant liar, trials that are still running do not count.
        "tpe": lambda: samplers.TPESampler(seed=of_trial, constant_liar=False),
    }
    return make[name]()
