from __future__ import annotations

import pytest

from charlstm.training.clock import Clock


def test_time_is_divided() -> None:
    clock = Clock(100.0)
    assert clock.end == 96
    clock.looked(0.0, 2.0)
    clock.save = 0.5
    assert clock.end == 97
    assert clock.share(48.5) == pytest.approx(0.5)
    assert clock.share(97) == clock.share(1000) == 1


def test_looks_are_spread_and_leave_the_end_alone() -> None:
    clock = Clock(100.0)
    clock.looked(0.0, 0.1)
    looks = []
    for tenth in range(1000):
        if clock.may_look(tenth / 10, tenth / 1000):
            looks.append(tenth / 10)
            clock.looked(tenth / 10, 0.1)
    assert looks == pytest.approx([10, 20, 30, 40, 50, 60, 70, 80, 90], abs=0.2)
    clock = Clock(100.0)
    clock.looked(0.0, 4.0)  # a twentieth of the time at most
    assert [t for t in range(100) if clock.may_look(t, t / 100)] == []


def test_looks_are_spread_over_a_run_that_ends_before_its_time() -> None:
    """Its epochs take 10 seconds of the hour that it has, after 30 for getting ready."""
    clock = Clock(3600.0)
    clock.look = 0.01
    clock.begin(30.0, 0.0)
    looks = []
    for hundredth in range(1, 1000):
        if clock.may_look(30 + hundredth / 100, hundredth / 1000):
            looks.append(hundredth / 100)
            clock.looked(30 + hundredth / 100, 0.01)
    assert looks == pytest.approx(range(1, 10), abs=0.2)


def test_no_time_at_all() -> None:
    clock = Clock(1.0)
    clock.save = 2.0
    assert clock.end == 0
    assert clock.share(0.0) == 1
