"""Training beside other programs: when threads sleep, what is logged, and the bits."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from charlstm.nn import openmp
from charlstm.nn.openmp import sleeps_while_waiting
from charlstm.processors import affinity
from charlstm.training import waiting
from charlstm.training.events import Stepped
from charlstm.training.load import CpuUse
from charlstm.training.waiting import LoadWatch, must_sleep
from tests.training.common import Start, assert_same_end

linux = pytest.mark.skipif(sys.platform != "linux", reason="others have no /proc/stat")


@pytest.fixture
def busy_processes() -> Iterator[None]:
    """An endless loop for each processor but one."""
    code = "while True: pass"
    loops = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(affinity() - 1)]
    yield
    for loop in loops:
        loop.kill()
        loop.wait()


@pytest.mark.parametrize(
    ("others", "count", "threads", "from_spinning", "from_sleeping"),
    [
        (0.0, 2, 2, False, False),
        (0.3, 2, 2, False, True),  # between the bounds nothing changes
        (0.7, 2, 2, True, True),
        (2.0, 2, 1, False, False),  # a thread alone waits for none
        (6.0, 16, 8, False, False),  # there is a processor for each
        (9.0, 16, 8, True, True),
    ],
)
def test_when_threads_sleep(
    others: float, count: int, threads: int, from_spinning: bool, from_sleeping: bool
) -> None:
    assert must_sleep(others, count, threads, sleeping=False) == from_spinning
    assert must_sleep(others, count, threads, sleeping=True) == from_sleeping


def test_threads_sleep_while_others_are_busy(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measured at moments that are given: one of two processors is used from 1 s to 2 s."""
    use = {0.0: 0.0, 1.0: 0.1, 1.1: 9.9, 2.0: 1.1, 3.0: 1.2}
    clock = iter(use)
    now = 0.0
    monkeypatch.setattr(waiting, "affinity", lambda: 2)
    monkeypatch.setattr("time.monotonic", lambda: now)
    monkeypatch.setattr(CpuUse, "now", lambda: CpuUse(now, use[now], 0.0, None))
    watch = LoadWatch()
    found = []
    for now in clock:  # noqa: B007 - the clock reads it
        watch.check()
        found.append((watch.others, sleeps_while_waiting() or not openmp._is_gnu()))
    asleep = not openmp._is_gnu()
    assert [sleeps for _, sleeps in found] == [asleep, asleep, asleep, True, asleep]
    assert [others for others, _ in found] == [
        None, *(pytest.approx(value) for value in (0.1, 0.1, 1.0, 0.1))
    ]  # fmt: skip


def test_nothing_is_adapted_where_the_load_is_not_known(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = LoadWatch()
    monkeypatch.setattr(waiting, "_INTERVAL", 0.0)
    monkeypatch.setattr(CpuUse, "now", lambda: CpuUse(time.monotonic(), None, 0.0, 9.0))
    watch.check()
    assert watch.others is None
    assert not sleeps_while_waiting()


@linux
@pytest.mark.skipif(affinity() < 2, reason="needs two processors")
def test_a_run_beside_busy_programs(
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    two_threads: None,
) -> None:
    """The log shows the load, threads sleep, and the bits are those of a run that spins."""
    options = {"threads": 2, "kernel": "compiled", "hidden_size": 16, "log_every": 1, "epochs": 1}
    with monkeypatch.context() as patch:
        patch.setattr(LoadWatch, "check", lambda _self: None)
        alone = start("alone", **options)
        for _ in alone.train():
            pass
    assert {line["others"] for line in alone.run.metrics.read()} == {None}
    request.getfixturevalue("busy_processes")
    monkeypatch.setattr(waiting, "_INTERVAL", 0.03)
    beside = start("beside", **options)
    slept = []
    for event in beside.train():
        if isinstance(event, Stepped):
            slept.append(sleeps_while_waiting())
            time.sleep(0.02)
    assert openmp._is_gnu() == any(slept)
    assert not sleeps_while_waiting()
    lines = list(beside.run.metrics.read())
    assert {line["threads"] for line in lines} == {2}
    assert max(line["others"] or 0.0 for line in lines) > 0.3
    assert_same_end(alone, beside)
