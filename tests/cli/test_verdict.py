from __future__ import annotations

import pytest

from charlstm.cli.verdict import verdict

Course = list[dict[str, float | None]]


def course(*nats: float, train: float = 1.4, every: int = 100) -> Course:
    return [
        {"step": every * n, "epoch": n, "train_nats": train, "val_nats": value,
         "average_nats": None}
        for n, value in enumerate(nats, 1)
    ]  # fmt: skip


def judged(history: Course, *, units: int = 512, ended: bool = True) -> str:
    return verdict(history, units, "minutes", ended=ended)


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (
            course(2.0, 1.7, 1.5),
            ["Final training loss 1.4000, validation loss 1.5000", "still falling: more minutes"],
        ),
        (course(2.0, 1.5, 1.499), ["no longer falling: a larger --size"]),
        (course(1.8, 1.6, 1.55, 1.58), ["overfits", "lowest in epoch 3", "kept as the best"]),
        (course(1.6, 1.5, 1.7, 1.9, 2.0), ["epoch 2", "too little text", "smaller --size"]),
        (course(1.9, 1.8, 1.75), ["much better than the validation part", "more text"]),
        (course(1.9), ["training loss 1.4000", "too few evaluations"]),
    ],
)
def test_a_course_in_a_sentence(history: Course, words: list[str]) -> None:
    for word in words:
        assert word in judged(history)


def test_a_trend_is_not_that_of_two_neighbours() -> None:
    """The last two of 31 evaluations are equal; those of the run's last tenth are not."""
    falling = [3.0 - 0.05 * n for n in range(30)]
    assert "still falling" in judged(course(*falling, falling[-1], train=1.5))
    assert "still falling" in judged([*course(1.9, 1.6), *course(1.6, every=201)])
    assert "too few evaluations" in judged([*course(1.6, every=200), *course(1.6, every=201)])


def test_a_run_that_was_better_before_is_not_still_improving() -> None:
    assert "no longer falling" in judged(course(2.0, 1.6, 1.499, 1.501))


def test_too_little_text_only_where_the_best_came_early() -> None:
    assert "too little" not in judged(course(1.8, 1.6, 1.55, 1.58))


def test_no_size_is_named_that_there_is_not() -> None:
    assert "--size" not in judged(course(2.0, 1.5, 1.499), units=1024)
    overfitted = judged(course(1.6, 1.5, 1.7, 1.9, 2.0), units=128)
    assert "too little text for this size: more --dropout" in overfitted


def test_before_its_end_a_run_is_not_judged() -> None:
    assert judged(course(2.0, 1.5, 1.499), ended=False) == (
        "At step 300: training loss 1.4000, validation loss 1.4990 nats per character."
    )


def test_the_average_counts_where_it_is_better() -> None:
    history = course(1.6, 1.5)
    history[-1]["average_nats"] = 1.45
    assert "validation loss 1.4500" in judged(history)


def test_nothing_to_say_without_validation() -> None:
    history = course(1.6)
    history[0]["val_nats"] = None
    assert judged(history) == judged([]) == ""


def test_losses_that_both_rise_are_not_overfitting() -> None:
    history = course(2.0, 1.8, 2.1)
    history[-1]["train_nats"] = 1.9
    assert "unstable" in judged(history)
    assert "--lr" in judged(history)
    assert "overfits" not in judged(history)
    history[-1]["train_nats"] = 1.42
    assert "overfits" in judged(history)


def test_another_kind_of_text_at_the_end_is_told_from_overfitting() -> None:
    asked = []

    def other_tail() -> bool:
        asked.append(True)
        return True

    def told(history: Course) -> str:
        return verdict(history, 512, "minutes", ended=True, other_tail=other_tail)

    early = told(course(6.2, 7.1, 8.0, 9.1))
    assert "differs from the rest" in early
    assert "epoch 1" in early
    assert "--split blocks" in early
    assert "dropout" not in early
    assert "overfits" not in early
    assert "--split blocks" in told(course(3.0, 2.5, 2.2))  # far above the training loss
    del asked[:]
    assert "--split" not in told(course(1.8, 1.6, 1.5))
    unstable = course(2.0, 1.8, 2.1)
    unstable[-1]["train_nats"] = 1.9
    assert "unstable" in told(unstable)
    assert not asked, "it takes time: it is only asked where the validation loss is high"


def started(start: float, *nats: float) -> Course:
    """A course of a fine-tuned run, which is evaluated before its first step."""
    first = {"step": 0, "epoch": 0, "train_nats": None, "val_nats": start, "average_nats": None}
    return [first, *course(*nats, train=1.5)]


def test_what_a_run_gained_from_its_base() -> None:
    def said(history: Course, unigram: float | None = 3.0) -> str:
        return verdict(history, 512, "minutes", ended=True, unigram=unigram)

    gained = said(started(2.0, 1.8, 1.6, 1.5))
    assert "The base reached 2.0000 on this text; fine-tuning gained 0.5000 nats." in gained
    assert "still falling" in gained
    assert "--from" not in gained
    unlike = said(started(3.1, 1.8, 1.6, 1.5))
    assert "character frequencies alone give 3.0000" in unlike
    assert "without --from, may be better" in unlike
    assert "--from" not in said(started(3.1, 1.8, 1.6, 1.5), None)
    worse = said(started(1.4, 1.8, 1.6, 1.5))
    assert "did not help: the base itself reaches 1.4000" in worse
    assert "The base reached" not in worse
    assert "still falling" not in worse


def test_a_fine_tuned_run_without_a_trend() -> None:
    assert "too few evaluations" in judged(started(2.0, 1.5))
    assert judged(started(2.0)) == "Before training: validation loss 2.0000 nats."
    assert judged(started(2.0, 1.5), ended=False).startswith("At step 100: training loss")
