"""The studies of a search in Optuna's storage, and the assignment of trials to processes.

A trial is stored at once, in state RUNNING, with its values, the name of its run and the identity
of the run's folder. The process that trains it holds a lock with the run's name. A running trial of
this folder without a held lock was interrupted, and its run is resumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charlstm.errors import SearchError
from charlstm.runs.lock import RunLock
from charlstm.search.folder import SearchFolder
from charlstm.search.record import RECORD, SHA256, Record
from charlstm.search.space import Values
from charlstm.search.storage import (
    load_optuna,
    open_storage,
    shown_storage,
    storage_errors,
)

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

RUN, FOLDER, SECONDS, FAULT = "run", "folder", "seconds", "fault"
OF, SEED = "trial", "seed"  # of a final run
"""Keys of a trial's user attributes."""
_POLL_SECONDS = 0.05
_RECORD_SECONDS = 10  # maximum time of another process between creating a study and its record


@dataclass(frozen=True)
class Task:
    """A trial that this process works on.

    Attributes:
        number: the trial's number in its study.
        values: the values of the options that are searched, by field.
        attrs: the trial's user attributes.
        lock: the lock of the run.
        interrupted: whether another process began the trial.
    """

    number: int
    values: Values
    attrs: Mapping[str, Any]
    lock: RunLock
    interrupted: bool

    @property
    def run(self) -> str:
        """The name of its run."""
        return str(self.attrs[RUN])


