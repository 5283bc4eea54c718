from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from charlstm.config import SECTIONS, Config
from charlstm.planner.fitted import (
    DEFAULT_MINUTES,
    MAX_EPOCHS,
    MAX_EPOCHS_TIMED,
    SMALL_VOCABULARY,
    SOFTMAX_CHARACTERS,
)
from charlstm.planner.presets import RECIPES, SIZES, recipe
from charlstm.planner.rules import choose, implied

MILLION = 10**6


def chosen(given: dict[str, Any], chars: int, seconds: float, speed: float = 30_000) -> Any:
    return choose(given, chars, seconds, speed).overrides


@pytest.mark.parametrize("speed", [500, 30_000, 3_000_000])
@pytest.mark.parametrize("chars", [2, 5_000, MILLION, 20 * MILLION, 10**9])
@pytest.mark.parametrize("seconds", [1, 80, 270, 1200, 86_400])
def test_every_choice_can_be_trained(chars: int, seconds: float, speed: float) -> None:
    choice = choose({"minutes": seconds / 60}, chars, seconds, speed)
    config = Config().override(choice.overrides)
    assert config.train.epochs >= 1
    assert 0 <= choice.epochs <= (MAX_EPOCHS if chars >= MILLION else MAX_EPOCHS_TIMED)


