"""Ctrl-C, SIGTERM and a terminal that is closed, while a model is trained."""

from __future__ import annotations

import os
import signal
import socket
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any

from charlstm.errors import CharlstmError

if TYPE_CHECKING:
    from charlstm.training.trainer import Trainer


_AT_ONCE = (signal.SIGINT, signal.SIGTERM)
# Windows has no SIGHUP.
_HANDLED = (*_AT_ONCE, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))


class Signals:
    """Ctrl-C, SIGTERM and SIGHUP ask the trainer to stop; a second one ends the process at once.

    SIGHUP, which a terminal that is closed sends, is never the second one: the shell may send it
    again. Where it is ignored (nohup), it stays so.

    Python runs a handler only between two of its own instructions, which a product of large
    matrices can keep waiting. The second signal is therefore met by a thread, woken by the
    system's own handler.

    Args:
        silent: whether another process says what is to be said.

    Attributes:
        trainer: whom to ask, once there is one; before that, the first signal is the last.
        received: the first signal's number, or 0.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.trainer: Trainer | None = None
        self._silent = silent
        self.received = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in _HANDLED:
            if number not in _AT_ONCE and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, self._handle)
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader, self._silent), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._writer.close()  # the thread reads the end, and closes the other side

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        if self.trainer is None:
            raise _StoppedError(number)
        self.trainer.ask_to_stop()

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


class _StoppedError(CharlstmError):
    """A signal before there was anything to save."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # type: ignore[misc]
        super().__init__("stopped before training began.")
