"""Set-up of a new run: from options and texts to a trainer."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from charlstm.config import Config
from charlstm.planner.fitted import ALWAYS, DEFAULT_MINUTES
from charlstm.planner.rules import Choice, choose, implied
from charlstm.runs.folder import Run
from charlstm.runs.lock import RunLock
from charlstm.text.corpus import Corpus, ReadingProgress, load_corpus
from charlstm.text.hints import hints
from charlstm.text.repetition import repeated_fraction
from charlstm.text.separate import GivenText
from charlstm.text.splits import Split
from charlstm.text.windows import fit
from charlstm.training.base import Base
from charlstm.training.clock import session_stopwatch
from charlstm.training.compiling import CompileWatch
from charlstm.training.device import (
    check_machine,
    divide_threads,
    pick_device,
    pick_kernel,
    pick_precision,
    set_threads,
)
from charlstm.training.events import Compiling, Notice
from charlstm.training.fine_tune import FineTuning
from charlstm.training.footprint import check_memory
from charlstm.training.load import CpuUse
from charlstm.training.loop import Trainer
from charlstm.training.measured import Measured
from charlstm.training.memory import keep_freed_memory
from charlstm.training.notices import notice_characters, notice_split
from charlstm.training.process_group import ProcessGroup
from charlstm.training.replay import check_replay, old_text_of
from charlstm.training.replicate import check_processes, choose_processes, send_run
from charlstm.training.saving import Saver
from charlstm.training.speed import reference_speed
from charlstm.training.state import TrainState
from charlstm.training.texts import corpus_meta, find_texts, keep_texts

# The default number of epochs trains on about six million characters, a few minutes on a laptop's
# processor. More than the maximum number of epochs rarely helps.
_DEFAULT_CHARS = 6_000_000
_MOST_EPOCHS = 15
ENDLESS = 2**31 - 1  # epochs of a run that only a time budget ends


def default_epochs(num_chars: int) -> int:
    """The default number of epochs for a training part of `num_chars` characters."""
    return max(1, min(_MOST_EPOCHS, round(_DEFAULT_CHARS / max(1, num_chars))))


def new_run(
    arguments: Sequence[str],
    config: Config,
    *,
    runs_dir: Path,
    name: str | None,
    notice: Notice,
    text: str | None = None,
    separate: Mapping[str, GivenText] | None = None,
    details: Notice | None = None,
    progress: ReadingProgress | None = None,
    group: ProcessGroup | None = None,
    given: Mapping[str, Any] | None = None,
    on_choice: Callable[[Config, Choice], None] | None = None,
    begun: float | None = None,
    on_ready: Callable[[Trainer], None] | None = None,
    on_compile: Callable[[Compiling], None] | None = None,
    cpu_use: CpuUse | None = None,
    base: Base | None = None,
) -> Trainer:
    """Read a text and set up a run on it.

    The run's folder is created and locked first, so that a name that is taken is reported before
    the text is read. If the set-up fails, the folder is removed.

    Args:
        arguments: files, folders, or `-`.
        config: the given configuration.
        runs_dir: the folder in which the run's folder is created.
        name: the run's name; None: derived from the name of the first text.
        notice: receives messages about what was chosen or reduced.
        text: the text itself, instead of `arguments`.
        separate: separate texts for validation and testing, by part.
        details: receives a line for each file of a folder that is read or skipped.
        progress: receives the progress of reading.
        group: the process group that this process leads; the workers must call `receive_run`.
        given: fields of `config` that were given. The others are chosen automatically from corpus
            size and time budget. None: `config` is complete.
        on_choice: receives the configuration after the automatic choice, and the reasons.
        begun: when the command was started, as `time.monotonic()`; the time since then counts
            against `--minutes`.
        on_ready: called with the trainer at the end of the set-up. If it raises, the set-up fails.
        on_compile: receives the progress of compilation, whose time does not count.
        cpu_use: processor time when the command began, see `charlstm.training.measured`.
        base: the model to start from, whose architecture `config` has; None: random weights.

    Raises:
        CharlstmError: a subclass for the kind of error.
    """
    begun = time.monotonic() if begun is None else begun
    group = group or ProcessGroup()
    device = pick_device(config.train.device, group.local_rank)
    check_machine(config.train.precision, config.train.kernel, device)
    first = arguments[0] if text is None else "text"
    texts = {"": GivenText(tuple(arguments), text), **(separate or {})}
    watch = CompileWatch(on_compile)
    with _new_folder(runs_dir, name, "stdin" if first == "-" else first) as (run, lock):
        apart = find_texts(texts, config.text, runs_dir, notice, details)
        found = apart.pop("")
        corpus = load_corpus(
            found.sources, config.text, progress=progress, also="" if base is None else base.also,
            separate={part: own.sources for part, own in apart.items()},
        )  # fmt: skip
        old = old_text_of(corpus, config.text, base)
        start = None if base is None else FineTuning(base, corpus, config.text, notice)
        notice_split(corpus, config.text, notice)
        if isinstance(corpus.split, Split):
            config = config.override({"split": corpus.split.method})
        hinted = list(hints(found.sources, corpus.tokenizer, config.text))
        for hint in hinted:
            notice(hint)
        if hinted and arguments and "-" not in arguments:
            notice(f"more about the text: charlstm check {shlex.join(arguments)}")
        measured = Measured(cpu_use)
        config = _configure(
            config, given, corpus, start, device, group, notice, on_choice, begun, watch, measured
        )
        begun += watch.seconds
        check_replay(config.windows, old)
        meta = corpus_meta(corpus, found, apart, "" if base is None else base.also, old)
        corpus.release()
        keep_texts(run, config.text, found, apart)
        group, config, waited = choose_processes(group, config, len(corpus.tokenizer), notice)
        check_processes(config.windows, group.size, corpus.train)
        check_memory(config, len(corpus.tokenizer), device, group, notice)
        state = TrainState.new(config, len(corpus.tokenizer), device)
        if start is not None:
            state.set_weights(start.weights(config))
        stopwatch = session_stopwatch(config.train, state.progress, begun + waited)
        state.progress.seconds = stopwatch.seconds
        own_paths = {part: own.paths for part, own in apart.items()}
        ancestors = () if start is None else start.ancestors
        saver = Saver(run, corpus.tokenizer, meta, found.paths, ancestors, own_paths)
        saver.save_last(state)
        send_run(group, state, corpus, saver)
        trainer = Trainer(
            state, corpus, saver, stopwatch=stopwatch, group=group, lock=lock, old=old
        )
        if on_ready is not None:
            on_ready(trainer)
    return trainer


@contextlib.contextmanager
def _new_folder(runs_dir: Path, name: str | None, source: str) -> Iterator[tuple[Run, RunLock]]:
    """A context with a new run's folder and its lock; the folder is removed if the body raises.

    Raises:
        ConfigError, RunError: as for `Run.create`.
    """
    made = [folder for folder in (runs_dir, *runs_dir.parents) if not folder.exists()]
    run, lock = Run.create(runs_dir, name, source)
    try:
        yield run, lock
    except BaseException:
        run.discard()
        lock.release()
        with contextlib.suppress(OSError):  # a folder that is not empty is kept
            for folder in made:
                folder.rmdir()
        raise


def _configure(
    config: Config,
    given: Mapping[str, Any] | None,
    corpus: Corpus,
    start: FineTuning | None,
    device: torch.device,
    group: ProcessGroup,
    notice: Notice,
    on_choice: Callable[[Config, Choice], None] | None,
    begun: float,
    watch: CompileWatch,
    measured: Measured,
) -> Config:
    """The complete configuration: machine options, the automatic choice, and fitted sizes.

    The arguments are those of `new_run`; `watch` measures the time of compilation, and `start` is
    what the run starts from, if not from random weights.
    """
    size = len(corpus.train)
    fit(corpus.train, config.windows)  # raises for a text that is too short, before compilation
    set_threads(config, notice, group)
    keep_freed_memory()
    precision = pick_precision(config.train.precision, device, measured)
    cell = config.model.cell
    if given is not None:
        cell = str({**ALWAYS, **implied(given), **given}["cell"])
    kernel = pick_kernel(config.train.kernel, cell, precision, device, notice, watch, measured)
    begun += watch.seconds
    config = config.override({"precision": precision, "kernel": kernel})
    choice = None
    if given is not None and size > 1:
        config, choice = _choose(config, given, corpus, start, device, group, begun, measured)
        divide_threads(config.train.threads, group)  # the measurement used all threads
    windows = fit(corpus.train, config.windows)
    for old, new, flag in (
        (config.windows.maxlen, windows.maxlen, "--maxlen"),
        (config.windows.batch_size, windows.batch_size, "--batch-size"),
    ):
        if old != new:
            notice(f"{flag} reduced from {old} to {new}: the text is short.")
    notice_characters(corpus, config.text, notice)
    train = replace(
        config.train,
        epochs=config.train.epochs or (ENDLESS if config.train.minutes else default_epochs(size)),
        processes=config.train.processes if group.size == 1 else group.size,
    )
    config = replace(config, windows=windows, train=train)
    if choice is not None and on_choice is not None:
        on_choice(config, choice)
    return config


def _choose(
    config: Config,
    given: Mapping[str, Any],
    corpus: Corpus,
    start: FineTuning | None,
    device: torch.device,
    group: ProcessGroup,
    begun: float,
    measured: Measured,
) -> tuple[Config, Choice]:
    """Choose the fields that were not given, from corpus size, time budget and measured speed."""
    seconds = 60 * (config.train.minutes or DEFAULT_MINUTES)
    by_speed = config.train.minutes or not {"hidden_size", "epochs"} <= set(given)
    speed = 0.0
    if by_speed:
        speed = reference_speed(config.train, len(corpus.tokenizer), device, measured)
    base_loss = None if start is None or "lr" in given else start.relative_loss(config)
    repeated = repeated_fraction(corpus.train, corpus.val)
    corpus.release()
    left = max(1.0, begun + seconds - time.monotonic())
    compiled = config.train.kernel == "compiled"
    choice = choose(
        given, len(corpus.train), left, speed,
        compiled=compiled, repeated=repeated, processes=group.size,
        vocab_size=len(corpus.tokenizer), base_loss=base_loss,
    )  # fmt: skip
    return config.override(choice.overrides), choice
