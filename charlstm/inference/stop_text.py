"""Ending generated text at a stop text, or where its document ends."""

from __future__ import annotations


class StopText:
    """A filter of generated characters that ends the text before the first stop text.

    Characters that may be the start of a stop text are held back until it is certain.

    Args:
        texts: the stop texts, not empty strings.

    Attributes:
        texts: the stop texts.
        finish: what has ended the sample: `stop`, `end` of its document, or `length`.
    """

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts
        self._starts = frozenset(stop[0] for stop in texts)
        self._held = ""
        self.finish = "length"

    @property
    def found(self) -> bool:
        """Whether the sample has ended before its length."""
        return self.finish != "length"

    def end(self) -> None:
        """End the sample where its document ends; `rest` is still to be called."""
        self.finish = "end"

    def feed(self, character: str) -> str:
        """Add the next character; returns the text that certainly precedes any stop text."""
        if not self._held and character not in self._starts:
            return character
        self._held += character
        return self._release(final=False)

    def rest(self) -> str:
        """The remaining text, up to a stop text, after generation has ended."""
        return self._release(final=True)

    def _release(self, *, final: bool) -> str:
        """Remove the held text in which no stop text can begin.

        Args:
            final: whether the text has ended, so that an incomplete stop text is ordinary text.
        """
        held = self._held
        for first in range(len(held)):
            if any(held.startswith(stop, first) for stop in self.texts):
                self.finish = "stop"
                self._held = ""
                return held[:first]
            if not final and any(stop.startswith(held[first:]) for stop in self.texts):
                self._held = held[first:]
                return held[:first]
        self._held = ""
        return held
