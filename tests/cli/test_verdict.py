from __future__ import annotations

import pytest

from charlstm.cli.verdict import verdict


def course(*nats: float, train: float = 1.4) -> list[dict[str, float | None]]:
    return [
        {"step": 100 * n, "epoch": n, "train_nats": train, "val_nats": value, "average_nats": None}
        for n, value in enumerate(nats, 1)
    ]


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (course(2.0, 1.7, 1.5), ["train 1.4000, validation 1.5000", "still improving"]),
        (course(2.0, 1.5, 1.499), ["level at the end"]),
        (course(1.8, 1.6, 1.55, 1.58), ["overfits from epoch 3", "best is kept"]),
        (course(1.6, 1.5, 1.7, 1.9, 2.0), ["from epoch 2", "too little text"]),
        (course(1.9, 1.8, 1.75), ["known by heart"]),
        (course(1.9), ["no trend"]),
    ],
)
def test_a_course_in_a_sentence(history: list[dict[str, float | None]], words: list[str]) -> None:
    for word in words:
        assert word in verdict(history)


def test_too_little_text_only_where_the_best_came_early() -> None:
    assert "too little" not in verdict(course(1.8, 1.6, 1.55, 1.58))


def test_the_average_counts_where_it_is_better() -> None:
    history = course(1.6, 1.5)
    history[-1]["average_nats"] = 1.45
    assert "validation 1.4500" in verdict(history)


def test_nothing_to_say_without_validation() -> None:
    history = course(1.6)
    history[0]["val_nats"] = None
    assert verdict(history) == verdict([]) == ""
