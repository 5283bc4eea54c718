"""Bidirectional models: evaluation by pseudo-likelihood, and filling in blanks.

A bidirectional model gives p(x_t | x_1..x_{t-1}, x_{t+1}..x_T). The product of these over a text is
the pseudo-likelihood (Besag 1975). It is not a probability of the text and cannot be compared with
the likelihood under a forward model.

Such a model cannot generate from left to right. Blanks are filled by Gibbs sampling (Geman & Geman
1984): each sweep resamples every blank, given all other characters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charlstm.config import FillConfig, ModelConfig, SampleConfig
from charlstm.inference.engine import Engine, Session, no_underflow
from charlstm.inference.sampling import Sampler
from charlstm.inference.score import Score
from charlstm.inference.scoring import cross_entropy
from charlstm.text.parts import Part, as_part, too_short
from charlstm.text.tokenizer import Ids

BLOCK = 128  # predicted characters in a block
CONTEXT = 128  # minimum number of characters read on each side of a block, where the text has them
_MAX_BLOCKS = 64
_MAX_LOGITS = 1 << 26  # logits kept at a time by `fill`


@dataclass(frozen=True)
class Blocks:
    """Blocks of a text, all of one shape, to evaluate in one batch.

    Attributes:
        starts: the position of each block's first predicted character, (S,).
        count: number of predicted characters in each block.
        left: number of characters read before the first predicted one, at least 1.
        right: number of characters read after the last predicted one.
    """

    starts: NDArray[np.int64]
    count: int
    left: int
    right: int

    @property
    def positions(self) -> NDArray[np.int64]:
        """All positions read or predicted, in ascending order: (left + count + right, S)."""
        reach = np.arange(-self.left, self.count + self.right)
        return reach[:, None] + self.starts[None, :]


def plan_blocks(part: Part, before: int = 0, after: int = 0) -> Iterator[Blocks]:
    """Divide a part of a text into blocks that predict all characters but each segment's first.

    Args:
        part: the part.
        before, after: numbers of characters at its beginning and end that are only read, see
            `Excerpt`.

    Raises:
        CorpusError: the part has no two characters in a row.
    """
    if part.predictions < 1:
        raise too_short(len(part))
    starts: list[int] = []
    shape = (0, 0, 0)
    begin, end = int(part.spans[:, 0].min()) + before, int(part.spans[:, 1].max()) - after
    for first, stop in part.groupable.tolist():
        own_stop = min(stop, end)
        for start in range(max(first, begin) + 1, own_stop, BLOCK):
            count = min(BLOCK, own_stop - start)
            new_shape = (count, min(CONTEXT, start - first), min(CONTEXT, stop - start - count))
            if starts and (new_shape != shape or len(starts) == _MAX_BLOCKS):
                yield Blocks(np.array(starts), *shape)
                starts = []
            shape = new_shape
            starts.append(start)
    yield Blocks(np.array(starts), *shape)


class BidirectionalModel:
    """A bidirectional model: a forward and a backward stack whose logits are added.

    Args:
        weights, config, vocab_size: as for `Engine`.

    Raises:
        CheckpointError: the weights do not fit the configuration.
    """

    def __init__(
        self, weights: Mapping[str, NDArray[Any]], config: ModelConfig, vocab_size: int
    ) -> None:
        self.forward = Engine(weights, config, vocab_size)
        self.backward = Engine(weights, config, vocab_size, direction="backward")

    def logits(self, ids: Ids, blocks: Blocks) -> NDArray[np.float32]:
        """Logits of each predicted character: (count, S, V)."""
        read = ids[blocks.positions].astype(np.int64)  # (left + count + right, S)
        streams = read.shape[1]
        first, last = blocks.left, blocks.left + blocks.count
        total = np.zeros((blocks.count, streams, self.forward.vocab_size), dtype=np.float32)
        session = self.forward.session(streams)
        for position in range(last - 1):
            logits = _step(session, read[position])
            if position + 1 >= first:
                total[position + 1 - first] += logits
        session = self.backward.session(streams)
        for position in range(len(read) - 1, first, -1):
            logits = _step(session, read[position])
            if position - 1 < last:
                total[position - 1 - first] += logits
        return total

    @no_underflow()
    def score(
        self,
        ids: Ids | Part,
        progress: Callable[[int], None] | None = None,
        *,
        before: int = 0,
        after: int = 0,
    ) -> Score:
        """The pseudo-likelihood of a text.

        Args:
            ids: shape (T,), or a part of a text, each of whose segments is read separately.
            progress: receives the number of characters predicted.
            before, after: as for `plan_blocks`.

        Raises:
            CorpusError: the text has fewer than two characters.
        """
        part = as_part(ids)
        ids = part.ids
        nats, done = 0.0, 0
        for blocks in plan_blocks(part, before, after):
            targets = ids[blocks.positions].astype(np.int64)
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

        Each sweep draws the blanks from left to right; a draw conditions on the blanks already
        drawn. In the first sweep the backward stack skips blanks, which have no values yet.

        Args:
            ids: the text, (T,); values at blanks are ignored.
            blanks: mask of the blanks, (T,).
            count: N, number of samples.
            config: temperature, sweeps and seed.
            swept: receives the number of sweeps done so far, over all samples.
            excluded: an id that is never drawn; -1: none.

        Returns:
            All samples, (N, T).
        """
        # The batch size is limited by memory for the backward stack's logits of all blanks.
        room = _MAX_LOGITS // (max(1, int(blanks.sum())) * self.forward.vocab_size)
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
            backward_logits = self._backward_logits(texts, blanks, skip=sweep == 0)
            session = self.forward.session(count)
            logits = np.repeat(self.forward.head.bias[None, :], count, axis=0)
            for position in range(len(ids)):
                if blanks[position]:
                    total = logits + backward_logits[position]
                    if excluded >= 0:
                        total[:, excluded] = -np.inf
                    texts[:, position] = sampler.choose(total)
                logits = _step(session, texts[:, position])
            if swept is not None:
                swept(first * (config.sweeps + 1) + count * (sweep + 1))
        return texts

    def _backward_logits(
        self, texts: NDArray[np.int64], blanks: NDArray[np.bool_], *, skip: bool
    ) -> dict[int, NDArray[np.float32]]:
        """The backward stack's logits of each blank: (N, V) by position."""
        session = self.backward.session(len(texts))
        logits = np.zeros((len(texts), self.backward.vocab_size), dtype=np.float32)
        logits_at = {}
        for position in range(texts.shape[1] - 1, -1, -1):
            if blanks[position]:
                logits_at[position] = logits.copy()
                if skip:
                    continue
            logits = _step(session, texts[:, position])
        return logits_at


def _step(session: Session, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """One step of a session; logits (N, V), also for a single stream."""
    logits = session.step(ids if session.streams > 1 else int(ids[0]))
    return logits.reshape(session.streams, -1)
