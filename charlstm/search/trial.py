"""Training one trial: an ordinary run with the options of a point of the search space."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm import start_training
from charlstm.cells import TRAINING_KERNEL_CELLS
from charlstm.errors import DivergenceError
from charlstm.runs.folder import Run
from charlstm.search.control import Control
from charlstm.search.record import Record
from charlstm.search.space import Values
from charlstm.text.separate import GivenText
from charlstm.training.events import Evaluated, Notice, Stepped
from charlstm.training.session import Training

Progress = Callable[[int, int], None]
"""Receives the steps done and the steps of the whole run."""
Report = Callable[[int, float], bool]
"""Receives the epochs done and the validation loss; returns whether to stop the trial."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        nats: validation loss of its best checkpoint in nats per character; None without one.
        attrs: attributes to store: seconds, steps, or why there is no loss.
        stopped: whether the trial was interrupted and can be resumed.
    """

    nats: float | None
    attrs: Mapping[str, Any]
    stopped: bool = False


def options_of(record: Record, values: Values, seed: int) -> dict[str, Any]:
    """All options of a trial, by field; no option is chosen automatically.

    Args:
        record: the record of the search.
        values: the values of the options that are searched.
        seed: the random seed of training.
    """
    options = {**record.automatic, **record.given, **values, "seed": seed, "sample_every": 0}
    if options.get("kernel") == "compiled" and options["cell"] not in TRAINING_KERNEL_CELLS:
        options["kernel"] = "torch"
    if record.minutes:
        return {**options, "minutes": record.minutes}
    return {**options, "minutes": 0.0, "epochs": record.epochs}


def train_trial(
    texts: Sequence[str],
    folder: Path,
    options: Mapping[str, Any],
    name: str,
    control: Control,
    *,
    threads: int,
    notice: Notice,
    progress: Progress,
    report: Report | None = None,
    separate: Mapping[str, GivenText] | None = None,
) -> Outcome:
    """Train the run of a trial, or resume it if it was interrupted.

    Args:
        texts: files and folders of the text.
        folder: the search's folder, in which the run's folder is created.
        options: all options, see `options_of`.
        name: the run's name.
        control: passes on a request to stop.
        threads: number of threads; 0: as in `options`.
        notice: receives messages about what is reduced or skipped.
        progress: receives the progress.
        report: receives the validation loss after each epoch; None: not called.
        separate: separate texts for validation and testing, by part.

    Raises:
        CharlstmError: the text or the run cannot be read or written.
    """
    run = Run(folder / name)
    changes: dict[str, Any] = {"threads": threads} if threads else {}
    paths: dict[str, Any] = {part: one.paths for part, one in (separate or {}).items()}
    try:
        if run.saved_at() is None:
            training = start_training(
                texts,
                runs_dir=folder,
                name=name,
                on_notice=notice,
                **{**options, **changes, **paths},
            )
        else:
            training = start_training(
                texts,
                resume=run.folder,
                runs_dir=folder,
                on_notice=notice,
                **{**changes, **paths},
            )
        with control.attached(training):
            pruned = _train(training, progress, report)
        return _outcome(training, pruned=pruned)
    except DivergenceError as error:
        return Outcome(None, {"fault": str(error).splitlines()[0]})
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return Outcome(None, {"fault": "out of memory"})


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, numpy or torch means that memory is exhausted."""
    words = ("allocate memory", "out of memory")  # torch raises a plain RuntimeError on a CPU
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def _train(training: Training, progress: Progress, report: Report | None) -> bool:
    """Train to the end; returns whether `report` stopped the trial before it."""
    trainer, pruned = training.trainer, False
    for event in training:
        if isinstance(event, Stepped):
            progress(event.step, trainer.total_steps)
        if not isinstance(event, Evaluated) or event.val_nats is None or report is None:
            continue
        # Losses are compared only after whole epochs, when all trials have read the same text.
        whole = trainer.progress.index == 0
        if whole and report(event.epoch, event.val_nats):
            # At the end, the trial has its loss, and a stop would count as the user's.
            pruned = not trainer.schedule.is_at_end(trainer.progress)
            if pruned:
                training.stop()
    return pruned


def _outcome(training: Training, *, pruned: bool) -> Outcome:
    result, trainer = training.result, training.trainer
    attrs = {
        "seconds": round(result.seconds, 3),
        "steps": result.step,
        "epochs": result.epoch,
        "weights": sum(p.numel() for p in trainer.state.parameters),
    }
    if pruned:
        return Outcome(None, {**attrs, "fault": "pruned"})
    if result.stopped == "interrupted":
        return Outcome(None, attrs, stopped=True)
    nats = result.best_nats_per_char
    if nats is None:
        return Outcome(None, {**attrs, "fault": "no evaluation in its time"})
    val, read = trainer.corpus.val, trainer.progress.val_chars
    if 0 < read < len(val):
        # With a time budget, slower models evaluate on fewer characters: not comparable.
        nats = result.load().score_ids(val).nats_per_char
    if not math.isfinite(nats):
        return Outcome(None, {**attrs, "fault": "its loss is not finite"})
    return Outcome(nats, attrs)


def cpu_threads(jobs: int, processors: int) -> int:
    """Number of threads of each of several processes; 0 for a single one, which uses all.

    Args:
        jobs: number of processes.
        processors: number of available processors.
    """
    return 0 if jobs == 1 else max(1, processors // jobs)