def test_more_time_and_faster_machines_get_larger_models() -> None:
    sizes = [chosen({}, MILLION, s)["hidden_size"] for s in (1, 10, 80, 270, 1200, 7200)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    assert chosen({}, MILLION, 80, 1_000_000)["hidden_size"] >= sizes[-2]


def test_a_short_text_gets_no_larger_model_for_more_time() -> None:
    sizes = [chosen({}, chars, 10**5)["hidden_size"] for chars in (10**4, 10**5, 10**6, 10**7)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_compiled_windows_make_a_larger_model_worth_its_time() -> None:
    sizes = [
        choose({}, MILLION, 80, 120_000, compiled=compiled).overrides["hidden_size"]
        for compiled in (False, True)
    ]
    assert sizes == [512, 768]


def test_more_epochs_give_more_dropout() -> None:
    rates = [chosen({}, chars, 270)["dropout"] for chars in (10**8, 10**7, 10**6, 10**5, 10**4)]
    assert rates == sorted(rates)
    assert rates[0] == 0 < rates[-1]


def test_more_epochs_scale_logits_down() -> None:
    scales = [
        chosen({}, chars, 270)["logit_scale"] for chars in (10**8, 10**7, 10**6, 10**5, 10**4)
    ]
    assert scales == sorted(scales, reverse=True)
    assert 1 > scales[0] > scales[-1] > 0.5


def test_a_large_model_is_regularised_after_fewer_epochs() -> None:
    def rates(epochs: int, chars: int = MILLION) -> list[float]:
        return [
            chosen({"hidden_size": hidden, "epochs": epochs}, chars, 300)["dropout"]
            for hidden in (512, 768)
        ]

    assert rates(12) == [0.2, 0.4]
    assert rates(3) == [0.1, 0.1]
    assert rates(28) == [0.4, 0.4]
    assert rates(28, MILLION // 20) == [0.5, 0.5]  # a short text, most of all


def test_a_text_that_repeats_itself_is_read_more_often_by_a_larger_model() -> None:
    def of(repeated: float) -> Any:
        return choose({}, 50_000, 80, 120_000, compiled=True, repeated=repeated)

    new, half, whole = of(0.0), of(0.5), of(1.0)
    assert [one.most_epochs for one in (new, half, whole)] == [
        MAX_EPOCHS, 2 * MAX_EPOCHS, 5 * MAX_EPOCHS,
    ]  # fmt: skip
    assert [one.overrides["epochs"] for one in (new, half)] == [MAX_EPOCHS, 2 * MAX_EPOCHS]
    assert new.epochs < whole.epochs
    assert new.overrides["hidden_size"] < whole.overrides["hidden_size"]
    assert new.overrides["dropout"] > whole.overrides["dropout"]  # memorising helps


def test_a_time_budget_is_used_where_regularisation_is_strongest() -> None:
    short, long = 50_000, MILLION
    assert chosen({}, short, 10**5)["epochs"] == MAX_EPOCHS
    assert chosen({"minutes": 9.0}, short, 10**5)["epochs"] == MAX_EPOCHS_TIMED
    assert chosen({"minutes": 9.0}, long, 10**5)["epochs"] == MAX_EPOCHS
    repeating = choose({"minutes": 9.0}, short, 10**5, 30_000, repeated=0.5)
    assert repeating.overrides["epochs"] == 2 * MAX_EPOCHS


def test_what_is_given_stays() -> None:
    given = {"hidden_size": 100, "dropout": 0.0, "lr": 1e-3, "epochs": 3}
    assert not set(chosen(given, MILLION, 300)) & set(given)
    # Three epochs, whatever the time has room for.
    three = {"hidden_size": 512, "epochs": 3}
    assert chosen(three, 1000, 3000)["dropout"] == chosen(three, 1000, 3)["dropout"]
    assert choose(given, MILLION, 300, 30_000).epochs == 3
    # By the clock they are a bound, which may be far away.
    far = {"epochs": 10**6, "minutes": 1.0}
    assert (
        choose(far, MILLION, 60, 30_000).epochs
        == choose({"minutes": 1.0}, MILLION, 60, 30_000).epochs
    )


def test_by_time_epochs_are_only_a_bound() -> None:
    assert chosen({"minutes": 1.0}, MILLION, 60)["epochs"] == MAX_EPOCHS
    assert chosen({}, 10**9, 60 * DEFAULT_MINUTES)["epochs"] == 1


@pytest.mark.parametrize(
    ("given", "needed"),
    [
        ({"zoneout": 0.1}, {"cell": "peephole"}),
        ({"residual": True}, {"num_layers": 2}),
        ({"dense_output": True}, {"num_layers": 2}),
        ({"layer_norm": True, "hidden_size": 10}, {"num_layers": 2}),
        ({"residual": True, "num_layers": 3}, {}),
        ({"residual": False, "zoneout": 0.0}, {}),
        ({"direction": "both", "targets": "all"}, {}),
    ],
)
def test_what_given_options_need_is_chosen(given: dict[str, Any], needed: dict[str, Any]) -> None:
    assert implied(given) == needed
    overrides = chosen(given, MILLION, 300)
    assert overrides.items() >= needed.items()
    Config().override({**given, **overrides})


def test_what_given_options_need_wins_over_a_recipe() -> None:
    for name in RECIPES:
        start = recipe(name)
        for given in (
            {"layer_norm": True},
            {"zoneout": 0.1},
            {"direction": "both"},
            {"schedule": "linear"},
            {"schedule": "cosine", "residual": True},
        ):
            config = Config().override({**start, **implied(given, start), **given})
            assert config.model.num_layers == max(
                start.get("num_layers", 1), 1 + ("layer_norm" in given or "residual" in given)
            )
    assert implied({"schedule": "step"}, recipe("char-rnn")) == {}


def test_a_batch_has_a_window_for_each_process() -> None:
    for processes in (1, 16, 17, 100):
        overrides = choose({}, 10_000, 60, 30_000, processes=processes).overrides
        assert overrides["batch_size"] == max(16, processes)


def test_help_knows_what_is_chosen() -> None:
    fields = [spec for name in SECTIONS for spec in dataclasses.fields(getattr(Config(), name))]
    marked = {spec.name for spec in fields if spec.metadata["chosen"]}
    assert marked == chosen({"minutes": 5.0}, MILLION, 300).keys()


def test_recipes_and_sizes_are_configurations() -> None:
    for overrides in RECIPES.values():
        Config().override(overrides)
    for hidden in SIZES.values():
        Config().override({"hidden_size": hidden})


def test_many_distinct_characters_make_a_larger_model_cost_less() -> None:
    """The softmax, half of the reference's cost here, grows with the units, not their square."""

    def chars(hidden: int, vocab_size: int) -> float:
        given = {"hidden_size": hidden, "minutes": 5.0, "grow": 0.0}
        return choose(given, 10 * MILLION, 300, 30_000, vocab_size=vocab_size).chars

    few, many = SMALL_VOCABULARY, SMALL_VOCABULARY + SOFTMAX_CHARACTERS
    assert chars(768, 0) == chars(768, few)
    assert chars(512, few) == chars(512, many)
    # A cost of 2.2, and the mean of 2.2 and 1.5.
    ratio = (chars(512, few) / chars(768, few), chars(512, many) / chars(768, many))
    assert ratio == pytest.approx((2.2, 1.85), rel=0.1)


@pytest.mark.parametrize(
    ("num_chars", "vocab_size", "weight_decay"),
    [
        (29_900, 300, 0.3),
        (30_000, 300, 0.1),  # 100 for each distinct character
        (20_000, 256, 0.1),  # few distinct characters
    ],
)
def test_a_short_text_with_many_distinct_characters_has_more_weight_decay(
    num_chars: int, vocab_size: int, weight_decay: float
) -> None:
    given = {"minutes": 1.0}
    chosen = choose(given, num_chars, 60, 30_000, vocab_size=vocab_size).overrides
    assert chosen["weight_decay"] == weight_decay
    kept = choose({**given, "weight_decay": 0.2}, num_chars, 60, 30_000, vocab_size=vocab_size)
    assert "weight_decay" not in kept.overrides


def test_a_base_that_knows_the_text_gets_a_lower_rate() -> None:
    def rate(base_loss: float | None, **given: Any) -> Any:
        overrides = choose(given, 10_000, 20, 30_000, base_loss=base_loss).overrides
        return overrides.get("lr")

    assert rate(0.6) < rate(0.9) < rate(1.1) == rate(None)
    assert rate(0.6, lr=0.1) is None
