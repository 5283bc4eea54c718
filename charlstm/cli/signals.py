"""Ctrl-C, SIGTERM and a terminal that is closed, while a model is trained."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from charlstm.errors import Picklable

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

    from charlstm.training.loop import Trainer


_AT_ONCE = (signal.SIGINT, signal.SIGTERM)
# Windows has no SIGHUP.
_HANDLED = (*_AT_ONCE, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Stopped(Picklable, BaseException):
    """A signal asked the process to stop before there was anything to save.

    Not an `Exception`: code that handles errors of any kind must not handle this.

    Attributes:
        exit_code: 128 and the signal's number.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__("stopped before training began.")


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP ask the trainer to stop; a second one ends the process at once.

    Before there is a trainer, the first signal raises `Stopped`. Some code drops any exception
    (`__del__`, callbacks of C libraries) or replaces it (C modules that are being imported). So
    the request is kept: `check`, `attach` and `__exit__` raise or pass on what was lost.

    SIGHUP, which a terminal that is closed sends, is never the second one: the shell may send it
    again. Where it is ignored (nohup), it stays so.

    Python runs a handler only between two of its own instructions, which a product of large
    matrices can keep waiting. The second signal is therefore met by a thread, woken by the
    system's own handler.

    Args:
        silent: whether another process reports to the user.

    Attributes:
        trainer: receives the request, once it is attached.
        received: the first signal's number, or 0.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.trainer: Trainer | None = None
        self._silent = silent
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
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
        self._writer.close()  # the thread reads the end, and closes the other side
        sys.unraisablehook = self._hook_before
        if not isinstance(error, Stopped):
            self.check()

    def attach(self, trainer: Trainer) -> None:
        """Pass the request to stop, also one that came before, to a trainer."""
        self.trainer = trainer
        if self.received:
            trainer.request_stop()

    def check(self) -> None:
        """Raise again what was dropped.

        Raises:
            Stopped: a signal was received, and there is no trainer.
        """
        if self.received and self.trainer is None:
            raise Stopped(self.received) from None

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        if self.trainer is None:
            raise Stopped(number)
        self.trainer.request_stop()

    def _report_unraisable(self, unraisable: UnraisableHookArgs) -> None:
        """Report what was raised where nothing can be raised; a request to stop is kept anyway."""
        if not isinstance(unraisable.exc_value, Stopped):
            self._hook_before(unraisable)

    @staticmethod
    def _watch(reader: socket.socket, silent: bool) -> None:
        # It must not hold the trainer: torch's objects may not end in this thread.
        seen = 0
        while data := reader.recv(64):
            ours = [n for n in data if n in _AT_ONCE]
            seen += len(ours)
            if seen > 1:
                if not silent:
                    os.write(2, b"\nError: stopped at once; what was saved before is whole.\n")
                os._exit(128 + ours[-1])
        reader.close()
