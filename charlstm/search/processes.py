"""Worker processes of a search on this machine (`--jobs`).

Each worker receives the plan, and takes trials from the storage, as processes on other machines do.
A pipe carries events to the parent, and a request to stop to the worker. If the parent is killed,
the pipe closes, and the workers save and end.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from charlstm.errors import CharlstmError, SearchError
from charlstm.search.control import Control
from charlstm.search.events import Event, Moved, Noticed
from charlstm.search.folder import SearchFolder
from charlstm.search.plan import SearchPlan
from charlstm.search.study import SharedStudy

_WAIT_SECONDS = 0.2
_MOVED_SECONDS = 0.5


def run_workers(plan: SearchPlan, control: Control) -> Iterator[Event]:
    """Start the worker processes and yield their events until all have ended.

    Args:
        plan: the plan.
        control: passes on a request to stop.

    Raises:
        CharlstmError: an error of a worker; the other workers have been stopped.
        SearchError: all workers were killed.
    """
    context = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
    workers: dict[Connection, BaseProcess] = {}
    try:
        for _ in range(plan.config.jobs):
            ours, theirs = context.Pipe()
            process: BaseProcess = context.Process(target=work, args=(plan, theirs))
            process.start()
            theirs.close()
            workers[ours] = process
        yield from _events(workers, control)
    finally:
        for pipe, process in workers.items():
            pipe.close()
            process.join()


def _events(workers: dict[Connection, BaseProcess], control: Control) -> Iterator[Event]:
    running, killed, asked = dict(workers), 0, False
    fault: CharlstmError | None = None
    while running:
        if control.stopping and not asked:
            asked = True
            for pipe in running:
                _send(pipe, "stop")
        for ready in multiprocessing.connection.wait(list(running), timeout=_WAIT_SECONDS):
            assert isinstance(ready, Connection)
            try:
                message: Any = ready.recv()
            except (EOFError, OSError):
                process = running.pop(ready)
                process.join()
                if process.exitcode:
                    killed += 1
                    yield Noticed(_ended(process))
                continue
            if isinstance(message, CharlstmError):
                fault = fault or message
                control.request_stop()
            else:
                yield message
    if fault is not None:
        raise fault
    if killed == len(workers):
        raise SearchError(
            "all worker processes were killed.\n"
            "Their runs are saved. To continue, run the same command."
        )


def _ended(process: BaseProcess) -> str:
    code = process.exitcode or 0
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"a worker process was ended by {how}; another one resumes its trial."


def _send(pipe: Connection, message: object) -> bool:
    """Send a message; False if the other side has ended."""
    try:
        pipe.send(message)
    except OSError:
        return False
    return True


def work(plan: SearchPlan, pipe: Connection) -> None:
    """The main function of a worker: trains trials, and sends events and a final error.

    Args:
        plan: the plan.
        pipe: the connection to the parent.
    """
    from charlstm.search.worker import Worker  # noqa: PLC0415 - torch

    # The parent receives Ctrl-C, too, and asks all workers to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    control = Control()
    threading.Thread(target=_listen, args=(pipe, control), daemon=True).start()
    moved_at = 0.0

    def notice(text: str) -> None:
        _send(pipe, Noticed(text))

    def moved(event: Moved) -> None:
        nonlocal moved_at
        if time.monotonic() - moved_at >= _MOVED_SECONDS:
            moved_at = time.monotonic()
            _send(pipe, event)

    try:
        shared = SharedStudy(SearchFolder(plan.folder), plan.config.storage, plan.name)
        record = shared.record()
        assert record is not None, "the parent has stored it"
        worker = Worker(plan, shared, record, control, notice, moved)
        for event in worker.run():
            _send(pipe, event)
    except CharlstmError as error:
        _send(pipe, error)
    pipe.close()


def _listen(pipe: Connection, control: Control) -> None:
    """Request a stop when the parent asks for it, or has ended."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv()
    control.request_stop()
