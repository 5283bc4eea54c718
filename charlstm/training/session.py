"""A training from its plan to its result, for the command line and `charlstm.train`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from charlstm.config import Config
from charlstm.errors import ConfigError, DistributedError, RunError
from charlstm.planner.no_effect import without_effect
from charlstm.planner.rules import Choice
from charlstm.text.corpus import ReadingProgress
from charlstm.training.distributed import join_group, leave_group
from charlstm.training.events import Compiling, Event, Notice, Stopped
from charlstm.training.loop import Trainer
from charlstm.training.plan import TrainPlan
from charlstm.training.rank import rank_from_environment
from charlstm.training.replicate import receive_run
from charlstm.training.result import TrainedRun
from charlstm.training.resume import resume_run
from charlstm.training.setup import new_run


def log_notice(text: str) -> None:
    """Log a notice with the logger `charlstm`."""
    logging.getLogger("charlstm").info(text)


@dataclass(frozen=True)
class Callbacks:
    """Callbacks during set-up.

    Attributes:
        notice: receives messages, such as what was chosen automatically, reduced or skipped.
        warning: receives messages about damaged checkpoints and changes when resuming a run.
        details: receives a line for each file of a folder that is read or skipped; None: no lines.
        reading: receives the progress of reading the text.
        choice: receives the configuration after the automatic choice, and the reasons.
        compiling: receives the progress of compilation.
        ready: called with the trainer at the end of the set-up.
    """

    notice: Notice = log_notice
    warning: Notice = log_notice
    details: Notice | None = None
    reading: ReadingProgress | None = None
    choice: Callable[[Config, Choice], None] | None = None
    compiling: Callable[[Compiling], None] | None = None
    ready: Callable[[Trainer], None] | None = None


class Training:
    """A training in progress: an iterator of events, see `charlstm.training.events`.

    Args:
        trainer: the trainer after its set-up.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self._stopped = ""
        self._events = self._run()

    def __iter__(self) -> Iterator[Event]:
        return self._events

    def __next__(self) -> Event:
        return next(self._events)

    def _run(self) -> Iterator[Event]:
        for event in self.trainer.train():
            if isinstance(event, Stopped):
                self._stopped = event.reason
            yield event
        leave_group()

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.trainer.run.folder

    def stop(self) -> None:
        """Request to finish the step, save, and end; thread-safe, also in signal handlers."""
        self.trainer.request_stop()

    @property
    def result(self) -> TrainedRun:
        """The result of the training.

        Raises:
            RunError: the training has not ended.
        """
        if not self._stopped:
            raise RunError("the training has not ended: iterate over its events first.")
        return TrainedRun.from_progress(
            self.folder, self._stopped, self.trainer.progress, self.trainer.stopwatch.seconds
        )


def start(plan: TrainPlan, callbacks: Callbacks | None = None) -> Training:
    """Read the text, set up the run, and send it to the workers that torchrun has started.

    Raises:
        CharlstmError: a subclass for the kind of error.
    """
    to = callbacks or Callbacks()
    for message in plan.base.warnings if plan.base is not None else ():
        to.warning(message)
    if plan.run is None:
        for message in without_effect(plan.config, plan.given):
            to.notice(message)
    group = join_group(to.notice)
    wanted = plan.given.get("processes", 0)
    if wanted > 1 and wanted != group.size:
        raise ConfigError(
            f"--processes {wanted} needs torchrun. From Python, start the program with "
            f"torchrun --nproc-per-node {wanted}."
            if group.size == 1
            else f"--processes {wanted} contradicts torchrun, which started {group.size}. Omit it, "
            "or start charlstm without torchrun."
        )
    if plan.run is not None:
        trainer = resume_run(
            plan.run, plan.given, plan.texts,
            notice=to.warning, progress=to.reading, group=group, begun=plan.begun,
            on_ready=to.ready, on_compile=to.compiling, more=plan.more,
            separate={part: given.paths for part, given in plan.separate.items()},
        )  # fmt: skip
    else:
        trainer = new_run(
            plan.texts, plan.config, runs_dir=plan.runs_dir, name=plan.name, text=plan.text,
            notice=to.notice, details=to.details, progress=to.reading, group=group,
            given=plan.settled if plan.chooses else None, on_choice=to.choice,
            begun=plan.begun, on_ready=to.ready, on_compile=to.compiling, cpu_use=plan.cpu_use,
            separate=plan.separate,
            base=plan.base,
        )  # fmt: skip
    return Training(trainer)


def start_worker(notice: Notice = log_notice) -> Training | None:
    """Start a worker, which receives the run and its options from the leader.

    Returns:
        The training, or None if fewer processes are faster and this one is not needed.

    Raises:
        DistributedError: another process has ended.
        CharlstmError: the run cannot be trained on this machine.
    """
    trainer = receive_run(join_group(notice))
    return None if trainer is None else Training(trainer)


def start_any(plan: TrainPlan, notice: Notice | None = None) -> Training:
    """`start` on the leader or without torchrun, `start_worker` on a worker.

    Raises:
        CharlstmError: a subclass for the kind of error.
    """
    notice = notice or log_notice
    info = rank_from_environment()
    if info is None or info.rank == 0:
        return start(plan, Callbacks(notice=notice, warning=notice))
    training = start_worker(notice)
    if training is None:
        raise DistributedError("fewer processes are faster; this one is not needed.")
    return training
