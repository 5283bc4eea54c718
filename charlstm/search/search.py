"""`Search`, an iterator of the events of a search."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from charlstm.errors import SearchError
from charlstm.format.files import make_folders
from charlstm.search.control import Control
from charlstm.search.events import Event, Moved, Row, row_of
from charlstm.search.folder import SearchFolder
from charlstm.search.plan import (
    SearchPlan,
    digest_of,
    load_text,
    new_record,
    planned_trials,
)
from charlstm.search.record import Record
from charlstm.search.study import SharedStudy
from charlstm.training.events import Notice

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Search:
    """A new or continued search, as an iterator of events, see `charlstm.search.events`.

    Args:
        plan: the plan. An existing search with its name is continued.
        control: passes on a request to stop.
        notice: receives messages about what is chosen, reduced or skipped.
        moved: receives the progress of the run that this process trains.

    Raises:
        SearchError: Optuna is not installed, the storage cannot be used, or the search of that
            name has another text or other options.
        CharlstmError: the text cannot be read, or the automatic choice cannot be trained.
    """

    def __init__(
        self,
        plan: SearchPlan,
        control: Control,
        notice: Notice,
        moved: Callable[[Moved], None] = lambda _event: None,
    ) -> None:
        self.plan = plan
        self._control = control
        self._notice = notice
        self._moved = moved
        existed = os.path.lexists(plan.folder)
        try:
            make_folders(plan.folder)
        except OSError as error:
            raise SearchError(
                f"cannot create the search's folder {plan.folder}: {error.strerror or error}.\n"
                "Give another --runs-dir."
            ) from error
        self.folder = SearchFolder(plan.folder)
        try:
            if not self.folder.has_locks and plan.config.jobs > 1:
                raise SearchError(
                    f"--jobs {plan.config.jobs}: the file system of {plan.folder} has no locks.\n"
                    "Give a --runs-dir on another one, or omit --jobs."
                )
            self.shared = SharedStudy(self.folder, plan.config.storage, plan.name)
            self.record, self.continues = self._record()
        except BaseException:
            self.folder.close(remove=not existed)
            raise

    def _record(self) -> tuple[Record, bool]:
        """The search's record, and whether it existed."""
        plan, sha256 = self.plan, digest_of(load_text(self.plan))
        with self.folder.exclusive(self._control.check):
            found = self.shared.record()
            if found is not None:
                wanted = Record(
                    sha256, plan.given, {}, plan.config.tries, plan.space,
                    plan.config.trial_minutes, plan.config.trial_epochs, plan.config.seed,
                    plan.config.prune,
                )  # fmt: skip
                found.check(wanted, self.shared.place)
                return found, True
            record = new_record(plan, sha256, self._notice)
            self.shared.create(record)
            return record, False

    def __iter__(self) -> Iterator[Event]:
        """Train trials, and then the best ones with other seeds.

        Raises:
            CharlstmError: the storage, the text or a run cannot be used.
        """
        if self.plan.config.jobs > 1:
            from charlstm.search.processes import run_workers  # noqa: PLC0415 - when used

            yield from run_workers(self.plan, self._control)
            return
        from charlstm.search.worker import Worker  # noqa: PLC0415 - torch

        worker = Worker(
            self.plan, self.shared, self.record, self._control, self._notice, self._moved
        )
        yield from worker.run()

    @property
    def planned_trials(self) -> float:
        """The number of trials, without the final runs; inf if it is not known in advance."""
        return min(planned_trials(self.plan, self.record), self.record.space.size() + 1)

    @property
    def outside(self) -> list[str]:
        """The options whose automatic choice is outside the space, as flags."""
        return self.record.space.outside(self.record.automatic)

    def trials(self) -> list[FrozenTrial]:
        """All trials, in order."""
        return self.shared.trials(self.shared.name)

    def finals(self) -> list[FrozenTrial]:
        """All final runs, in the order in which they began."""
        return self.shared.trials(self.shared.final_name)

    def rows(self) -> Sequence[Row]:
        """All trials, then all final runs."""
        return [row_of(trial) for trial in (*self.trials(), *self.finals())]
