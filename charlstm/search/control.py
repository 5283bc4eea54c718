"""A request to stop, passed on to the trial that is being trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from charlstm.errors import CharlstmError


class Stoppable(Protocol):
    """A training, as far as it is stopped from here."""

    def stop(self) -> None:
        """Finish the step, save, and end."""


class StopRequestedError(CharlstmError):
    """A stop was requested while nothing was being trained."""


class Control:
    """Passes a request to stop to whatever is being trained, now or later.

    Attributes:
        stopping: whether a stop was requested.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._training: Stoppable | None = None

    def request_stop(self) -> None:
        """Request a stop; may be called from a signal handler or another thread."""
        self.stopping = True
        if self._training is not None:
            self._training.stop()

    def check(self) -> None:
        """Raise the request, where nothing is being trained.

        Raises:
            StopRequestedError: a stop was requested.
        """
        if self.stopping:
            raise StopRequestedError("a stop was requested.")

    @contextmanager
    def attached(self, training: Stoppable) -> Iterator[None]:
        """A context in which requests go to a training; an earlier request does, too."""
        self._training = training
        try:
            if self.stopping:
                training.stop()
            yield
        finally:
            self._training = None
