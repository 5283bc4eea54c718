"""Display of a search: a table of trials that grows; on a terminal also a line of progress."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from charlstm.cli.output import counted, duration
from charlstm.cli.screen import Screen
from charlstm.config.fields import flag_of
from charlstm.search.events import Began, Ended, Event, Moved, Noticed, Row
from charlstm.search.plan import FINAL_RUNS
from charlstm.search.space import Dimension, triable

if TYPE_CHECKING:
    from charlstm.search.search import Search

_REFRESH_SECONDS = 0.3
_WIDTH = 8


class SearchView:
    """Shows a search's events on stderr.

    Args:
        say: writes a notice.
        quiet: show no progress.
    """

    def __init__(self, say: Any, quiet: bool) -> None:
        self._say = say
        self._bar: Any = None
        self._terminal = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._noticed: set[str] = set()
        self._best: Row | None = None
        self._rows: dict[str, Row] = {}  # by run
        self._running: dict[str, float] = {}  # fractions done, by run
        self._shown_at = 0.0

    def notice(self, text: str) -> None:
        """Show a notice; trials repeat each other's, which are shown once."""
        if text not in self._noticed:
            self._noticed.add(text)
            self._line(text)

    def begin(self, search: Search) -> None:
        """Show what the search does, and the trials that it has."""
        self._search = search
        record = search.record
        budget = (
            f"{record.minutes:g} minutes" if record.minutes else counted(record.epochs, "epoch")
        )
        planned = search.planned_trials
        number = "trials" if math.isinf(planned) else counted(int(planned), "trial")
        doing = "continued" if search.continues else "begun"
        self._line(
            f"search {doing} in {search.plan.folder}: {number} of {budget} each; then the best "
            "three and the automatic choice are trained with two other seeds"
        )
        tried = ", ".join(f"{_name(one.name)} {shown_dimension(one)}"
                          for one in record.space.dimensions)  # fmt: skip
        self._line(f"tried: {tried}")
        if outside := search.outside:
            self._line(f"the automatic choice (trial 0) is outside the space: {', '.join(outside)}")
        self._names = [one.name for one in record.space.dimensions]
        self._line("  ".join(["trial".ljust(_WIDTH), "nats/char", "time".rjust(_WIDTH),
                              *(_name(name).rjust(_WIDTH) for name in self._names)]))  # fmt: skip
        ended = [row for row in search.rows() if row.state != "running"]
        self._rows = {row.run: row for row in ended}
        for row in ended:
            self._ended(row)
        if self._terminal:
            from tqdm import tqdm

            self._bar = tqdm(
                bar_format="{desc}", file=Screen(), dynamic_ncols=True, leave=False, mininterval=0
            )

    def show(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Began(row, resumed):
                self._running[row.run] = 0.0
                if resumed:
                    self._line(f"{row.run} is resumed")
            case Moved():
                self.moved(event)
            case Noticed(text):
                self.notice(text)
            case Ended(row):
                self._running.pop(row.run, None)
                self._ended(row)

    def moved(self, event: Moved) -> None:
        """Show the progress of a run, on a terminal."""
        self._running[event.run] = event.step / max(1, event.total)
        now = time.monotonic()
        if self._bar is not None and now - self._shown_at >= _REFRESH_SECONDS:
            self._shown_at = now
            self._bar.set_description_str(self._status())

    def close(self) -> None:
        """Remove the line of progress."""
        if self._bar is not None:
            self._bar.close()

    def _ended(self, row: Row) -> None:
        self._rows[row.run] = row
        better = self._best is None or (row.nats or math.inf) < (self._best.nats or math.inf)
        is_best = row.nats is not None and row.seed is None and better
        if is_best:
            self._best = row
        notes = ["best so far"] if is_best else []
        if not self._terminal and (left := self.seconds_left()) is not None:
            notes.append(f"{duration(left)} left")
        self._line("  ".join([table_line(row, self._names), ", ".join(notes)]).rstrip())

    def _status(self) -> str:
        """Progress, best loss so far, and an estimate of the time left."""
        done = sum(row.seed is None for row in self._rows.values())
        planned = self._search.planned_trials
        of = "" if math.isinf(planned) else f" of {planned:.0f}"
        parts = [f"{done}{of} trials done"]
        if self._running:
            running = [f"{run} {part:.0%}" for run, part in self._running.items()]
            parts.append(", ".join(running))
        if self._best is not None:
            parts.append(f"best {self._best.nats:.4f} nats (trial {self._best.number})")
        if (left := self.seconds_left()) is not None:
            parts.append(f"{duration(left)} left")
        return "; ".join(parts)

    def seconds_left(self) -> float | None:
        """An estimate of the time left in seconds; None if it is not known."""
        search = self._search
        seconds = [row.seconds for row in self._rows.values() if row.seconds is not None]
        config, record = search.plan.config, search.record
        one = 60 * record.minutes or (sum(seconds) / len(seconds) if seconds else 0.0)
        if not one:
            return None
        runs = search.planned_trials + FINAL_RUNS - len(self._rows) - sum(self._running.values())
        if math.isinf(runs):
            runs = (60 * config.minutes * config.jobs - sum(seconds)) / one
        if math.isinf(runs) or math.isnan(runs):
            return None
        return max(0.0, runs * one / config.jobs)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.clear()
        self._say(text)
        if self._bar is not None:
            self._bar.refresh()


def table_line(row: Row, names: list[str]) -> str:
    """A row of the table of trials.

    Args:
        row: the trial.
        names: fields of the columns.
    """
    label = f"{row.number}" if row.seed is None else f"{row.number} seed {row.seed}"
    nats = "-" if row.nats is None else f"{row.nats:.4f}"
    time_of = "-" if row.seconds is None else duration(row.seconds)
    cells = [label.ljust(_WIDTH), nats.rjust(9), time_of.rjust(_WIDTH)]
    for name in names:
        cells.append(_shown(row.values, name).rjust(max(_WIDTH, len(_name(name)))))
    line = "  ".join(cells)
    return f"{line}  {row.fault}" if row.fault else line


def _shown(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "-"
    value = values[name]
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _name(field: str) -> str:
    """An option's name without dashes in front."""
    return flag_of(triable()[field][1]).removeprefix("--")


def shown_dimension(one: Dimension) -> str:
    """The values of a dimension."""
    if one.choices:
        return ",".join(map(str, one.choices))
    return f"{one.low:.3g}..{one.high:.3g}" + (":log" if one.log else "")
