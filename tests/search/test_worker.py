"""A search's folder, and what a worker does beside others."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charlstm.config import SearchConfig
from charlstm.errors import SearchError
from charlstm.search import folder as folders
from charlstm.search import worker as workers
from charlstm.search.control import Control, StopRequestedError
from charlstm.search.folder import SearchFolder
from charlstm.search.study import SharedStudy
from charlstm.search.worker import Worker
from tests.search.test_storage import NAME, record, study_in


def worker_of(shared: SharedStudy, minutes: float = 0.0, control: Any = None) -> Worker:
    """A worker of a search in epochs, by time if `minutes` are given."""
    plan: Any = SimpleNamespace(config=SearchConfig(minutes=minutes, trial_epochs=1))
    return Worker(plan, shared, record(), control or Control(), lambda _: None, lambda _: None)


def test_two_processes_take_turns(tmp_path: Path) -> None:
    first, second = SearchFolder(tmp_path), SearchFolder(tmp_path)
    assert (first.alone, second.alone) == (True, False)
    assert first.id == second.id
    lock = first.take("ask")
    assert lock is not None
    waited: list[int] = []

    def check() -> None:
        assert lock is not None
        waited.append(1)
        lock.release()

    with second.exclusive(check):
        assert first.take("ask") is None
    assert waited == [1]
    first.close()
    second.close()


def a_file(path: Path) -> None:
    (path / ".locks").touch()


def a_folder(path: Path) -> None:
    (path / ".folder-id").mkdir()


@pytest.mark.parametrize(
    ("prepare", "words"),
    [(a_file, "cannot create .*Not a directory"), (a_folder, "cannot read .*Is a directory")],
)
def test_a_folder_of_another_kind(
    prepare: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    prepare(tmp_path)
    with pytest.raises(SearchError, match=words):
        SearchFolder(tmp_path)


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(folders, "replace_file", fail)
    with pytest.raises(SearchError, match=r"cannot write .*folder-id: No space left"):
        SearchFolder(tmp_path)


def test_a_worker_waits_for_the_trial_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left to begin; a stop ends the wait."""
    study, other = study_in(tmp_path), study_in(tmp_path)
    task = other.begin("x", NAME, {"cell": "lstm"}, record())
    control = Control()
    worker = worker_of(study, control=control)
    worker._exhausted = True
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        control.stopping = len(slept) == 2

    monkeypatch.setattr(workers, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
    assert list(worker.run()) == []
    assert slept == [workers._POLL_SECONDS] * 2
    task.lock.release()
    for one in (study, other):
        one.folder.close()


def test_another_machine_s_trial_is_waited_for_until_it_counts_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three times the longest trial, of 30 seconds: a minute is the least, 90 seconds are more."""
    here, there = study_in(tmp_path), study_in(tmp_path)
    there.folder.id = "another"
    now = 1000.0
    monkeypatch.setattr(workers, "time", SimpleNamespace(monotonic=lambda: now))
    worker = worker_of(here)
    task = here.begin("x", NAME, {"cell": "lstm"}, record())
    here.finish(task, "x", 2.0, {"seconds": 10.0})
    lost = there.begin("x", NAME, {"cell": "coupled"}, record())
    assert worker._others_work()
    now += 59.0
    assert worker._others_work()
    now += 2.0
    assert not worker._others_work()
    task = here.begin("x", NAME, {"cell": "coupled"}, record())
    here.finish(task, "x", 2.0, {"seconds": 30.0})
    assert worker._others_work()
    now += 30.0
    assert not worker._others_work()
    lost.lock.release()
    for one in (here, there):
        one.folder.close()


def test_trials_by_epochs_leave_time_for_the_final_runs(tmp_path: Path) -> None:
    """One trial of 10 seconds: the next, and 8 final runs, take 90 more."""
    study = study_in(tmp_path)
    task = study.begin("x", NAME, {"cell": "lstm"}, record())
    study.finish(task, "x", 2.0, {"seconds": 10.0})
    trials = study.trials("x")
    assert worker_of(study, 100 / 60)._may_begin(trials)
    assert not worker_of(study, 99 / 60)._may_begin(trials)
    running = study.begin("x", NAME, {"cell": "coupled"}, record())
    assert not worker_of(study, 100 / 60)._may_begin(study.trials("x"))
    running.lock.release()
    study.folder.close()


def test_a_stop_between_trials_begins_none(tmp_path: Path) -> None:
    study, control = study_in(tmp_path), Control()
    control.request_stop()
    assert list(worker_of(study, control=control).run()) == []
    assert study.trials("x") == []
    with pytest.raises(StopRequestedError):
        control.check()
    study.folder.close()
