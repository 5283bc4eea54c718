"""Contestants of a table: each is started in its forms, the best form runs, all are closed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import (
    RIVALS,
    Timing,
    Worker,
    WorkerError,
    interleave,
    rival_versions,
    rivals_python,
)


@dataclass
class Entry:
    """A contestant, or the reason why it is none.

    Attributes:
        run: seconds per unit, by one round; None for one that cannot run.
        note: which of its forms won, or why it cannot run.
        close: ends its process.
        compile_seconds: before its first round.
    """

    run: Callable[[], float] | None
    note: str = ""
    close: Callable[[], None] = lambda: None
    compile_seconds: float = 0.0


def enter(
    script: Path,
    forms: Mapping[str, Mapping[str, Any]],
    *,
    needs: tuple[str, ...] = (),
    python: str = sys.executable,
) -> Entry:
    """Start each form of a contestant; of several, let each run twice, and keep the fastest.

    Args:
        script: what `Worker` runs.
        forms: a form's name and arguments; `environment` among them is taken out.
        needs: packages of the rivals' environment; with any, the script runs there.
        python: the interpreter of a script that needs none.
    """
    if any(name not in rival_versions() for name in needs):
        return Entry(None, "not installed")
    best: tuple[float, str, Worker] | None = None
    for name, arguments in forms.items():
        own = dict(arguments)
        environment = own.pop("environment", None)
        try:
            worker = Worker(
                script, own, python=rivals_python() if needs else python, environment=environment
            )
            alone = len(forms) == 1
            seconds = 1.0 if alone else min(worker.seconds(), worker.seconds())
        except WorkerError as error:
            print(f"{script.name}, {name}: failed\n{error}", file=sys.stderr, flush=True)
            continue
        if not alone:  # worth seeing, but not in the table
            print(f"{script.name} {name}: {1 / seconds:,.0f}/s", file=sys.stderr, flush=True)
        if best is None or seconds < best[0]:
            if best is not None:
                best[2].close()
            best = seconds, name, worker
        else:
            worker.close()
    if best is None:
        return Entry(None, "failed")
    _, name, worker = best
    note = ", ".join(filter(None, [name, worker.note]))
    return Entry(worker.seconds, note, worker.close, worker.compile_seconds)


def fresh(
    script: Path, arguments: Mapping[str, Any], *, note: str = "", python: str = sys.executable
) -> Entry:
    """A contestant whose rounds are processes of their own."""

    def one_round() -> float:
        worker = Worker(script, arguments, python=python)
        try:
            return worker.seconds()
        finally:
            worker.close()

    return Entry(one_round, note)


def race(entries: Mapping[str, Entry], rounds: int) -> dict[str, Timing]:
    """Interleaved rounds of those that can run; one that fails on the way is out."""

    def guarded(name: str, entry: Entry) -> Callable[[], float]:
        def run() -> float:
            if entry.run is None:
                return float("nan")
            try:
                return entry.run()
            except WorkerError as error:
                print(f"{name}: failed\n{error}", file=sys.stderr, flush=True)
                entry.run, entry.note = None, "failed"
                return float("nan")

        return run

    running = {name: guarded(name, e) for name, e in entries.items() if e.run is not None}
    try:
        times = interleave(running, rounds, warm_up=False)
    finally:
        for entry in entries.values():
            entry.close()
    return {name: timing for name, timing in times.items() if entries[name].run is not None}


def rival(name: str) -> Path:
    """A rival's script."""
    return RIVALS / name
