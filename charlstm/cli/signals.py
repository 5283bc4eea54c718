"""Signal handling in training: SIGINT (Ctrl-C), SIGTERM and SIGHUP (closed terminal)."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from charlstm.cli.stopped import Stopped

if TYPE_CHECKING:
    import socket
    from sys import UnraisableHookArgs


_AT_ONCE = (signal.SIGINT, signal.SIGTERM)
# Windows has no SIGHUP.
_HANDLED = (*_AT_ONCE, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Stoppable(Protocol):
    """What a request to stop is passed to: a trainer, or a search."""

    def request_stop(self) -> None:
        """Ask to finish the step, save and stop."""


class Signals:
    """A context in which a signal stops training; a second one ends the process immediately.

    Before a trainer is attached, the first signal raises `Stopped`. Some code drops exceptions
    (`__del__`, callbacks of C libraries) or replaces them (C modules during import). Therefore
    the request is recorded: `check`, `attach` and `__exit__` raise it again or pass it on.

    SIGHUP, sent by a closed terminal, never counts as the second signal: the shell may send it
    twice. If it is ignored (nohup), it stays ignored.

    Python runs a handler only between bytecode instructions, so a long matrix product delays it.
    The second signal is therefore handled by a thread, woken through a file descriptor.

    Args:
        silent: whether another process reports to the user.

    Attributes:
        trainer: receives the stop request, once it is attached.
        received: the first signal's number, or 0.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.trainer: Stoppable | None = None
        self._silent = silent
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        import socket  # for `train` only, while every command imports this module

        self._hook_before = sys.unraisablehook
        sys.unraisablehook = self._report_unraisable
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader, self._silent), daemon=True).start()
        for number in _HANDLED:
            if number not in _AT_ONCE and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._writer.close()  # the thread reads end of file and closes the other side
        sys.unraisablehook = self._hook_before
        if not isinstance(error, Stopped):
            self.check()

    def attach(self, trainer: Stoppable) -> None:
        """Pass stop requests, including an earlier one, to a trainer."""
        self.trainer = trainer
        if self.received:
            trainer.request_stop()

    def check(self) -> None:
        """Raise a dropped stop request again.

        Raises:
            Stopped: a signal was received, and no trainer is attached.
        """
        if self.received and self.trainer is None:
            raise Stopped(self.received) from None

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        if self.trainer is None:
            raise Stopped(number)
        self.trainer.request_stop()

    def _report_unraisable(self, unraisable: UnraisableHookArgs) -> None:
        """Report an unraisable exception, unless it is a stop request, which is recorded."""
        if not isinstance(unraisable.exc_value, Stopped):
            self._hook_before(unraisable)

    @staticmethod
    def _watch(reader: socket.socket, silent: bool) -> None:
        # No reference to the trainer: torch objects must not be freed in this thread.
        seen = 0
        while data := reader.recv(64):
            ours = [n for n in data if n in _AT_ONCE]
            seen += len(ours)
            if seen > 1:
                if not silent:
                    os.write(2, b"\nError: stopped at once; earlier checkpoints are intact.\n")
                os._exit(128 + ours[-1])
        reader.close()
