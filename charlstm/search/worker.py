"""`Worker`, which trains trials one after the other in one process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from charlstm.processors import available_processors
from charlstm.search.control import Control, StopRequestedError
from charlstm.search.events import Began, Ended, Event, Moved, row_of
from charlstm.search.finals import AUTOMATIC, best_trials, missing_runs
from charlstm.search.plan import FINAL_RUNS, SearchPlan, planned_trials
from charlstm.search.proposal import propose
from charlstm.search.record import Record
from charlstm.search.space import Values
from charlstm.search.study import FAULT, FOLDER, OF, SECONDS, SEED, SharedStudy, Task
from charlstm.training.events import Notice

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_POLL_SECONDS = 0.2
_MIN_LOST_SECONDS = 60.0
_LOST_FACTOR = 3.0  # times the longest trial, after which another machine's trial counts as lost


class Worker:
    """Trains trials of a search until all are done.

    Args:
        plan: the plan.
        shared: the studies.
        record: the record of the search.
        control: passes on a request to stop.
        notice: receives messages about what is reduced or skipped.
        moved: receives the progress of a run.
    """

    def __init__(
        self,
        plan: SearchPlan,
        shared: SharedStudy,
        record: Record,
        control: Control,
        notice: Notice,
        moved: Callable[[Moved], None],
    ) -> None:
        self._plan = plan
        self._shared = shared
        self._record = record
        self._control = control
        self._notice = notice
        self._moved = moved
        self._exhausted = False
        self._seen: dict[tuple[str, int], float] = {}  # first time each other trial was seen

    def run(self) -> Iterator[Event]:
        """Train trials, and yield an event for each that begins or ends.

        If a stop is requested, it ends early. The run is saved, and another process resumes it.

        Raises:
            CharlstmError: the storage, the text or a run cannot be used.
        """
        try:
            while (found := self._wait_for_task()) is not None:
                study, task = found
                try:
                    yield from self._work(study, task)
                finally:
                    task.lock.release()
        except StopRequestedError:
            return

    def _work(self, study: str, task: Task) -> Iterator[Event]:
        from charlstm.search.trial import (  # noqa: PLC0415 - torch
            Outcome,
            cpu_threads,
            options_of,
            train_trial,
        )

        shared, record = self._shared, self._record
        yield Began(row_of(shared.trials(study)[task.number]), task.interrupted)
        self._control.check()
        prune = record.prune and study == shared.name
        if prune and task.interrupted and shared.is_to_prune(task, study):
            outcome = Outcome(None, {FAULT: "pruned"})
        else:
            outcome = train_trial(
                self._plan.texts, shared.folder.path,
                options_of(record, task.values, task.attrs.get(SEED, record.seed)),
                task.run, self._control,
                threads=cpu_threads(self._plan.config.jobs, available_processors()),
                notice=self._notice,
                progress=lambda step, total: self._moved(Moved(task.run, step, total)),
                report=(lambda n, nats: shared.report(task, study, n, nats)) if prune else None,
                separate=self._plan.separate,
            )  # fmt: skip
        if outcome.stopped:
            raise StopRequestedError("a stop was requested.")
        shared.finish(task, study, outcome.nats, outcome.attrs)
        yield Ended(row_of(shared.trials(study)[task.number]))

    # ------------------------------------------------------------ what to do next

    def _wait_for_task(self) -> tuple[str, Task] | None:
        """The next task and its study; None if there is nothing left to do.

        Raises:
            StopRequestedError: a stop is requested.
        """
        while True:
            self._control.check()
            with self._shared.folder.exclusive(self._control.check):
                found = self._next_task()
                if found is not None:
                    return found
                waits = self._others_work()
            if not waits:
                return None
            time.sleep(_POLL_SECONDS)

    def _next_task(self) -> tuple[str, Task] | None:
        shared = self._shared
        for study in (shared.name, shared.final_name):
            if (task := shared.adopt(study)) is not None:
                return study, task
        trials = shared.trials(shared.name)
        if self._may_begin(trials) and (task := self._new_trial(trials)) is not None:
            return shared.name, task
        if any(self._is_waited_for(shared.name, trial, trials) for trial in trials):
            return None
        finals = shared.trials(shared.final_name)
        missing = missing_runs(best_trials(trials), finals, self._record.seed)
        if not missing:
            return None
        number, seed = missing[0]
        task = shared.begin(
            shared.final_name, lambda _: f"trial-{number:04d}-seed-{seed}",
            dict(trials[number].params),
            self._record, attrs={OF: number, SEED: seed},
        )  # fmt: skip
        return shared.final_name, task

    def _new_trial(self, trials: Sequence[FrozenTrial]) -> Task | None:
        """A new trial, the first with the automatic choice; None if all points were tried."""
        record, number = self._record, len(trials)
        if number == AUTOMATIC:
            names = [one.name for one in record.space.dimensions]
            automatic: Values = {name: record.automatic[name] for name in names
                                 if name in record.automatic}  # fmt: skip
            # Outside the space, a sampler cannot use its values.
            values = automatic if automatic in record.space else {}
            return self._shared.begin(self._shared.name, _run_name, values, record)
        shared_values = {**record.automatic, **record.given}
        found = propose(record.space, trials, self._plan.config.sampler, record.seed, shared_values)
        if found is None:
            self._exhausted = True
            return None
        return self._shared.begin(
            self._shared.name, _run_name, found.values, record,
            system_attrs=found.system_attrs,
        )  # fmt: skip

    def _may_begin(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the budget has room for another trial."""
        config = self._plan.config
        if self._exhausted or len(trials) >= planned_trials(self._plan, self._record):
            return False
        if not config.minutes or self._record.minutes:
            return True
        # Trials with a number of epochs: use the measured time of previous trials.
        spent = sum(trial.user_attrs.get(SECONDS, 0.0) for trial in trials)
        running = sum(map(SharedStudy.is_running, trials))
        needed = (running + 1 + FINAL_RUNS) * _longest(trials)
        return bool(spent + needed <= 60 * config.minutes * config.jobs)

    # ------------------------------------------------------------ other processes

    def _others_work(self) -> bool:
        """Whether this process has to wait for a running trial."""
        shared = self._shared
        return any(
            self._is_waited_for(study, trial, trials)
            for study in (shared.name, shared.final_name)
            for trials in [shared.trials(study)]
            for trial in trials
        )

    def _is_waited_for(self, study: str, trial: FrozenTrial, trials: Sequence[FrozenTrial]) -> bool:
        """Whether a trial is running and expected to end.

        A process of this folder holds the trial's lock. The state of another machine's trial is
        unknown, so the wait is limited by `_LOST_FACTOR`.
        """
        if not self._shared.is_running(trial):
            return False
        if trial.user_attrs.get(FOLDER) == self._shared.folder.id:
            return True
        now = time.monotonic()
        since = self._seen.setdefault((study, trial.number), now)
        budget = max(_longest(trials), 60 * self._record.minutes)
        return now - since < max(_MIN_LOST_SECONDS, _LOST_FACTOR * budget)


def _longest(trials: Sequence[FrozenTrial]) -> float:
    """The longest duration of a trial, in seconds."""
    return max((trial.user_attrs.get(SECONDS, 0.0) for trial in trials), default=0.0)


def _run_name(number: int) -> str:
    return f"trial-{number:04d}"
