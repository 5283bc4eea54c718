"""Resuming a run: from its newest intact checkpoint to a trainer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from charlstm.config import SECTIONS, Config, MoreConfig
from charlstm.config.fields import flag_of
from charlstm.errors import CheckpointError, RunError
from charlstm.format.ancestry import read_ancestors
from charlstm.format.checkpoint import Checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.progress import Progress
from charlstm.format.versions import unusable
from charlstm.inference.training_text import read_training_text
from charlstm.runs.find import first_intact
from charlstm.runs.folder import Run
from charlstm.runs.lock import RunLock
from charlstm.text.corpus import ReadingProgress
from charlstm.text.windows import fit
from charlstm.training.clock import session_stopwatch
from charlstm.training.compiling import CompileWatch
from charlstm.training.device import (
    compiled_fault,
    pick_device,
    pick_kernel,
    set_threads,
)
from charlstm.training.events import Compiling, Notice
from charlstm.training.footprint import check_memory
from charlstm.training.loop import Trainer
from charlstm.training.memory import keep_freed_memory
from charlstm.training.process_group import ProcessGroup
from charlstm.training.replay import recorded_old_text
from charlstm.training.replicate import choose_processes, send_run
from charlstm.training.saving import Saver, find_best_ahead, restore_state
from charlstm.training.setup import ENDLESS


def resume_run(
    run: Run,
    changes: Mapping[str, Any],
    arguments: Sequence[str],
    *,
    notice: Notice,
    progress: ReadingProgress | None = None,
    group: ProcessGroup | None = None,
    begun: float | None = None,
    on_ready: Callable[[Trainer], None] | None = None,
    on_compile: Callable[[Compiling], None] | None = None,
    more: MoreConfig | None = None,
    separate: Mapping[str, Sequence[str]] | None = None,
) -> Trainer:
    """Set up a trainer that resumes a run from its newest intact checkpoint.

    Args:
        run: the run.
        changes: options to change; only some can change.
        arguments: the current paths of the text; empty: the recorded ones.
        notice: receives messages about damaged checkpoints that are skipped, and about changes.
        progress: receives the progress of reading.
        group: as for `charlstm.training.setup.new_run`.
        begun: when the command was started, as for `new_run`; None: the set-up does not count
            against the time budget.
        on_ready: called with the trainer at the end.
        on_compile: as for `new_run`.
        more: how much longer to train.
        separate: the current paths of separate texts, by part; None: the recorded ones.

    Raises:
        RunError: an option cannot change, the text has changed, or the run is being trained.
        CheckpointError: no checkpoint is intact.
    """
    lock = RunLock(run.folder)
    watch = CompileWatch(on_compile)
    try:
        run.check_files()
        run.clear_temporary_files()
        trainer = _resume(
            run, lock, changes, arguments,
            notice=notice, progress=progress, group=group or ProcessGroup(), watch=watch,
            more=more or MoreConfig(), begun=begun, separate=separate,
        )  # fmt: skip
        if on_ready is not None:
            on_ready(trainer)
        return trainer
    except BaseException:
        lock.release()
        raise


def _resume(
    run: Run,
    lock: RunLock,
    changes: Mapping[str, Any],
    arguments: Sequence[str],
    *,
    notice: Notice,
    progress: ReadingProgress | None,
    group: ProcessGroup,
    watch: CompileWatch,
    more: MoreConfig,
    begun: float | None,
    separate: Mapping[str, Sequence[str]] | None,
) -> Trainer:
    path, checkpoint = _resumable(run, notice)
    saved, _tokenizer = read_meta(path, checkpoint)
    _refuse_changes(saved, changes)
    config = saved.override({"stop_after": 0, **changes, "processes": group.size})
    config = extend(config, more, Progress.from_json(checkpoint.meta.get("progress")))
    if saved.train.processes != group.size:
        notice(
            f"the run was trained by {saved.train.processes} process(es) and goes on with "
            f"{group.size}: results are not bit-identical."
        )
    device = pick_device(config.train.device, group.local_rank)
    config = config.override({"kernel": _kernel(saved, config, device, notice, watch)})
    text = read_training_text(
        run,
        path,
        checkpoint,
        arguments=arguments,
        separate=separate,
        with_old=True,
        progress=progress,
        advice="Restore the text, or start a new run: charlstm train TEXT",
    )
    if fit(text.corpus.train, config.windows) != config.windows:
        raise CheckpointError(f"{path}: the run's windows do not fit the text.")
    set_threads(config, notice, group)
    keep_freed_memory()
    corpus = text.corpus
    group, config, waited = choose_processes(group, config, len(corpus.tokenizer), notice)
    check_memory(config, len(corpus.tokenizer), device, group, notice)
    try:
        ancestors = read_ancestors(checkpoint.meta)
        old = recorded_old_text(corpus, config.text, text.meta)
        state = restore_state(checkpoint, config, corpus, device, old)
    except CheckpointError as error:
        raise unusable(path, checkpoint.meta, error) from error
    if more.is_given and 0 < config.train.patience <= state.progress.stale:
        state.progress.stale = 0  # --more-epochs and --more-minutes restart the patience
    length = (config.train.epochs, config.train.minutes)
    if length != (saved.train.epochs, saved.train.minutes):
        state.progress.forget_early_decay()
    saver = Saver(run, corpus.tokenizer, text.meta, text.paths, ancestors, text.separate_paths)
    saver.saved_step = state.progress.step
    saver.best_ahead = find_best_ahead(run, state.progress, config, corpus.tokenizer, notice)
    run.metrics.rewind(_last_logged(state.progress))
    send_run(group, state, corpus, saver, path)
    if begun is not None:
        begun += watch.seconds + waited
    stopwatch = session_stopwatch(config.train, state.progress, begun)
    return Trainer(state, corpus, saver, stopwatch=stopwatch, group=group, lock=lock, old=old)


def extend(config: Config, more: MoreConfig, progress: Progress) -> Config:
    """The configuration with a new length: `more`, counted from the current progress.

    A limit that `more` does not give is removed. An epoch that has begun is completed first and
    does not count.
    """
    if not more.is_given:
        return config
    epochs, minutes = ENDLESS, 0.0
    if more.more_epochs is not None:
        begun = progress.index > 0 or progress.chunk > 0
        epochs = min(ENDLESS, progress.epoch + begun + more.more_epochs)
    if more.more_minutes is not None:
        minutes = progress.spent / 60 + more.more_minutes
    return config.override({"epochs": epochs, "minutes": minutes})


def _last_logged(progress: Progress) -> int:
    """The step of the last line of the log to keep; -1: none.

    A fine-tuned run is also evaluated before its first step.
    """
    return progress.logged_step if progress.logged_step or progress.evaluated_step == 0 else -1


def _kernel(
    saved: Config, config: Config, device: torch.device, notice: Notice, watch: CompileWatch
) -> str:
    """The kernel of a resumed run: the one given, else the previous one if it works here."""
    before = saved.train.kernel
    before = "torch" if before == "auto" else before  # an old run, when torch was the only kernel
    asked = config.train.kernel
    if asked == "auto":
        asked = before
    if asked == before == "compiled":
        why = "compiled code needs a CPU."
        if device.type == "cpu":
            why = compiled_fault(config.train.precision, watch)
        if why:
            notice(
                "the run was trained by compiled code and goes on with torch; results are not "
                f"bit-identical: {why}"
            )
            return "torch"
    elif asked != before:
        asked = pick_kernel(asked, config.model.cell, config.train.precision, device, notice, watch)
        notice(f"the run goes on with --kernel {asked}: results are not bit-identical.")
    return asked


def _resumable(run: Run, notice: Notice) -> tuple[Path, Checkpoint]:
    """The newest intact checkpoint with a training state, and its path."""
    paths = [path for path in run.checkpoints() if path.exists()]
    if not paths:
        raise CheckpointError(
            f"{run.folder} has no checkpoint to resume from (last.npz).\n"
            "Its best.npz still works with charlstm sample and eval."
        )
    try:
        return first_intact(paths, None, notice)
    except CheckpointError as error:
        advice = "Start a new run."
        if run.best.is_file():
            advice = f"charlstm sample may still work with {run.best}."
        raise CheckpointError(
            f"{str(error).splitlines()[0]}\n{len(paths)} of {len(paths)} checkpoints are damaged: "
            f"the run cannot be resumed. {advice}"
        ) from error


def _refuse_changes(saved: Config, changes: Mapping[str, Any]) -> None:
    for section, kind in SECTIONS.items():
        for spec in dataclasses.fields(kind):  # type: ignore[arg-type]
            old = getattr(getattr(saved, section), spec.name)
            if spec.name not in changes or spec.metadata["on_resume"]:
                continue
            if changes[spec.name] != old:
                raise RunError(
                    f"{flag_of(spec)} cannot change when a run is resumed: it was {_shown(old)}, "
                    f"not {_shown(changes[spec.name])}.\nOmit it, or start a new run."
                )


def _shown(value: object) -> str:
    """An option's value for a message."""
    if isinstance(value, tuple):
        return " ".join(map(repr, value)) or "not given"
    return str(value)