class SharedStudy:
    """The two studies of a search: the trials, and the final runs with other seeds.

    Args:
        folder: the search's folder.
        url: the storage; None: the journal in `folder`.
        name: the search's name.

    Raises:
        SearchError: the storage cannot be used.
    """

    def __init__(self, folder: SearchFolder, url: str | None, name: str) -> None:
        self.folder = folder
        self._url = url
        self.name = name
        self._storage = open_storage(folder.path, url, alone=folder.alone)
        self._studies: dict[str, Study] = {}

    @property
    def place(self) -> str:
        """The search, for messages."""
        where = shown_storage(self.folder.path, self._url) if self._url else self.folder.path
        return f"the search {self.name!r} in {where}"

    def errors(self) -> Any:
        """A context that raises the storage's errors as `SearchError`."""
        return storage_errors(self.folder.path, self._url)

    # ------------------------------------------------------------ the record

    def record(self) -> Record | None:
        """The search's record; None if there is none yet.

        Raises:
            SearchError: the storage cannot be used, or the record is not readable.
        """
        with self.errors():
            try:
                study = self._load(self.name)
            except KeyError:
                return None
            deadline = time.monotonic() + _RECORD_SECONDS
            while RECORD not in (attrs := study.user_attrs):
                # Another machine may have just created the study.
                if self._url is None or time.monotonic() > deadline:
                    return None
                time.sleep(_POLL_SECONDS)
        return Record.from_json(attrs[RECORD])

    def create(self, record: Record) -> None:
        """Create the studies, and store the record; the caller is in `SearchFolder.exclusive`.

        Raises:
            SearchError: the storage cannot be used.
        """
        optuna = load_optuna()
        with self.errors():
            for name in (self.name, self.final_name):
                optuna.create_study(
                    storage=self._storage, study_name=name, load_if_exists=True,
                    sampler=optuna.samplers.RandomSampler(),
                )  # fmt: skip
            study = self._load(self.name)
            study.set_user_attr(SHA256, record.sha256)
            study.set_user_attr(RECORD, record.to_json())

    @property
    def final_name(self) -> str:
        """Name of the study of final runs."""
        return f"{self.name}-final"

    def _load(self, name: str) -> Study:
        """A study by name.

        Raises:
            KeyError: there is none.
        """
        if name not in self._studies:
            optuna = load_optuna()
            self._studies[name] = optuna.load_study(
                study_name=name, storage=self._storage,
                sampler=optuna.samplers.RandomSampler(),  # never used, see `propose`
                pruner=optuna.pruners.MedianPruner(n_startup_trials=4, n_warmup_steps=1),
            )  # fmt: skip
        return self._studies[name]

    def attribute(self, key: str) -> Any:
        """A user attribute of the study; None if it is not set."""
        with self.errors():
            return self._load(self.name).user_attrs.get(key)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set a user attribute of the study."""
        with self.errors():
            self._load(self.name).set_user_attr(key, value)

    # ------------------------------------------------------------ trials

    def trials(self, study: str) -> list[FrozenTrial]:
        """All trials of a study, in order.

        Raises:
            SearchError: the storage cannot be used.
        """
        with self.errors():
            return self._load(study).get_trials(deepcopy=False)

    def adopt(self, study: str) -> Task | None:
        """An interrupted trial of this folder; None if there is none.

        The caller is in the context `SearchFolder.exclusive`.
        """
        for trial in self.trials(study):
            if not self.is_running(trial) or trial.user_attrs.get(FOLDER) != self.folder.id:
                continue
            if (lock := self.folder.take(str(trial.user_attrs[RUN]))) is not None:
                return Task(trial.number, dict(trial.params), trial.user_attrs, lock, True)
        return None

    def begin(
        self,
        study: str,
        run_name: Callable[[int], str],
        values: Values,
        record: Record,
        *,
        attrs: Mapping[str, Any] | None = None,
        system_attrs: Mapping[str, Any] | None = None,
    ) -> Task:
        """Store a new trial, and take its lock; the caller is in `SearchFolder.exclusive`.

        Args:
            study: the study's name.
            run_name: makes the name of the run from the trial's number.
            values: the values of the options that are searched; empty outside the space.
            record: the record of the search.
            attrs: further user attributes.
            system_attrs: Optuna's system attributes, set by the sampler.

        Raises:
            SearchError: the storage cannot be used, or the run's lock is held.
        """
        optuna = load_optuna()
        run = run_name(len(self.trials(study)))
        lock = self._take(run)
        user = {RUN: run, FOLDER: self.folder.id, **(attrs or {})}
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=values,
            distributions=record.space.distributions() if values else {},
            user_attrs=user,
            system_attrs=dict(system_attrs or {}),
        )
        with self.errors():
            self._load(study).add_trial(template)
        trial = next(
            trial
            for trial in reversed(self.trials(study))
            if trial.user_attrs.get(RUN) == run and trial.user_attrs.get(FOLDER) == self.folder.id
        )
        if (name := run_name(trial.number)) != run:
            # Another machine has stored a trial since they were counted.
            lock.release()
            lock, user = self._take(name), {**user, RUN: name}
            with self.errors():
                self._storage.set_trial_user_attr(trial._trial_id, RUN, name)
        return Task(trial.number, values, user, lock, False)

    def _take(self, run: str) -> RunLock:
        """The lock of a run.

        Raises:
            SearchError: another process holds it.
        """
        lock = self.folder.take(run)
        if lock is None:
            raise SearchError(
                f"another process is training {self.folder.path / run}.\nWait for it."
            )
        return lock

    def report(self, task: Task, study: str, epoch: int, nats: float) -> bool:
        """Store a trial's loss after an epoch; returns whether to prune it."""
        with self.errors():
            trial = self._live(task, study)
            if epoch not in self.trials(study)[task.number].intermediate_values:
                trial.report(nats, epoch)
            return bool(trial.should_prune())

    def is_to_prune(self, task: Task, study: str) -> bool:
        """Whether to prune a trial, according to the reported losses."""
        with self.errors():
            return bool(self._live(task, study).should_prune())

    def _live(self, task: Task, study: str) -> Any:
        optuna = load_optuna()
        trial = self.trials(study)[task.number]
        return optuna.trial.Trial(self._load(study), trial._trial_id)

    def finish(self, task: Task, study: str, nats: float | None, attrs: Mapping[str, Any]) -> None:
        """Store a trial's result, and release its lock.

        Args:
            task: the trial.
            study: the study's name.
            nats: its loss; None without one, which counts as worse than all others.
            attrs: user attributes.

        Raises:
            SearchError: the storage cannot be used.
        """
        optuna = load_optuna()
        states = optuna.trial.TrialState
        with self.errors():
            loaded = self._load(study)
            trial_id = self.trials(study)[task.number]._trial_id
            for key, value in attrs.items():
                self._storage.set_trial_user_attr(trial_id, key, value)
            state = states.PRUNED if nats is None else states.COMPLETE
            loaded.tell(task.number, nats, state=state, skip_if_finished=True)
        task.lock.release()

    @staticmethod
    def is_running(trial: FrozenTrial) -> bool:
        """Whether a trial has begun and not ended."""
        return trial.state.name == "RUNNING"

    @staticmethod
    def is_complete(trial: FrozenTrial) -> bool:
        """Whether a trial has a result."""
        return trial.state.name == "COMPLETE"
