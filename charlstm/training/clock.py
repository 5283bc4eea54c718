"""A run's time: how much of it is gone, and what it allows beside training."""

from __future__ import annotations

_LOOKS = 10  # at the validation part, evenly over the run, if they are cheap
_DEAREST = 0.05  # what looking may take of the time
VALIDATION_SHARE = 0.04  # what the last look may take of it


class Clock:
    """The division of a budget among learning, and looking and saving at the end.

    Args:
        budget: seconds, all told.
        looks: how often the validation part is predicted at the end.

    Attributes:
        look: seconds that predicting the validation part takes, once.
        save: seconds that a save takes.
    """

    def __init__(self, budget: float, looks: int = 1) -> None:
        self.budget = budget
        self.looks = looks
        self.look = VALIDATION_SHARE * budget / looks
        self.save = 0.0
        self._looked = 0.0
        self._began = (0.0, 0.0)

    @property
    def end(self) -> float:
        """When learning has to end, in seconds from the start: then comes the last evaluation."""
        return max(0.0, self.budget - self.looks * self.look - 2 * self.save)

    def share(self, spent: float) -> float:
        """How much of the time for learning is gone: 0 to 1."""
        return min(1.0, spent / self.end) if self.end else 1.0

    def begin(self, spent: float, done: float) -> None:
        """Take down that learning begins, after so many seconds, with that share of it done.

        Args:
            spent: as for `may_look`.
            done: as for `may_look`; if it is 1, no step follows, before which to ask that.
        """
        self._began = (spent, done)
        self._looked = spent

    def looked(self, spent: float, seconds: float) -> None:
        """Take down an evaluation that has just ended, and what one prediction took of it."""
        self._looked, self.look = spent, seconds

    def may_look(self, spent: float, done: float) -> bool:
        """Whether to evaluate before the end; not so shortly before that it would say no more.

        Args:
            spent: seconds since the start.
            done: the share of the run that is done, which its epochs may end before the time.
        """
        seconds, share = self._began
        end = self.end
        if done > share:
            end = min(end, spent + (1 - done) * (spent - seconds) / (done - share))
        whole = (end - seconds) / (1 - share)  # for a run that is resumed, sessions before it, too
        pause = max(self.look / _DEAREST, whole / _LOOKS)
        return spent - self._looked >= pause and end - spent >= pause / 2
