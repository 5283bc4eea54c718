"""Saving a training state to the checkpoints of a run, and restoring it."""

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
from charlstm.format import ancestry
from charlstm.format.ancestry import Ancestor
from charlstm.format.checkpoint import Checkpoint, load_checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.progress import Progress, SavedBest
from charlstm.format.weights import check_weights
from charlstm.runs.folder import Run
from charlstm.text.corpus import Corpus
from charlstm.text.tokenizer import CharTokenizer
from charlstm.training.events import Notice, Saved
from charlstm.training.replay import OldText, windows_of
from charlstm.training.state import TrainState, part_of


class Saver:
    """Writes `last.npz` and `best.npz` of a run; in a process group, only the leader writes.

    Args:
        run: the run.
        tokenizer: the vocabulary.
        corpus_meta: metadata of the text, written to every checkpoint.
        paths: files and folders of the text, written to `last.npz` only.
        ancestors: the models that the run started from, its base first.
        separate_paths: those of separate texts, by part.

    Attributes:
        saved_step: the step of `last.npz`; -1 before the first save.
        saved_at: when `last.npz` was written, as `time.monotonic()`.
        seconds: duration of that save.
        best_ahead: loss and step of `best.npz`, if it is better than the best one in `Progress`.
    """

    def __init__(
        self,
        run: Run,
        tokenizer: CharTokenizer,
        corpus_meta: Mapping[str, Any],
        paths: Sequence[str] = (),
        ancestors: Sequence[Ancestor] = (),
        separate_paths: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.run = run
        self.tokenizer = tokenizer
        self.corpus_meta = dict(corpus_meta)
        self._paths: dict[str, Any] = {"paths": list(paths)}
        if separate_paths:
            self._paths["separate_paths"] = {p: list(own) for p, own in separate_paths.items()}
        self.ancestors = tuple(ancestors)
        self.saved_step = -1
        self.saved_at = time.monotonic()
        self.seconds = 0.0
        self.best_ahead: SavedBest | None = None

    def begin(self) -> None:
        """Begin a session: the interval of time until the next save starts now."""
        self.saved_at = time.monotonic()

    def save_last(self, state: TrainState) -> Saved:
        """Write `last.npz`, a checkpoint for resuming.

        Raises:
            DivergenceError: a weight is not finite or too large; no file is replaced.
            CheckpointError: the checkpoint cannot be written.
        """
        begun = time.monotonic()
        arrays = state.to_arrays()
        meta = self._meta(state, arrays) | self._paths
        if state.group.is_leader:
            keep = state.config.train.keep
            self.run.save_last(meta, arrays, previous_step=self.saved_step, keep=keep)
        self.saved_step = state.progress.step
        self.saved_at = time.monotonic()
        self.seconds = self.saved_at - begun
        return Saved(state.progress.step, self.run.last)

    def save_best(self, state: TrainState, *, averaged: bool) -> None:
        """Write `best.npz`, a checkpoint for inference, with the weights or their average.

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
        """The metadata of a checkpoint, after a check of its weights."""
        try:
            check_weights(part_of(arrays, "model"), state.config.model, len(self.tokenizer))
        except CheckpointError as error:
            train = state.config.train
            raise DivergenceError(
                f"at step {state.progress.step} {error} What was saved before is intact.\n"
                f"Lower --lr (it is {train.lr:g}) or --weight-decay (it is "
                f"{train.weight_decay:g})."
            ) from error
        meta: dict[str, Any] = {
            "charlstm": __version__,
            "config": state.config.to_json(),
            "tokenizer": self.tokenizer.to_json(),
            "corpus": self.corpus_meta,
            "progress": state.progress.to_json(),
        }
        if self.ancestors:
            meta[ancestry.KEY] = [ancestor.to_json() for ancestor in self.ancestors]
        return meta


def restore_state(
    checkpoint: Checkpoint,
    config: Config,
    corpus: Corpus,
    device: torch.device,
    old: OldText | None = None,
) -> TrainState:
    """The training state of a checkpoint.

    Args:
        checkpoint: a checkpoint for resuming.
        config: the configuration of the resumed run.
        corpus: its text.
        device: the device to train on.
        old: the text that is replayed; None: there is none.

    Raises:
        CheckpointError: an entry is missing, or does not fit the configuration or the text.
    """
    progress = Progress.from_json(checkpoint.meta.get("progress"))
    vocab_size = len(corpus.tokenizer)
    state = TrainState.from_arrays(checkpoint.arrays, progress, config, vocab_size, device)
    windows = windows_of(corpus, old, config)
    if progress.index >= windows.batches_per_epoch:
        raise CheckpointError("the run's progress does not fit its text.")
    return state


def find_best_ahead(
    run: Run, progress: Progress, config: Config, tokenizer: CharTokenizer, notice: Notice
) -> SavedBest | None:
    """Loss and step of a resumed run's `best.npz`, if it is better than the best in `progress`.

    A run that was killed after an evaluation may have written `best.npz` but not `last.npz`.

    If `progress.val_chars` is not set, it is taken from `best.npz`: losses on different numbers of
    characters cannot be compared.

    If `best.npz` is missing, damaged or of another run, the best loss in `progress` is reset, so
    that the next evaluation saves a new one; `notice` receives a message.
    """
    best = _progress_of_best(run, config, tokenizer)
    if best is None:
        if math.isfinite(progress.best_nats):
            notice(f"{run.best} is missing or unusable; the next evaluation saves a new one.")
            progress.best_nats, progress.best_step = math.inf, 0
        return None
    progress.val_chars = progress.val_chars or best.val_chars
    if progress.val_chars == best.val_chars and best.best_nats < progress.best_nats:
        return SavedBest(best.best_nats, best.best_step)
    return None


def _progress_of_best(run: Run, config: Config, tokenizer: CharTokenizer) -> Progress | None:
    """The progress in the run's `best.npz`; None if it is missing, damaged or of another run."""
    try:
        checkpoint = load_checkpoint(run.best, kinds=frozenset())
        saved, vocabulary = read_meta(run.best, checkpoint)
        best = Progress.from_json(checkpoint.meta.get("progress"))
    except CheckpointError:
        return None
    if (saved.model, saved.text, vocabulary) != (config.model, config.text, tokenizer):
        return None
    return best
