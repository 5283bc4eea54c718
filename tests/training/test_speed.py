"""The measurement of training speed, with measurements that take a moment."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from charlstm.config import Config
from charlstm.training import speed
from charlstm.training.process_group import ProcessGroup
from charlstm.training.speed import fastest_count, speed_of

SMALL = Config().override(
    {"hidden_size": 8, "num_layers": 1, "batch_size": 4, "maxlen": 8, "precision": "float32",
     "kernel": "torch", "threads": 1}
)  # fmt: skip


def test_a_single_process_is_the_fastest_number_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_MEASURE_SECONDS", 0.001)
    count, speeds = fastest_count(ProcessGroup(), SMALL, 20)
    assert count == 1
    assert speeds.keys() == {1}
    assert speeds[1] > 0


class Group(ProcessGroup):
    """The leader of three processes, the other two of which take no time."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 3
        self.asked: list[int] = []

    def first(self, count: int) -> ProcessGroup | None:
        self.asked.append(count)
        return ProcessGroup()


def test_the_number_with_the_most_characters_in_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Powers of two, and all; 4 streams of 8 characters in the seconds of each."""
    seconds = iter([0.5, 0.25, 1.0])
    monkeypatch.setattr(speed, "_seconds_of_steps", lambda *_: next(seconds))
    group = Group()
    assert fastest_count(group, SMALL, 20) == (2, {1: 64.0, 2: 128.0, 3: 32.0})
    assert group.asked == [1, 2, 3]
    # Two streams are not divided among three processes.
    seconds = iter([0.5, 0.25])
    group = Group()
    assert fastest_count(group, SMALL.override({"batch_size": 2}), 20)[0] == 2
    assert group.asked == [1, 2]


def test_the_speed_is_that_of_the_fastest_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 2, 0.5 and 0.25 seconds: the first includes set-up."""
    monkeypatch.setattr(speed, "_MEASURE_SECONDS", 0.7)
    times = iter([0.0, 2.0, 10.0, 10.5, 20.0, 20.25])
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(times)))
    assert speed_of(SMALL, 20, torch.device("cpu")) == 4 * 8 / 0.25
