"""Ctrl-C and SIGTERM while a model is trained."""

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


class Signals:
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

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._handle)
        reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(reader,), daemon=True).start()
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
    def _watch(reader: socket.socket) -> None:
        seen = 0
        while data := reader.recv(64):
            ours = [n for n in data if n in (signal.SIGINT, signal.SIGTERM)]
            seen += len(ours)
            if seen > 1:
                os.write(2, b"\nError: stopped at once; what was saved before is whole.\n")
                os._exit(128 + ours[-1])
        reader.close()


class _StoppedError(CharlstmError):
    """A signal before there was anything to save."""

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number  # type: ignore[misc]
        super().__init__("stopped; nothing was trained yet.")
