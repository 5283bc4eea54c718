"""The training loop, as an iterator of events."""

from __future__ import annotations

from collections.abc import Iterator

from charlstm.config import Config
from charlstm.format.progress import Evaluated, Progress
from charlstm.runs.lock import RunLock
from charlstm.text.corpus import Corpus
from charlstm.training.clock import Stopwatch
from charlstm.training.deferred_losses import DeferredLosses
from charlstm.training.evaluation import Evaluator
from charlstm.training.events import DecayedEarly, Event, Saved, Stepped, Stopped
from charlstm.training.metrics import MetricsLogger
from charlstm.training.preview import preview
from charlstm.training.process_group import ProcessGroup
from charlstm.training.replay import OldText, windows_of
from charlstm.training.saving import Saver
from charlstm.training.schedule import Due, TrainSchedule, chars_per_step
from charlstm.training.state import TrainState
from charlstm.training.step import train_step
from charlstm.training.waiting import LoadWatch, end_sleep

_GPU_SYNC_STEPS = 32  # that a GPU may be ahead of the losses that are read


class Trainer:
    """Trains a run. `train` is an iterator of events and never prints.

    The weights depend only on the training state and its configuration. A run that is stopped at
    any step and resumed is bit-identical to an uninterrupted run.

    Example:
        >>> from pathlib import Path
        >>> from charlstm.config import Config
        >>> from charlstm.format.progress import Evaluated
        >>> from charlstm.training.setup import new_run
        >>> config = Config().override({"hidden_size": 64, "epochs": 3, "precision": "float32"})
        >>> folder = Path("checkpoints")
        >>> trainer = new_run(["play.txt"], config, runs_dir=folder, name="play", notice=print)
        >>> for event in trainer.train():
        ...     if isinstance(event, Evaluated) and event.val_nats is not None:
        ...         print(event.step, event.val_nats)
        ...         if event.val_nats < 1.5:
        ...             trainer.request_stop()  # saves, then yields Stopped

    Args:
        state: the training state, the same in all processes of the group.
        corpus: the text.
        saver: writes the run's checkpoints.
        stopwatch: the time spent training; None: a new one, started by `train`.
        group: the process group; None: a single process.
        lock: the run's lock, released when training ends.
        old: the text that is replayed; None: there is none.

    Raises:
        ConfigError: there are fewer streams than processes.
        DistributedError: another process has ended.
    """

    def __init__(
        self,
        state: TrainState,
        corpus: Corpus,
        saver: Saver,
        *,
        stopwatch: Stopwatch | None = None,
        group: ProcessGroup | None = None,
        lock: RunLock | None = None,
        old: OldText | None = None,
    ) -> None:
        config = state.config
        self.state = state
        self.corpus = corpus
        self.saver = saver
        self.run = saver.run
        self.stopwatch = stopwatch or Stopwatch(state.progress.seconds)
        self.group = group or ProcessGroup()
        self._lock = lock
        self.windows = windows_of(corpus, old, config)
        self.schedule = TrainSchedule(
            config, self.windows.batches_per_epoch, len(corpus.val), self.stopwatch,
            evaluates_first=bool(saver.ancestors) and corpus.val.predictions >= 1,
        )  # fmt: skip
        self.evaluator = Evaluator(
            corpus.val, None if old is None else old.val, all_threads=not config.train.threads
        )
        self.load = LoadWatch()
        self.logger = MetricsLogger(self.run.metrics, self.load)
        on_gpu = state.device.type == "cuda"
        self.losses = DeferredLosses(config.train, late=on_gpu)
        work = 6.0 * sum(p.numel() for p in state.parameters) * chars_per_step(config.windows)
        self.schedule.sync_every = _GPU_SYNC_STEPS if on_gpu else self.group.sync_interval(work)
        state.distribute(self.group, self.schedule.max_chunks)
        self._stop_requested = False
        self._due = Due()

    @property
    def config(self) -> Config:
        """The run's configuration."""
        return self.state.config

    @property
    def progress(self) -> Progress:
        """The run's counters; `seconds` is that of the last save."""
        return self.state.progress

    @property
    def total_steps(self) -> int:
        """Number of steps of the whole run; with a time budget, an estimate from the speed."""
        return self.schedule.total_steps(self.progress)

    def request_stop(self) -> None:
        """Ask to finish the step, save and stop; may be called from a signal handler."""
        self._stop_requested = True

    def train(self) -> Iterator[Event]:
        """Train to the end of the run, or until a stop is requested.

        Raises:
            DivergenceError: the loss or the gradient is not finite.
            CheckpointError: a checkpoint cannot be written.
            RunError: the log cannot be written.
            DistributedError: another process has ended.
        """
        try:
            yield from self._train()
        finally:
            end_sleep()
            if self._lock is not None:
                self._lock.release()

    def _train(self) -> Iterator[Event]:
        schedule, progress, first_epoch = self.schedule, self.progress, self.progress.epoch
        self._begin()
        while True:
            # A resumed run may have been stopped before an evaluation that was due.
            if schedule.evaluation_is_due(progress, self._due):
                evaluated = self._evaluate()
                if evaluated is None:
                    reason = "interrupted"
                    break
                yield evaluated
                if schedule.overfits(progress) and self.state.best:
                    yield self._decay_early()
                yield self.save()
            reason = self._stop_reason(first_epoch)
            if reason:
                break
            yield self._step()
            if self.group.is_leader and schedule.preview_is_due(progress):
                yield preview(self.state, self.corpus.tokenizer)
            if schedule.log_is_due(progress, self._due):
                self.logger.log(self.state, self.stopwatch.seconds)
                self.corpus.release()
            if self._due.save:
                yield self.save()
        if progress.step != self.saver.saved_step:
            yield self.save()
        yield Stopped(reason)

    def _begin(self) -> None:
        self.stopwatch.start()
        self.saver.begin()
        elapsed = self.group.on_leader(self._plan_time)
        self.schedule.begin(self.progress, elapsed or 0.0)

    def _plan_time(self) -> float:
        """Measure evaluation for the time budget, if there is one; returns its elapsed fraction."""
        budget = self.schedule.budget
        if budget is not None:
            self.evaluator.plan(self.state, budget)
            budget.save_seconds = self.saver.seconds
        return self.schedule.elapsed_at_start(self.progress)

    def _stop_reason(self, first_epoch: int) -> str:
        if self._due.stop or (self._stop_requested and not self.group.must_agree):
            return "interrupted"
        return self.schedule.stop_reason(self.progress, first_epoch)

    def _step(self) -> Stepped:
        self.load.check()
        self.logger.begin_step()
        state, progress, schedule = self.state, self.progress, self.schedule
        if progress.chunk == 0:
            progress.chunks = schedule.chunks(progress)
        window = self.windows.batch(progress.epoch, progress.index)
        batch = window.chunk(progress.chunk, progress.chunks)
        rate, fraction = schedule.learning_rate(progress), schedule.fraction(progress)
        chars = train_step(state, batch, rate, self.losses, done=fraction)
        progress.advance(self.windows.batches_per_epoch)
        if schedule.average_is_due(progress, fraction):
            state.average.take(progress.averaged)
            progress.averaged += 1
        self._due = Due()
        if schedule.sync_is_due(progress):
            self._synchronise()
        self.logger.end_step(chars)
        return Stepped(progress.step, progress.epoch, self.losses.latest, rate, chars)

    def _synchronise(self) -> None:
        """Read the losses and determine what is due, the same in all processes."""
        nats = self.losses.take()
        due = self.schedule.due(self.progress, self.saver.saved_at, stop=self._stop_requested)
        self._due, nats = self.group.agree(due, nats)
        self.losses.count(nats, self.progress)
        self.schedule.record_elapsed(self.progress, self._due.elapsed)

    def _count_losses(self) -> None:
        """Count deferred losses; all processes call it at the same step."""
        if nats := self.losses.take():
            self.losses.count(self.group.all_reduce(nats), self.progress)

    def _evaluate(self) -> Evaluated | None:
        """Evaluate, and save the weights if they are the best; None if asked to stop."""
        self._count_losses()
        measured = self.evaluator.evaluate(self.state, self._asked_to_stop)
        if measured is None:
            return None
        self.schedule.record_evaluation(measured.seconds)
        ahead = self.saver.best_ahead
        evaluated = self.progress.evaluate(
            measured.val_nats, measured.average_nats, ahead, measured.base_val_nats
        )
        self.logger.log(self.state, self.stopwatch.seconds, measured)
        self.corpus.release()
        if evaluated.is_best and (ahead is None or self.progress.best_nats <= ahead.nats):
            self.progress.seconds = self.stopwatch.seconds
            self.saver.save_best(self.state, averaged=evaluated.is_averaged)
        if evaluated.is_best and self.schedule.may_decay_early:
            self.state.keep_best()
        return evaluated

    def _asked_to_stop(self) -> bool:
        """Whether to end an evaluation, which asks now and then."""
        self.load.check()
        return self._stop_requested

    def _decay_early(self) -> DecayedEarly:
        """Restore the best weights, and begin the decay that ends the run."""
        self.schedule.begin_early_decay(self.progress)
        self.state.restore_best()
        progress = self.progress
        return DecayedEarly(progress.step, progress.best_step, progress.decay_until)

    def save(self) -> Saved:
        """Write a checkpoint for resuming.

        Raises:
            DivergenceError: a weight is not finite or too large; no file is replaced.
            CheckpointError: the checkpoint cannot be written.
        """
        self._count_losses()
        self.progress.seconds = self.stopwatch.seconds
        return self.saver.save_last(self.state)
