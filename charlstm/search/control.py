"""Stopping a search: requests are passed to the trial in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from charlstm.errors import CharlstmError


class Stoppable(Protocol):
    """A training that can be stopped."""

    def stop(self) -> None:
        """Finish the step, save, and end."""


class StopRequestedError(CharlstmError):
    """A stop was requested while nothing was being trained."""


class Control:
    """Passes a request to stop to the current or the next training.

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
        """Raise an error if a stop was requested; to be called while nothing is being trained.

        Raises:
            StopRequestedError: a stop was requested.
        """
        if self.stopping:
            raise StopRequestedError("a stop was requested.")

    @contextmanager
    def attached(self, training: Stoppable) -> Iterator[None]:
        """A context in which requests, including an earlier one, are passed to a training."""
        self._training = training
        try:
            if self.stopping:
                training.stop()
            yield
        finally:
            self._training = None
