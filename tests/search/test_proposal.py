from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import FrozenTrial

from charlstm.errors import ConfigError
from charlstm.search.proposal import propose
from charlstm.search.space import Space, parse_space
from tests.search.common import trial_of

AUTOMATIC: dict[str, Any] = {"cell": "coupled", "hidden_size": 8, "lr": 0.01}


def search(
    space: Space, sampler: str, count: int, *, seed: int = 1, first: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """The points of `count` trials, or fewer where the space ends; the loss is the rate."""
    trials = [trial_of(space, first or {})]
    for _ in range(count):
        found = propose(space, trials, sampler, seed, AUTOMATIC)
        if found is None:
            break
        loss = float(found.values.get("lr", 1.0))
        trials.append(trial_of(space, found.values, loss, system_attrs=found.system_attrs))
    return [dict(trial.params) for trial in trials[1:]]


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_proposal_follows_from_seed_and_finished_trials(sampler: str) -> None:
    space = parse_space(["lr=0.001..0.1:log", "cell=lstm,coupled", "layers=1..3"], {})
    points = search(space, sampler, 14)
    assert points == search(space, sampler, 14)
    assert points != search(space, sampler, 14, seed=2)
    assert all(point in space for point in points)
    assert len({point["lr"] for point in points}) == 14


def test_trials_that_are_running_do_not_count() -> None:
    space = parse_space(["lr=0.001..0.1:log"], {})
    done = [trial_of(space, {"lr": 0.01 + n / 1000}, float(n)) for n in range(12)]
    running = trial_of(space, {"lr": 0.05}, None)
    other = trial_of(space, {"lr": 0.002}, None)
    first = propose(space, [*done, running], "tpe", 1, AUTOMATIC)
    assert first == propose(space, [*done, other], "tpe", 1, AUTOMATIC)


def test_tpe_learns_from_finished_trials() -> None:
    """With the loss at its lowest at one end, later proposals are nearer to it than random ones."""
    space = parse_space(["lr=0.001..0.1:log"], {})
    tpe = [point["lr"] for point in search(space, "tpe", 30)][10:]
    chance = [point["lr"] for point in search(space, "random", 30)][10:]
    assert sorted(tpe)[10] < sorted(chance)[10]


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_each_point_of_a_finite_space_is_tried_once(sampler: str) -> None:
    space = parse_space(["cell=lstm,coupled", "layers=1..3", "hidden-size=8,16"], {})
    points = search(space, sampler, 100)
    assert len(points) == 12
    assert all(points.count(point) == 1 for point in points)
    # The automatic choice, as trial 0, is a point of the grid.
    first = {"cell": "coupled", "num_layers": 1, "hidden_size": 8}
    points = search(space, sampler, 100, first=first)
    assert len(points) == 11
    assert first not in points


def test_a_grid_leaves_out_points_that_are_being_tried() -> None:
    space = parse_space(["layers=1..3"], {})
    trials: list[FrozenTrial] = [trial_of(space, {})]
    for _ in range(3):
        found = propose(space, trials, "grid", 1, AUTOMATIC)
        assert found is not None
        trials.append(trial_of(space, found.values, None, system_attrs=found.system_attrs))
    assert sorted(trial.params["num_layers"] for trial in trials[1:]) == [1, 2, 3]
    assert propose(space, trials, "grid", 1, AUTOMATIC) is None


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_combinations_that_contradict_each_other_are_left_out(sampler: str) -> None:
    space = parse_space(["layers=1,2", "layer-norm=true,false"], {})
    points = search(space, sampler, 100)
    assert len(points) == 3
    assert {"num_layers": 1, "layer_norm": True} not in points


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (["zoneout=0.1,0.2"], "--zoneout 0.1 is not supported by --cell coupled"),
        (["zoneout=0.1..0.2"], "is not supported by --cell coupled"),
    ],
)
def test_a_space_that_allows_nothing(texts: list[str], why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        propose(parse_space(texts, {}), [], "random", 1, AUTOMATIC)
    assert "--try allow no combination" in str(caught.value)
    assert why in str(caught.value)
    assert len(str(caught.value).splitlines()) == 2
