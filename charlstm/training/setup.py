"""Set-up of a new run: from options and texts to a trainer."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import torch

from charlstm.config import Config
from charlstm.errors import RunError
from charlstm.format.files import replace_file
from charlstm.planner.fitted import ALWAYS, DEFAULT_MINUTES
from charlstm.planner.rules import Choice, choose, implied
from charlstm.runs.folder import Run
from charlstm.runs.lock import RunLock
from charlstm.text.boundaries import read_stream
from charlstm.text.corpus import Corpus, ReadingProgress, load_corpus
from charlstm.text.entropy import unigram_nats
from charlstm.text.folders import FOLDER_RULES, FolderFiles, summary, without_effect
from charlstm.text.folders import details as folder_details
from charlstm.text.hints import hints
from charlstm.text.repetition import repeated_fraction
from charlstm.text.sources import Source, find_sources
from charlstm.text.splits import Split
from charlstm.text.windows import fit
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
from charlstm.training.footprint import check_memory
from charlstm.training.load import CpuUse
from charlstm.training.loop import Trainer
from charlstm.training.measured import Measured
from charlstm.training.memory import keep_freed_memory
from charlstm.training.notices import notice_characters, notice_split
from charlstm.training.process_group import ProcessGroup
from charlstm.training.replicate import check_processes, choose_processes, send_run
from charlstm.training.saving import Saver
from charlstm.training.speed import reference_speed
from charlstm.training.state import TrainState

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
    source: Source | None = None,
    details: Notice | None = None,
    progress: ReadingProgress | None = None,
    group: ProcessGroup | None = None,
    given: Mapping[str, Any] | None = None,
    on_choice: Callable[[Config, Choice], None] | None = None,
    begun: float | None = None,
    on_ready: Callable[[Trainer], None] | None = None,
    on_compile: Callable[[Compiling], None] | None = None,
    cpu_use: CpuUse | None = None,
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
        source: the text, instead of `arguments`.
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

    Raises:
        CharlstmError: a subclass for the kind of error.
    """
    begun = time.monotonic() if begun is None else begun
    group = group or ProcessGroup()
    device = pick_device(config.train.device, group.local_rank)
    check_machine(config.train.precision, config.train.kernel, device)
    first = source.name if source is not None else arguments[0]
    watch = CompileWatch(on_compile)
    with _new_folder(runs_dir, name, "stdin" if first == "-" else first) as (run, lock):
        sources, skipped = [source] if source is not None else [], dict[str, int]()
        if not sources:
            sources, skipped = _find(arguments, config, runs_dir, notice, details)
        corpus = load_corpus(sources, config.text, progress=progress)
        notice_split(corpus, config.text, notice)
        if isinstance(corpus.split, Split):
            config = config.override({"split": corpus.split.method})
        found = list(hints(sources, corpus.tokenizer, config.text))
        for hint in found:
            notice(hint)
        if found and arguments and "-" not in arguments:
            notice(f"more about the text: charlstm check {shlex.join(arguments)}")
        measured = Measured(cpu_use)
        config = _configure(
            config, given, corpus, device, group, notice, on_choice, begun, watch, measured
        )
        begun += watch.seconds
        kept = any(source.path is None for source in sources)
        corpus_meta = {
            "sources": [source.name for source in sources][:100],
            "num_sources": len(sources),
            "skipped": skipped,
            "folder_rules": FOLDER_RULES,
            "num_chars": len(corpus),
            "sha256": corpus.sha256,
            "kept": kept,
            "split": corpus.split.to_json(),
            "unigram_nats": unigram_nats(corpus.train, len(corpus.tokenizer)),
        }
        corpus.release()
        paths = [] if kept else [str(Path(argument).resolve()) for argument in arguments]
        if kept:
            _keep_text(run, sources, config)
        group, config, waited = choose_processes(group, config, len(corpus.tokenizer), notice)
        check_processes(config.windows, group.size, corpus.train)
        check_memory(config, len(corpus.tokenizer), device, group, notice)
        state = TrainState.new(config, len(corpus.tokenizer), device)
        stopwatch = session_stopwatch(config.train, state.progress, begun + waited)
        state.progress.seconds = stopwatch.seconds
        saver = Saver(run, corpus.tokenizer, corpus_meta, paths)
        saver.save_last(state)
        send_run(group, state, corpus, saver)
        trainer = Trainer(state, corpus, saver, stopwatch=stopwatch, group=group, lock=lock)
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
    device: torch.device,
    group: ProcessGroup,
    notice: Notice,
    on_choice: Callable[[Config, Choice], None] | None,
    begun: float,
    watch: CompileWatch,
    measured: Measured,
) -> Config:
    """The complete configuration: machine options, the automatic choice, and fitted sizes.

    The arguments are those of `new_run`; `watch` measures the time of compilation.
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
        config, choice = _choose(config, given, corpus, device, group, begun, measured)
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


def _find(
    arguments: Sequence[str],
    config: Config,
    runs_dir: Path,
    notice: Notice,
    details: Notice | None,
) -> tuple[list[Source], dict[str, int]]:
    """The sources, and the number of skipped files of folders by reason."""
    folders: list[FolderFiles] = []
    text = config.text
    sources = find_sources(
        arguments, text.glob, text.exclude, runs_dir=runs_dir, on_folder=folders.append
    )
    for found in folders:
        unlisted = " (--verbose lists them)" if found.skipped and details is None else ""
        notice(summary(found) + unlisted)
        if details is not None:
            for line in folder_details(found):
                details(line)
    for line in without_effect(folders, text):
        notice(line)
    return sources, dict(Counter(reason for found in folders for _, reason in found.skipped))


def _choose(
    config: Config,
    given: Mapping[str, Any],
    corpus: Corpus,
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
    repeated = repeated_fraction(corpus.train, corpus.val)
    corpus.release()
    left = max(1.0, begun + seconds - time.monotonic())
    compiled = config.train.kernel == "compiled"
    choice = choose(
        given, len(corpus.train), left, speed,
        compiled=compiled, repeated=repeated, processes=group.size,
        vocab_size=len(corpus.tokenizer),
    )  # fmt: skip
    return config.override(choice.overrides), choice


def _keep_text(run: Run, sources: Sequence[Source], config: Config) -> None:
    def write(file: IO[bytes]) -> None:
        for chunk in read_stream(sources, config.text):
            file.write(chunk.encode("utf-8", "surrogatepass"))

    try:
        replace_file(run.kept_text, write)
    except OSError as error:
        raise RunError(
            f"cannot save the text to {run.kept_text}: {error.strerror or error}."
        ) from error
