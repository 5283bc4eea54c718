"""From options and texts to the trainer of a new run."""

from __future__ import annotations

import contextlib
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
from charlstm.text.repetition import repeated_share
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
from charlstm.training.loop import Trainer
from charlstm.training.memory import keep_freed_memory
from charlstm.training.notices import notice_characters, notice_split
from charlstm.training.process_group import ProcessGroup
from charlstm.training.replicate import check_processes, choose_processes, send_run
from charlstm.training.saving import Saver
from charlstm.training.speed import reference, speed_of
from charlstm.training.state import TrainState

# How much training a text gets where nothing is said: about six million characters, which a
# laptop's processor reads in a few minutes, but no text more often than it stays useful.
_DEFAULT_CHARS = 6_000_000
_MOST_EPOCHS = 15
ENDLESS = 2**31 - 1  # epochs: time ends the run


def default_epochs(num_chars: int) -> int:
    """Epochs for a training text of that many characters, where none are asked for."""
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
) -> Trainer:
    """Read the text and set up a run for it.

    The run's folder is made and locked before anything is read, so that a name that is taken is
    refused first. If setting up fails, what was made is removed.

    Args:
        arguments: files, folders, or `-`.
        config: what was asked for.
        runs_dir: where the run's folder is made.
        name: the run's name; None: from the first source.
        notice: receives what was chosen or reduced.
        source: the text, in place of `arguments`.
        details: receives a line for each file of a folder that is read or skipped.
        progress: receives the progress of reading.
        group: the processes that this one leads; the others must call `receive_run`.
        given: fields of `config` that are settled; the others are chosen for text and time. None:
            all are.
        on_choice: receives the configuration with what was chosen, and why.
        begun: when the command was started, by `time.monotonic`; time since then
            counts against `--minutes`.
        on_ready: called with the trainer when nothing can fail any more; if it raises, or anything
            before it, the run's folder is removed.
        on_compile: receives the progress of compilation, whose time does not count.

    Raises:
        CharlstmError: of the kind that fits what is wrong.
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
        for hint in hints(sources, corpus.tokenizer, config.text):
            notice(hint)
        config = _configure(config, given, corpus, device, group, notice, on_choice, begun, watch)
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
    """Make a new run's folder and lock it; remove what was made if the work on it fails.

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
        with contextlib.suppress(OSError):  # others may have put something there
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
) -> Config:
    """Settle everything that a trainer needs: machine options, the choice, sizes that fit.

    The arguments are those of `new_run`; `watch` sums up the time of compilation.
    """
    size = len(corpus.train)
    fit(corpus.train, config.windows)  # a text that is too short is refused before code is compiled
    set_threads(config, notice, group)
    keep_freed_memory()
    precision = pick_precision(config.train.precision, device)
    cell = config.model.cell
    if given is not None:
        cell = str({**ALWAYS, **implied(given), **given}["cell"])
    kernel = pick_kernel(config.train.kernel, cell, precision, device, notice, watch)
    begun += watch.seconds
    config = config.override({"precision": precision, "kernel": kernel})
    choice = None
    if given is not None and size > 1:
        config, choice = _choose(config, given, corpus, device, group, begun)
        divide_threads(config.train.threads, group)  # measuring took all
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
    """The sources, and how many files of folders are skipped for each reason."""
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
) -> tuple[Config, Choice]:
    """Choose what was not given, from the text's size, the time, and the machine's speed."""
    seconds = 60 * (config.train.minutes or DEFAULT_MINUTES)
    by_speed = config.train.minutes or not {"hidden_size", "epochs"} <= set(given)
    speed = 0.0
    if by_speed:
        speed = speed_of(reference(config.train), len(corpus.tokenizer), device)
    repeated = repeated_share(corpus.train, corpus.val)
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
            f"cannot keep the text in {run.kept_text}: {error.strerror or error}."
        ) from error
