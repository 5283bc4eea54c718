"""charlstm train: a new run, or one that goes on."""

from __future__ import annotations

import math
import os
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.options import (
    GroupedCommand,
    GroupedOption,
    common_options,
    config_options,
    given,
)
from charlstm.config import SECTIONS, Config
from charlstm.errors import CharlstmError, ConfigError

if TYPE_CHECKING:
    from charlstm.training.trainer import Trainer

_NEWEST = "\0newest"
_RUN: dict[str, Any] = {"cls": GroupedOption, "group": "What to train"}
_SHOW: dict[str, Any] = {"cls": GroupedOption, "group": "What is shown"}


@click.command(
    "train",
    cls=GroupedCommand,
    epilog="Ctrl-C or SIGTERM finishes the step, saves, and prints the command that resumes; a "
    "second one stops at once. Exit codes: 0 done, 1 failure, 2 wrong usage, 130 Ctrl-C, "
    "143 SIGTERM.",
)
@click.argument("texts", nargs=-1)
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_NEWEST,
    default=None,
    metavar="[RUN]",
    help="Continue a run, or the newest, exactly where it stopped.",
    **_RUN,
)
@click.option(
    "--name",
    default=None,
    metavar="TEXT",
    help="The run's name  [default: from the first text's]",
    **_RUN,
)
@click.option(
    "--recipe",
    "recipe_name",
    default=None,
    metavar="NAME",
    help="Start from known settings: tutorial, keras, char-rnn, torch-rnn, stacked50, "
    "stacked128. Any option overrides its recipe.",
    **_RUN,
)
@config_options(*SECTIONS.values())
@click.option("--quiet", is_flag=True, help="Show errors only.", **_SHOW)
@click.option("--json", "as_json", is_flag=True, help="Print a summary to stdout as JSON.", **_SHOW)
@common_options
def command(
    texts: tuple[str, ...],
    resume: str | None,
    name: str | None,
    recipe_name: str | None,
    quiet: bool,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Train a model on a text, or continue a run.

    TEXTS are files, folders, or - for standard input; .gz, .bz2 and .xz are unpacked. They are
    joined in order. The run's folder keeps the best and the last checkpoint.
    """
    changes = given(options, SECTIONS.values())
    if resume is None and not texts:
        raise ConfigError("give a text to train on, such as: charlstm train corpus.txt")
    if resume is not None and (name is not None or recipe_name is not None):
        raise ConfigError("--name and --recipe are for new runs: leave them out with --resume.")
    say = _nothing if quiet else output.say
    with _Signals() as signals:
        trainer = _set_up(texts, resume, name, recipe_name, runs_dir, changes, say, quiet)
        signals.trainer = trainer
        reason = _show(trainer, say, quiet, resumed=resume is not None)
    run_folder = str(trainer.run.folder)
    if reason == "interrupted":
        output.say(
            f"stopped at step {trainer.progress.step}, everything saved. To go on:\n"
            f"charlstm train --resume {shlex.quote(run_folder)}"
        )
    else:
        _report(trainer, reason, say)
    if as_json:
        import json

        output.data_line(json.dumps(_summary(trainer, reason)))
    if signals.received:
        output.flush()
        sys.exit(128 + signals.received)


def _set_up(
    texts: tuple[str, ...],
    resume: str | None,
    name: str | None,
    recipe_name: str | None,
    runs_dir: str | None,
    changes: dict[str, Any],
    say: Any,
    quiet: bool,
) -> Trainer:
    from charlstm.recipes import recipe
    from charlstm.runs import find_run, runs_dir_from

    folder = runs_dir_from(runs_dir)
    if resume is not None:
        run = find_run(None if resume == _NEWEST else resume, folder)
        Config().override(changes)  # an option's range is checked before anything is read
    else:
        start = recipe(recipe_name) if recipe_name is not None else {}
        config = Config().override({**start, **changes})

    # Options are in order: only now is torch worth its two seconds.
    from charlstm.training.setup import new_run, resume_run

    with _reading(quiet) as progress:
        if resume is not None:
            return resume_run(run, changes, texts, notice=output.say, progress=progress)
        return new_run(texts, config, runs_dir=folder, name=name, notice=say, progress=progress)


def _nothing(_text: str) -> None:
    """Say nothing."""


class _Signals:
    """Ctrl-C and SIGTERM ask the trainer to stop; a second one ends the process at once.

    Python runs a handler only between two of its own instructions, which a product of large
    matrices can keep waiting. The second signal is therefore met by a thread, woken by the
    system's own handler.

    Attributes:
        trainer: whom to ask, once there is one; before that, the first signal is the last.
        received: the first signal's number, or 0.
    """

    def __init__(self) -> None:
        self.trainer: Trainer | None = None
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        self._pipe = (reader, writer)
        self._wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        os.close(self._pipe[1])  # the thread reads the end, and closes the other

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        if self.trainer is None:
            raise _StoppedError(number)
        self.trainer.ask_to_stop()

    @staticmethod
    def _watch(reader: int) -> None:
        seen = 0
        while data := os.read(reader, 64):
            ours = [n for n in data if n in (signal.SIGINT, signal.SIGTERM)]
            seen += len(ours)
            if seen > 1:
                os.write(2, b"\nError: stopped at once; what was saved before is whole.\n")
                os._exit(128 + ours[-1])
        os.close(reader)


class _StoppedError(CharlstmError):
    """A signal before there was anything to save."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # type: ignore[misc]
        super().__init__("stopped; nothing was trained yet.")


@contextmanager
def _reading(quiet: bool) -> Iterator[Any]:
    """Shows how far the reading of a large text is."""
    if quiet or sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    # No bar for a text that is read in a moment.
    with tqdm(unit="char", unit_scale=True, leave=False, delay=1.0, file=sys.stderr) as bar:

        def progress(what: str, done: int) -> None:
            bar.set_description_str(what, refresh=False)
            bar.update(done - bar.n)

        yield progress


def _show(trainer: Trainer, say: Any, quiet: bool, *, resumed: bool) -> str:
    """Run the trainer and show its events; returns why it stopped."""
    _announce(trainer, say, resumed=resumed)
    view = _View(trainer, quiet)
    try:
        for event in trainer.train():
            reason = view.show(event)
    finally:
        view.close()
    return reason


def _announce(trainer: Trainer, say: Any, *, resumed: bool) -> None:
    import torch

    config, corpus = trainer.config, trainer.corpus
    model, windows, train = config.model, config.windows, config.train
    weights = sum(p.numel() for p in trainer.parameters)
    threads = f", {torch.get_num_threads()} threads" if trainer.device.type == "cpu" else ""
    plan = "shuffled windows" if windows.stateless else "streams"
    say(
        f"{trainer.run.folder}: {len(corpus):,} characters, {len(corpus.tokenizer)} distinct; "
        f"train {len(corpus.train):,}, validation {len(corpus.val):,}, test {len(corpus.test):,}"
    )
    say(
        f"{model.cell} {model.num_layers}x{model.hidden_size}, {weights:,} weights, "
        f"{trainer.device.type} {train.precision}{threads}; {train.epochs} epochs of "
        f"{trainer.windows.batches_per_epoch:,} steps, {windows.batch_size} {plan} of "
        f"{windows.maxlen}"
    )
    if resumed:
        progress = trainer.progress
        say(f"resumed at step {progress.step:,}, {progress.epoch} of {train.epochs} epochs done")


class _View:
    """Shows a run's events on stderr: a bar on a terminal, lines now and then elsewhere."""

    def __init__(self, trainer: Trainer, quiet: bool) -> None:
        import time

        self._trainer = trainer
        self._quiet = quiet
        self._clock = time.monotonic
        self._bar: Any = None
        self._nats = math.nan  # smoothed
        self._lined_at = self._since = time.monotonic()
        self._chars = 0
        self._steps_since = 0
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=trainer.total_steps,
                initial=trainer.progress.step,
                unit="step",
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
                mininterval=0.2,
                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
                "[{elapsed}<{remaining}] {desc}",
            )

    def show(self, event: Any) -> str:
        """Show one event; returns the reason if it is the end."""
        match type(event).__name__:
            case "Stepped":
                if not self._quiet:
                    self._stepped(event)
            case "Evaluated":
                self._line(_evaluated(event, self._trainer.config.train.epochs))
            case "Previewed":
                self._line(f"--- step {event.step:,} ---\n{event.text}\n---")
            case "Stopped":
                return str(event.reason)
        return ""

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()

    def _stepped(self, event: Any) -> None:
        self._nats = (
            event.nats if math.isnan(self._nats) else (0.98 * self._nats + 0.02 * event.nats)
        )
        self._chars += event.chars
        self._steps_since += 1
        now = self._clock()
        if self._bar is not None:
            self._bar.update(1)
            if now - self._lined_at > 0.5:
                self._lined_at = now
                self._bar.set_description_str(self._speed(now), refresh=False)
        elif now - self._lined_at >= 10:
            self._lined_at = now
            trainer = self._trainer
            left = trainer.total_steps - event.step
            rate = self._steps_since / (now - self._since)
            from charlstm.cli.runs import duration

            output.say(
                f"step {event.step:,} of {trainer.total_steps:,}  {self._speed(now)}  "
                f"{duration(left / rate)} left"
            )

    def _speed(self, now: float) -> str:
        return (
            f"{self._nats:.3f} nats, {self._nats / math.log(2):.3f} bits/char, "
            f"{self._chars / max(1e-9, now - self._since):,.0f} chars/s"
        )

    def _line(self, text: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.clear()
        output.say(text)
        if self._bar is not None:
            self._bar.refresh()


def _evaluated(event: Any, epochs: int) -> str:
    parts = [f"step {event.step:,}, epoch {event.epoch} of {epochs}:"]
    if event.train_nats is not None:
        parts.append(f"train {event.train_nats:.4f}")
    if event.val_nats is not None:
        parts.append(
            f"validation {event.val_nats:.4f} nats, {event.val_nats / math.log(2):.4f} bits/char"
        )
    return "  ".join(parts) + ("  (best)" if event.is_best else "")


def _report(trainer: Trainer, reason: str, say: Any) -> None:
    from charlstm.cli.runs import duration

    progress, train = trainer.progress, trainer.config.train
    folder = shlex.quote(str(trainer.run.folder))
    why = {
        "finished": f"done: {progress.epoch} epochs",
        "patience": f"stopped early: no better for {progress.stale} evaluations",
        "paused": f"paused after epoch {progress.epoch} of {train.epochs}",
    }[reason]
    line = f"{why}, {progress.step:,} steps, {duration(trainer.seconds)}"
    if math.isfinite(progress.best_nats):
        kind = "validation" if len(trainer.corpus.val) >= 2 else "training"
        line += (
            f"; best {kind} {progress.best_nats:.4f} nats, "
            f"{progress.best_nats / math.log(2):.4f} bits/char, at step {progress.best_step:,}"
        )
    say(line)
    say(f"Write text:  charlstm sample {folder}")
    if reason == "paused":
        say(f"Go on:       charlstm train --resume {folder}")
    else:
        more = max(progress.epoch, train.epochs) * 2
        say(f"Train more:  charlstm train --resume {folder} --epochs {more}")


def _summary(trainer: Trainer, reason: str) -> dict[str, Any]:
    progress = trainer.progress
    best = progress.best_nats if math.isfinite(progress.best_nats) else None
    return {
        "run": str(Path(trainer.run.folder)),
        "stopped": reason,
        "step": progress.step,
        "epoch": progress.epoch,
        "best_nats_per_char": best,
        "best_bits_per_char": best / math.log(2) if best is not None else None,
        "best_step": progress.best_step,
        "validated": len(trainer.corpus.val) >= 2,
        "seconds": round(trainer.seconds, 3),
    }
