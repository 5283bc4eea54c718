"""The stop request of a signal, apart from `charlstm.cli.signals`, which few commands import."""

from __future__ import annotations

from charlstm.errors import Picklable


class Stopped(Picklable, BaseException):
    """A signal requested a stop before training began.

    Not an `Exception`, so that code which handles any error does not handle this.

    Attributes:
        exit_code: 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        self.exit_code = 128 + number
        super().__init__("stopped before training began.")
