"""Progress displays: a bar on a terminal, otherwise a line every ten seconds."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from charlstm.cli import output
from charlstm.cli.output import duration
from charlstm.cli.screen import Screen

if TYPE_CHECKING:
    from charlstm.config import TrainConfig
    from charlstm.text.corpus import ReadingProgress
    from charlstm.training.events import Compiling
    from charlstm.training.loop import Trainer

_LINE_SECONDS = 10.0


@contextmanager
def reading(
    quiet: bool,
    check: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[ReadingProgress]:
    """Show the progress of reading a large text.

    Args:
        quiet: show nothing.
        check: called at each update; may raise to stop.
        clock: returns the time in seconds.
    """
    if quiet:
        yield lambda _what, _done: check()
        return
    if sys.stderr is None or not sys.stderr.isatty():
        lined_at = clock()

        def line(what: str, done: int) -> None:
            nonlocal lined_at
            check()
            if (now := clock()) - lined_at >= _LINE_SECONDS:
                lined_at = now
                output.say(f"{what}: {done:,} characters")

        yield line
        return
    from tqdm import tqdm

    # No bar for short texts.
    with tqdm(unit="char", unit_scale=True, leave=False, delay=1.0, file=Screen()) as bar:

        def progress(what: str, done: int) -> None:
            check()
            bar.set_description_str(what, refresh=False)
            bar.update(done - bar.n)

        yield progress


class CompileView:
    """Shows the progress of compilation, which runs once after an installation.

    Args:
        quiet: show nothing.
        check: called at each update; may raise to stop.
    """

    def __init__(self, quiet: bool, check: Callable[[], None]) -> None:
        self._quiet = quiet
        self._check = check
        self._bar: Any = None
        self._lined_at: float | None = None

    def show(self, event: Compiling) -> None:
        """Show one event."""
        self._check()
        if self._quiet:
            return
        if self._lined_at is None:
            self._lined_at = event.seconds
            output.say(
                "compiling code for this machine (once after an installation; not part of "
                "--minutes)"
            )
            if sys.stderr is not None and sys.stderr.isatty():
                from tqdm import tqdm

                self._bar = tqdm(unit=" functions", leave=False, file=Screen(), desc="compiling")
        if self._bar is not None:
            self._bar.update(event.functions - self._bar.n)
        elif not event.done and event.seconds - self._lined_at >= 10:
            self._lined_at = event.seconds
            output.say(f"compiled {event.functions} functions in {duration(event.seconds)}")
        if event.done:
            if self._bar is not None:
                self._bar.close()
            output.say(f"compiled {event.functions} functions in {duration(event.seconds)}: done")


def reading_prompt(
    total: int, clock: Callable[[], float] = time.monotonic
) -> AbstractContextManager[Callable[[int], None]]:
    """`counting` for a long prompt."""
    return counting(total, "reading the prompt", clock)


@contextmanager
def counting(
    total: int, doing: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Show the progress of processing a long text.

    The remaining time is estimated from the speed after the first report, so that loading code
    does not count.

    Args:
        total: number of characters.
        doing: the activity, for display.
        clock: returns the time in seconds.

    Yields:
        A function that is given the number of characters that have been processed.
    """
    if sys.stderr is not None and sys.stderr.isatty():
        bars: list[Any] = []

        def show(done: int) -> None:
            if not bars:
                bars.append(_counting_bar(total, doing, done))
            bars[0].update(done - bars[0].n)
            if done >= total:
                bars[0].close()  # before the first character is written

        try:
            yield show
        finally:
            for bar in bars:
                bar.close()
        return
    lined_at = clock()
    first: tuple[float, int] | None = None

    def line(done: int) -> None:
        nonlocal lined_at, first
        now = clock()
        if first is None:
            first = now, done
        if now - lined_at >= _LINE_SECONDS and done < total:
            lined_at = now
            since, before = first
            speed = (done - before) / max(1e-9, now - since)
            left = f", {duration((total - done) / speed)} left" if speed else ""
            output.say(f"{doing}: {done:,} of {total:,} characters{left}")

    yield line


def _counting_bar(total: int, doing: str, done: int) -> Any:
    from tqdm import tqdm

    return tqdm(
        total=total,
        initial=done,
        desc=doing,
        unit="char",
        unit_scale=True,
        leave=False,
        delay=1.0,  # no bar for short texts
        file=Screen(),
    )


class View:
    """Shows a run's events on stderr."""

    def __init__(self, trainer: Trainer, quiet: bool) -> None:
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
                file=Screen(),
                dynamic_ncols=True,
                leave=False,
                mininterval=0.2,
                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
                "[{elapsed}<{remaining}] {desc}",
            )

    def show(self, event: Any) -> str:
        """Show one event; returns the reason to stop at the last, otherwise an empty string."""
        match type(event).__name__:
            case "Stepped":
                if not self._quiet:
                    self._stepped(event)
            case "Evaluated":
                self._line(_evaluated(event, self._trainer.config.train))
            case "DecayedEarly":
                self._line(
                    f"overfitting: weights of step {event.best_step:,} restored; the learning rate "
                    f"decays to 0, and the run ends at {event.until:.0%} of its length"
                )
            case "Previewed":
                self._line(f"--- step {event.step:,} ---\n{event.text}\n---")
            case "Stopped":
                return str(event.reason)
        return ""

    def close(self) -> None:
        """Remove the progress bar."""
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
            self._bar.total = self._trainer.total_steps  # a time budget may change it
            self._bar.update(1)
            if now - self._lined_at > 0.5:
                self._lined_at = now
                self._bar.set_description_str(self._speed(now), refresh=False)
        elif now - self._lined_at >= 10:
            self._lined_at = now
            trainer = self._trainer
            left = trainer.total_steps - event.step
            rate = self._steps_since / (now - self._since)
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


def _evaluated(event: Any, train: TrainConfig) -> str:
    # With a time budget, the number of epochs is not known.
    of = "" if train.minutes else f" of {train.epochs}"
    parts = [f"step {event.step:,}, epoch {event.epoch}{of}:"]
    if not event.step:
        parts = ["before training:"]
    if event.train_nats is not None:
        parts.append(f"train {event.train_nats:.4f}")
    if event.val_nats is not None:
        parts.append(
            f"validation {event.val_nats:.4f} nats, {event.val_nats / math.log(2):.4f} bits/char"
        )
    if event.base_val_nats is not None:
        parts.append(f"old text {event.base_val_nats:.4f}")
    if event.average_nats is not None:
        parts.append(f"averaged weights {event.average_nats:.4f}")
    return "  ".join(parts) + ("  (best)" if event.is_best else "")
