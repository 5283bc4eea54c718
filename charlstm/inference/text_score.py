"""The score of one of many texts, added up over its passages."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from charlstm.errors import CorpusError
from charlstm.inference.score import Score
from charlstm.text.passages import Passage

_PEAKS = 3  # characters


@dataclass(frozen=True, kw_only=True)
class TextScore(Score):
    """The score of one of many texts.

    Attributes:
        nats, count: as in `Score`; the text's end is one more character.
        source: the name of its file; empty for a text in memory.
        number: of the text in its file, or among the texts, from 1; 0 for a file.
        text: as the model reads it; of a text of several passages, the first.
        peaks: the mean loss of the three most surprising characters, in nats.
        highest: the loss of the most surprising character, in nats.
        document: the document of that character, if the text is a file of documents; otherwise 0.
        line, column: its place in the text or document, from 1.
        character: that character; empty at the end of the text or document.
        unknown_characters: number of characters outside the vocabulary, omitted or replaced.
    """

    source: str
    number: int
    text: str
    peaks: float
    highest: float
    document: int
    line: int
    column: int
    character: str
    unknown_characters: int

    @property
    def bits(self) -> float:
        """The loss of the whole text, in bits."""
        return self.nats / math.log(2)

    @property
    def peak_bits(self) -> float:
        """The mean loss of the three most surprising characters, in bits."""
        return self.peaks / math.log(2)

    @property
    def highest_bits(self) -> float:
        """The loss of the most surprising character, in bits."""
        return self.highest / math.log(2)


class TextSum:
    """The sums of a text over its passages."""

    def __init__(self, passage: Passage, text: str) -> None:
        self.source, self.number, self.text = passage.source, passage.number, text
        self.nats, self.count, self.unknown_characters = 0.0, 0, 0
        self.highest, self.place = -math.inf, (0, 1, 1, "")
        self.peaks = np.empty(0)  # the highest losses
        self.document = passage.document
        self.done = 0  # characters, for the position of an unknown one
        self._line, self._column = 1, 1  # of the passage's first character

    def add(self, document: int, text: str, losses: NDArray[np.float64]) -> None:
        """Add a passage.

        Args:
            document: its number of the document.
            text: the passage as the model reads it.
            losses: of each character and the end if it counts, in nats.
        """
        if document != self.document:
            self.document, self._line, self._column, self.done = document, 1, 1, 0
        self.count += len(losses)
        if len(losses):
            self.nats += float(losses.sum())
            self.peaks = np.sort(np.concatenate([self.peaks, losses]))[-_PEAKS:]
            place = int(losses.argmax())
            if not losses[place] <= self.highest:  # also if it is not a number
                self.highest = float(losses[place])
                self.place = (
                    document,
                    *self._line_and_column(text, place),
                    text[place : place + 1],
                )
        self._line, self._column = self._line_and_column(text, len(text))
        self.done += len(text)

    def _line_and_column(self, text: str, place: int) -> tuple[int, int]:
        start = text.rfind("\n", 0, place) + 1
        if not start:
            return self._line, self._column + place
        return self._line + text.count("\n", 0, start), place - start + 1

    def score(self) -> TextScore:
        """The score of the text.

        Raises:
            CorpusError: none of its characters is predicted.
        """
        if not self.count:
            raise CorpusError(
                f"{name_of_text(self.source, self.number, 0)} has no character to predict."
            )
        document, line, column, character = self.place
        return TextScore(
            nats=self.nats,
            count=self.count,
            source=self.source,
            number=self.number,
            text=self.text,
            peaks=float(self.peaks.mean()),
            highest=self.highest,
            document=document,
            line=line,
            column=column,
            character=character,
            unknown_characters=self.unknown_characters,
        )


def name_of_text(source: str, number: int, document: int) -> str:
    """A text in an error message."""
    if not source:
        return f"text {number}"
    if document:
        return f"document {document} of {source}"
    return f"{source}:{number}" if number else source
