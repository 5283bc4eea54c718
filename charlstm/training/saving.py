"""Checkpoints of a run: written from a training state, and read back into one."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from numpy.typing import NDArray

from charlstm import __version__
from charlstm.config import Config
from charlstm.errors import CheckpointError, DivergenceError
from charlstm.format.checkpoint import Checkpoint, load_checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.progress import Progress, SavedBest
from charlstm.format.weights import check_weights
from charlstm.runs.folder import Run
from charlstm.text.corpus import Corpus
from charlstm.text.tokenizer import CharTokenizer
from charlstm.text.windows import make_windows
from charlstm.training.events import Notice, Saved
from charlstm.training.state import TrainState, part_of


class Saver:
    """Writes `last.npz` and `best.npz` of a run; of a process group, the leader's does.

    Args:
        run: where they go.
        tokenizer: the vocabulary.
        corpus_meta: facts about the text, in every checkpoint.
        paths: where the text can be read again; in `last.npz` only.

    Attributes:
        saved_step: the step of `last.npz`; -1 before the first save.
        saved_at: when it was written, by `time.monotonic`.
        seconds: what writing it took.
        best_ahead: what `best.npz` holds, if `Progress` does not know of it yet.
    """

    def __init__(
        self,
        run: Run,
        tokenizer: CharTokenizer,
        corpus_meta: Mapping[str, Any],
        paths: Sequence[str] = (),
    ) -> None:
        self.run = run
        self.tokenizer = tokenizer
        self.corpus_meta = dict(corpus_meta)
        self.paths = list(paths)
        self.saved_step = -1
        self.saved_at = time.monotonic()
        self.seconds = 0.0
        self.best_ahead: SavedBest | None = None

    def begin(self) -> None:
        """Begin a session: the next save at an interval of time counts from now."""
        self.saved_at = time.monotonic()

    def save_last(self, state: TrainState) -> Saved:
        """Save everything that a resume needs.

        Raises:
            DivergenceError: a weight is too large for a checkpoint; nothing is replaced.
            CheckpointError: the checkpoint cannot be written.
        """
        begun = time.monotonic()
        arrays = state.to_arrays()
        meta = self._meta(state, arrays) | {"paths": self.paths}
        if state.group.is_leader:
            keep = state.config.train.keep
            self.run.save_last(meta, arrays, previous_step=self.saved_step, keep=keep)
        self.saved_step = state.progress.step
        self.saved_at = time.monotonic()
        self.seconds = self.saved_at - begun
        return Saved(state.progress.step, self.run.last)

    def save_best(self, state: TrainState, *, averaged: bool) -> None:
        """Save what writing and scoring need: the weights, or their average.

        Raises:
            DivergenceError, CheckpointError: as for `save_last`.
        """
        self.best_ahead = None
        with state.average.in_place() if averaged else nullcontext():
            arrays = state.weight_arrays()
        meta = self._meta(state, arrays)
        if state.group.is_leader:
            self.run.save_best(meta, arrays)

    def _meta(self, state: TrainState, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """A checkpoint's meta object, once its weights have been checked."""
        try:
            check_weights(part_of(arrays, "model"), state.config.model, len(self.tokenizer))
        except CheckpointError as error:
            train = state.config.train
            raise DivergenceError(
                f"at step {state.progress.step} {error} What was saved before is whole.\n"
                f"Lower --lr (it is {train.lr:g}) or --weight-decay (it is "
                f"{train.weight_decay:g})."
            ) from error
        return {
            "charlstm": __version__,
            "config": state.config.to_json(),
            "tokenizer": self.tokenizer.to_json(),
            "corpus": self.corpus_meta,
            "progress": state.progress.to_json(),
        }


def restore_state(
    checkpoint: Checkpoint, config: Config, corpus: Corpus, device: torch.device
) -> TrainState:
    """The training state that a checkpoint holds.

    Args:
        checkpoint: with everything that a resume needs.
        config: of the run that goes on.
        corpus: its text.
        device: where to compute.

    Raises:
        CheckpointError: it lacks something, or does not fit the configuration or the text.
    """
    progress = Progress.from_json(checkpoint.meta.get("progress"))
    vocab_size = len(corpus.tokenizer)
    state = TrainState.from_arrays(checkpoint.arrays, progress, config, vocab_size, device)
    windows = make_windows(corpus.train, config.windows, config.train.seed)
    if progress.index >= windows.batches_per_epoch:
        raise CheckpointError("the run's progress does not fit its text.")
    return state


def find_best_ahead(
    run: Run, progress: Progress, config: Config, tokenizer: CharTokenizer, notice: Notice
) -> SavedBest | None:
    """What `best.npz` of a resumed run holds, if it is better than the run's progress knows.

    Where `progress` does not say how much of the validation part is evaluated, it is taken over
    from `best.npz`: losses on parts of different sizes cannot be compared.

    Where `best.npz` is missing, damaged or of another run, the best loss in `progress` is
    forgotten, so that the next evaluation saves a new one; `notice` receives that.
    """
    best = _own_best(run, config, tokenizer)
    if best is None:
        if math.isfinite(progress.best_nats):
            notice(f"{run.best} is missing or unusable: the next evaluation saves a new one.")
            progress.best_nats, progress.best_step = math.inf, 0
        return None
    progress.val_chars = progress.val_chars or best.val_chars
    if progress.val_chars == best.val_chars and best.best_nats < progress.best_nats:
        return SavedBest(best.best_nats, best.best_step)
    return None


def _own_best(run: Run, config: Config, tokenizer: CharTokenizer) -> Progress | None:
    """The progress in the run's `best.npz`; None if that is no intact checkpoint of the run."""
    try:
        checkpoint = load_checkpoint(run.best, kinds=frozenset())
        saved, vocabulary = read_meta(run.best, checkpoint)
        best = Progress.from_json(checkpoint.meta.get("progress"))
    except CheckpointError:
        return None
    if (saved.model, saved.text, vocabulary) != (config.model, config.text, tokenizer):
        return None
    return best
