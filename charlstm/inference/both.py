"""Bidirectional models: pseudo-likelihood, and filling in blanks.

Such a model gives p(x_t | all that is before t, all that is after t). Multiplied over a text these
are no probability of the text but its pseudo-likelihood (Besag 1975), which is not to be compared
with the likelihood that a one-way model gives. And there is no first character to begin with:
blanks are filled by Gibbs sampling (Geman & Geman 1984), each drawn anew given all others, again
and again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import FillConfig, ModelConfig, SampleConfig
from charlstm.errors import CorpusError
from charlstm.inference.engine import Engine, Session, no_underflow
from charlstm.inference.sampling import Sampler
from charlstm.inference.scoring import Score, cross_entropy
from charlstm.text.parts import Part, as_part
from charlstm.text.tokenizer import Ids

BLOCK = 128  # characters that are scored together
CONTEXT = 128  # and how many at least are read on each side of them, where the text has them
_MOST_BLOCKS = 64
_MOST_KEPT = 1 << 26  # logits kept at a time by `fill`


@dataclass(frozen=True)
class Blocks:
    """Parts of a text to evaluate in one batch.

    Attributes:
        starts: the first character that each predicts, (S,).
        count: how many each predicts.
        left: how many characters before `start` are read, at least one.
        right: how many after the last are read.
    """

    starts: NDArray[np.int64]
    count: int
    left: int
    right: int

    @property
    def places(self) -> NDArray[np.int64]:
        """All positions read or predicted, in the text's order: (left + count + right, S)."""
        reach = np.arange(-self.left, self.count + self.right)
        return reach[:, None] + self.starts[None, :]


def plan_blocks(part: Part) -> Iterator[Blocks]:
    """Divide a part of a text into blocks; all characters but each segment's first are predicted.

    Raises:
        CorpusError: the part has no two characters in a row.
    """
    if part.predictions < 1:
        raise CorpusError(
            f"the text has {len(part)} character(s); at least 2 are needed to score it."
        )
    starts: list[int] = []
    shape = (0, 0, 0)
    for first, stop in part.groupable.tolist():
        for start in range(first + 1, stop, BLOCK):
            count = min(BLOCK, stop - start)
            own = (count, min(CONTEXT, start - first), min(CONTEXT, stop - start - count))
            if starts and (own != shape or len(starts) == _MOST_BLOCKS):
                yield Blocks(np.array(starts), *shape)
                starts = []
            shape = own
            starts.append(start)
    yield Blocks(np.array(starts), *shape)


class BothWays:
    """A bidirectional model.

    Args:
        weights, config, vocab_size: as for `Engine`.

    Raises:
        CheckpointError: the weights are not those of such a model.
    """

    def __init__(
        self, weights: Mapping[str, NDArray[Any]], config: ModelConfig, vocab_size: int
    ) -> None:
        self.forward = Engine(weights, config, vocab_size)
        self.backward = Engine(weights, config, vocab_size, direction="backward")

    def logits(self, ids: Ids, blocks: Blocks) -> NDArray[np.float32]:
        """Logits of each character to predict, from both sides: (count, S, V)."""
        read = ids[blocks.places].astype(np.int64)
        streams = read.shape[1]
        first, last = blocks.left, blocks.left + blocks.count
        total = np.zeros((blocks.count, streams, self.forward.vocab_size), dtype=np.float32)
        session = self.forward.session(streams)
        for place in range(last - 1):
            logits = _step(session, read[place])
            if place + 1 >= first:
                total[place + 1 - first] += logits
        session = self.backward.session(streams)
        for place in range(len(read) - 1, first, -1):
            logits = _step(session, read[place])
            if place - 1 < last:
                total[place - 1 - first] += logits
        return total

    @no_underflow()
    def score(self, ids: Ids | Part, progress: Callable[[int], None] | None = None) -> Score:
        """The pseudo-likelihood of a text.

        Args:
            ids: shape (T,), or a part of a text, whose segments are read one by one.
            progress: receives how many characters have been predicted.

        Raises:
            CorpusError: fewer than two characters.
        """
        part = as_part(ids)
        ids = part.ids
        nats, done = 0.0, 0
        for blocks in plan_blocks(part):
            targets = ids[blocks.places].astype(np.int64)
            targets = targets[blocks.left : blocks.left + blocks.count]
            logits = self.logits(ids, blocks)
            nats += float(
                cross_entropy(logits.reshape(targets.size, -1), targets.reshape(-1)).sum()
            )
            done += targets.size
            if progress is not None:
                progress(done)
        return Score(nats, done)

    @no_underflow()
    def fill(
        self,
        ids: NDArray[np.int64],
        blanks: NDArray[np.bool_],
        count: int,
        config: FillConfig,
        swept: Callable[[int], None] | None = None,
        excluded: int = -1,
    ) -> NDArray[np.int64]:
        """Fill in blanks, then resample them in `config.sweeps` Gibbs sweeps.

        The first time, what lies to the right is read without its blanks. Each time the text is
        gone through from left to right, so that what is drawn is read by what is drawn after.

        Args:
            ids: the text, (T,); what stands at blanks does not count.
            blanks: which of them are blank, (T,).
            count: N, how many samples side by side.
            config: temperature, sweeps and seed.
            swept: receives the number of sweeps done so far, over all samples.
            excluded: an id that is not drawn; -1: none.

        Returns:
            All samples, (N, T).
        """
        # As many side by side as what the right side says of their blanks has room for.
        room = _MOST_KEPT // (max(1, int(blanks.sum())) * self.forward.vocab_size)
        group = max(1, min(count, room))
        return np.concatenate(
            [
                self._fill(ids, blanks, min(group, count - first), first, config, swept, excluded)
                for first in range(0, count, group)
            ]
        )

    def _fill(
        self,
        ids: NDArray[np.int64],
        blanks: NDArray[np.bool_],
        count: int,
        first: int,
        config: FillConfig,
        swept: Callable[[int], None] | None,
        excluded: int,
    ) -> NDArray[np.int64]:
        """Samples `first` to `first + count - 1`."""
        seed = 0 if config.seed is None else config.seed
        sampling = SampleConfig(temperature=config.temperature)
        sampler = Sampler(sampling, count, seed, first=first)
        texts = np.repeat(ids[None, :], count, axis=0)
        for sweep in range(config.sweeps + 1):
            after = self._after(texts, blanks, skip=sweep == 0)
            session = self.forward.session(count)
            logits = np.repeat(self.forward.head.bias[None, :], count, axis=0)
            for place in range(len(ids)):
                if blanks[place]:
                    both = logits + after[place]
                    if excluded >= 0:
                        both[:, excluded] = -np.inf
                    texts[:, place] = sampler.choose(both)
                logits = _step(session, texts[:, place])
            if swept is not None:
                swept(first * (config.sweeps + 1) + count * (sweep + 1))
        return texts

    def _after(
        self, texts: NDArray[np.int64], blanks: NDArray[np.bool_], *, skip: bool
    ) -> dict[int, NDArray[np.float32]]:
        """Logits of each blank from the right side: (N, V) by position."""
        session = self.backward.session(len(texts))
        logits = np.zeros((len(texts), self.backward.vocab_size), dtype=np.float32)
        found = {}
        for place in range(texts.shape[1] - 1, -1, -1):
            if blanks[place]:
                found[place] = logits.copy()
                if skip:
                    continue
            logits = _step(session, texts[:, place])
        return found


def _step(session: Session, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """One step whose logits are (N, V) for a single stream, too."""
    logits = session.step(ids if session.streams > 1 else int(ids[0]))
    return logits.reshape(session.streams, -1)
