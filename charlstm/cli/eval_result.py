"""What an evaluation finds out about a text."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.score import Score
    from charlstm.text.tokenizer import Ids


@dataclass
class Result:
    """The result of an evaluation.

    Attributes:
        score: the model's score.
        adapted: that of dynamic evaluation, if it was requested.
        documents: number of documents of a model of documents; None for other models.
        unigram_nats: entropy of the text's character frequencies.
        compressed: bits per byte of the text after compression, by program; may be empty.
        omitted: counts of unknown characters that are not in the text as the model reads it.
        mapped: counts of those mapped.
    """

    score: Score
    adapted: Score | None
    documents: int | None
    unigram_nats: float
    compressed: dict[str, float]
    omitted: Counter[str] = field(default_factory=Counter)
    mapped: Counter[tuple[str, str]] = field(default_factory=Counter)


class Facts:
    """Counts characters by id, and compresses the text."""

    def __init__(self, model: LanguageModel) -> None:
        import numpy as np

        from charlstm.text.compression import Compressors

        self._tokenizer = model.tokenizer
        self._counts = np.zeros(len(model.tokenizer), dtype=np.int64)
        self._compressors = Compressors()

    def add(self, ids: Ids) -> None:
        """Add the next ids of the text."""
        import numpy as np

        self._counts += np.bincount(ids, minlength=len(self._counts))
        if not self._compressors.is_full:
            text = self._tokenizer.decode(ids, boundaries=True)
            self._compressors.add(text.encode("utf-8", "surrogatepass"))

    @property
    def unigram_nats(self) -> float:
        """The entropy of the counts, in nats per character."""
        from charlstm.text.entropy import entropy

        return entropy(self._counts)

    def compressed(self) -> dict[str, float]:
        """Bits per byte by program."""
        return self._compressors.bits_per_byte()
