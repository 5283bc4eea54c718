"""The loop: windows in, weights out, with everything that continuing needs saved on the way.

A trainer yields events and never prints. Whatever shapes the weights is in its state (weights,
optimizer, dropout's generator, the carried state, the counters) and in the configuration, so a
run that is stopped anywhere and resumed ends in the same bits as one that was not. Evaluations
and previews draw from generators of their own and leave all of that untouched.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from charlstm.config import Config, SampleConfig
from charlstm.errors import ConfigError
from charlstm.format.progress import Evaluated, Progress, SavedBest
from charlstm.inference.language_model import LanguageModel
from charlstm.inference.scoring import plan_streams
from charlstm.nn.network import CharLSTM, NetworkState
from charlstm.runs.folder import Run
from charlstm.runs.lock import RunLock
from charlstm.text.corpus import Corpus
from charlstm.text.tokenizer import Ids
from charlstm.text.windows import Batch, make_windows
from charlstm.training.average import EVERY, WeightAverage
from charlstm.training.clock import VALIDATION_SHARE, Clock
from charlstm.training.deferred_losses import Readings
from charlstm.training.device import allow_tf32, product_type
from charlstm.training.evaluation import seconds_per_char, validate_together
from charlstm.training.events import Event, Previewed, Saved, Stepped, Stopped
from charlstm.training.optim import learning_rate, losses, make_optimizer, shrink
from charlstm.training.process_group import World
from charlstm.training.saving import best_snapshot, snapshot, weights_of
from charlstm.training.schedule import Course

_SAVE_SECONDS = 60.0
_LONG_EPOCH = 2000  # steps
_GPU_STEPS = 32  # that a GPU may be ahead of what is known of their losses
_LEAST_VALIDATED = 20_000  # characters
_AGREE_WORK = 5e10  # floating point operations: about a third of a second of two cores
PREVIEW = SampleConfig(temperature=0.8, length=200)


class Trainer:
    """One run in progress.

    Args:
        config: with sizes that fit the text, epochs above 0 and a definite precision (see
            `charlstm.training.setup`).
        corpus: what to learn.
        run: where checkpoints and metrics go.
        device: where to compute.
        corpus_meta: what every checkpoint says of the text.
        paths: where the text can be read again; kept in resumable checkpoints only.
        lock: on the run; given back when training ends.
    """

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        run: Run,
        device: torch.device,
        corpus_meta: Mapping[str, Any],
        paths: Sequence[str] = (),
        lock: RunLock | None = None,
    ) -> None:
        self.config = config
        self.corpus = corpus
        self.run = run
        self.device = device
        self.corpus_meta = dict(corpus_meta)
        self.paths = list(paths)
        self._lock = lock
        dtype = product_type(config.train.precision)
        if device.type == "cuda":
            allow_tf32(config.train.precision == "tf32")
        vocab_size = len(corpus.tokenizer)
        self.network = CharLSTM(
            config.model,
            vocab_size,
            seed=config.train.seed,
            dtype=dtype,
            compiled=config.train.kernel == "compiled",
        )
        self.network.to(device)
        if device.type != "cpu":
            # A generator belongs to a device; the seed differs from that of the weights.
            self.network.generator = torch.Generator(device).manual_seed(config.train.seed + 1)
        self.parameters = list(self.network.parameters())
        self.optimizer = make_optimizer(self.network, config.train)
        self.windows = make_windows(corpus.train, config.windows, config.train.seed)
        self.course = Course(config, self.windows.batches_per_epoch)
        self.progress = Progress()
        self.state: NetworkState = self.network.initial_state(self.batch_size)
        self.world = World()
        self.learner: nn.Module = self.network
        self._stop_asked = self._stop_agreed = self._save_agreed = False
        # A GPU's losses are read some steps later, so that it need not wait for what is told.
        self._defers = device.type == "cuda"
        self._agree_every = _GPU_STEPS if self._defers else 1
        self._readings = Readings(config.train, late=self._defers)
        self._known: list[float] = []  # nats that the other processes do not know yet
        self._uncounted: list[int] = []  # characters of the steps whose nats are not counted yet
        self._nats = math.nan
        self.average = WeightAverage(self.parameters)
        minutes = config.train.minutes
        looks = 2 if config.train.average else 1
        self._clock = Clock(60 * minutes, looks) if minutes else None
        self._time_gone = 0.0  # the share of the time that is gone, as all processes know it
        self._look_agreed = False
        self.saved_step = -1  # none yet
        self.saved_best: SavedBest | None = None  # only if `progress` does not know of it
        self._saved_at = time.monotonic()
        self._counts_from: float | None = None  # None: from when training begins
        self._save_seconds = 0.0
        self._step_seconds = 0.0  # spent in steps since the last line of the log
        self._step_chars = 0

    # ---------------------------------------------------------------- what it is asked

    @property
    def batch_size(self) -> int:
        """Windows in a full batch."""
        return self.config.windows.batch_size

    @property
    def total_steps(self) -> int:
        """Steps of the whole run; where time ends it, what the speed so far lets expect."""
        return self.course.total_steps(self.progress, self._time_gone)

    @property
    def share(self) -> float:
        """How much of the run is done."""
        return self.course.share(self.progress, self._time_gone)

    @property
    def seconds(self) -> float:
        """Time spent training so far, over all sessions."""
        if self._counts_from is None:
            return self.progress.seconds
        return self.progress.seconds + time.monotonic() - self._counts_from

    @property
    def chars_per_step(self) -> int:
        """Characters predicted in a full batch."""
        last = self.config.windows.targets == "last"
        return self.batch_size * (1 if last else self.config.windows.maxlen)

    def count_from(self, begun: float) -> None:
        """Let the run's time begin at `begun` (of `time.monotonic`), and not when training does.

        Where no time is given, or what is given is over, nothing changes.
        """
        if self._has_time:
            self._counts_from = begun

    @property
    def _has_time(self) -> bool:
        """Whether the clock ends the run, and has not yet."""
        return self._clock is not None and self.progress.ended < self._clock.budget

    def ask_to_stop(self) -> None:
        """Finish the step, save and stop; may be called from a signal handler."""
        self._stop_asked = True

    def join(self, world: World) -> None:
        """Go on as one of several processes, all of them in this one's state.

        Each reads its share of the streams. Only the leader evaluates, reports and writes.

        Raises:
            ConfigError: there are fewer streams than processes.
            DistributedError: another process is gone.
        """
        self.world = world
        if world.size == 1:
            return
        if self.batch_size < world.size:
            raise ConfigError(
                f"--batch-size {self.batch_size} cannot be divided among {world.size} processes; "
                "use fewer, or a larger batch."
            )
        own = world.columns(self.batch_size)
        self.state = [tuple(part[own].clone() for part in layer) for layer in self.state]
        shortest = self.config.windows.maxlen // self.course.most_pieces
        self.learner = world.wrap(self.network, shortest)
        if not self._defers:
            weights = sum(parameter.numel() for parameter in self.parameters)
            work = 6.0 * weights * self.chars_per_step  # forward and backward
            self._agree_every = max(1, min(_GPU_STEPS, round(_AGREE_WORK / work)))

    def whole(self, part: Tensor) -> Tensor:
        """Rows of the carried state, float32 -> the rows of all processes' streams."""
        if self.config.windows.stateless:
            return part  # never carried: each window starts from zero
        return self.world.gather(part, self.batch_size)

    # ---------------------------------------------------------------- the loop

    def train(self) -> Iterator[Event]:
        """Run to the end, or to where it is asked to stop.

        Raises:
            DivergenceError: the loss or the gradient is not finite.
            CheckpointError: a checkpoint cannot be written.
            RunError: the log cannot be written.
        """
        try:
            yield from self._train()
        finally:
            if self._lock is not None:
                self._lock.release()

    def _train(self) -> Iterator[Event]:
        train = self.config.train
        progress = self.progress
        self._saved_at = time.monotonic()
        if self._counts_from is None:
            self._counts_from = self._saved_at
        first_epoch = progress.epoch
        self._set_clock()
        while True:
            # A resumed run may have been stopped before an evaluation that was due.
            if self._evaluation_is_due():
                evaluated = self._evaluate()
                if evaluated is not None:
                    yield evaluated
                    yield self.save()
            if self._stopping:
                reason = "interrupted"
            elif train.patience and progress.stale >= train.patience:
                reason = "patience"
            elif self._is_at_end:
                reason = "finished"
            elif train.stop_after and progress.epoch - first_epoch >= train.stop_after:
                reason = "paused"
            else:
                yield self._step()
                if self.world.leads and self._preview_is_due():
                    yield self._preview()
                self._log_if_due()
                if self._save_agreed:
                    yield self.save()
                continue
            break
        if progress.step != self.saved_step:
            yield self.save()
        yield Stopped(reason)

    @property
    def _is_at_end(self) -> bool:
        return self.progress.epoch >= self.config.train.epochs or self._time_gone >= 1

    @property
    def _stopping(self) -> bool:
        """Whether to stop here; several processes stop at the same step."""
        return self._stop_asked if self.world.size == 1 else self._stop_agreed

    def _step(self) -> Stepped:
        start = time.perf_counter()
        progress, train = self.progress, self.config.train
        if progress.piece == 0:
            progress.pieces = self.course.pieces(self.share)
        window = self.windows.batch(progress.epoch, progress.index)
        batch = window.piece(progress.piece, progress.pieces)
        share = self.share
        rate = learning_rate(train, progress.step, progress.epoch, share)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        chars = self._learn(batch)
        progress.step += 1
        progress.piece += 1
        if progress.piece == progress.pieces:
            progress.piece = 0
            progress.index += 1
        if share > 1 - train.average and progress.step % EVERY == 0:
            self.average.take(progress.averaged)
            progress.averaged += 1
        if progress.index == self.windows.batches_per_epoch:
            progress.epoch += 1
            progress.index = 0
        self._stop_agreed = self._save_agreed = self._look_agreed = False
        if self._agreement_is_due():
            self._agree()
        self._step_chars += chars
        self._step_seconds += time.perf_counter() - start
        return Stepped(progress.step, progress.epoch, self._nats, rate, chars)

    def _agree(self) -> None:
        """Tell the other processes what only this one knows, and learn the same of them."""
        if self._readings:
            self._known += self._readings.read(self.progress.step + 1)
        stop, save, look, gone = self._stop_asked or self.world.orphaned, False, False, 0.0
        if self.world.leads:
            save = self._save_is_due()
            if self._clock is not None:
                look = self._clock.may_look(self.seconds, self.share)
                gone = self._clock.share(self.seconds)
        told = [float(stop), float(save), float(look), gone, *self._known]
        stops, saves, looks, gone, *nats = self.world.sum(told)
        self._stop_agreed, self._save_agreed, self._look_agreed = stops > 0, saves > 0, looks > 0
        self._known = []
        self._count(nats)
        self._take_time(gone)

    def _settle(self) -> None:
        """Read and count losses that are still deferred.

        Several processes call this at the same step: what they have deferred are the same steps.
        """
        if self._readings:
            self._known += self._readings.read(self.progress.step + 1)
        if self._known:
            nats, self._known = self.world.sum(self._known), []
            self._count(nats)

    def _agreement_is_due(self) -> bool:
        """Whether to agree at this step: all processes must say the same.

        To agree makes processes wait for each other, and for a GPU.
        """
        step, every = self.progress.step, self.config.train.save_every
        return (
            step % self._agree_every == 0
            or (every > 0 and step % every == 0)
            or self._log_is_due()
            or (self._clock is None and self._evaluation_is_due())
        )

    def _count(self, sums: list[float]) -> None:
        """Add up nats of all steps that were not counted yet, each summed over its characters."""
        progress = self.progress
        for nats, chars in zip(sums, self._uncounted, strict=True):
            self._nats = nats / chars
            progress.pending_nats += nats
            progress.pending_chars += chars
            progress.epoch_nats += nats
            progress.epoch_chars += chars
        self._uncounted = []

    def _learn(self, batch: Batch) -> int:
        """One step of truncated backpropagation through time.

        Returns:
            The whole batch's characters.
        """
        windows, train = self.config.windows, self.config.train
        streams = batch.inputs.shape[1]
        own = self.world.columns(streams)
        part = (own.stop - own.start) / streams
        if not part:  # a short last batch leaves nothing for this process: learn with weight 0
            own = slice(0, 1)
        self.network.share = (own, streams) if self.world.size > 1 else None
        ids, targets = self._sent(batch.inputs[:, own]), self._sent(batch.targets[:, own])
        if batch.fresh:
            self.state = self.network.initial_state(ids.shape[1])
        elif batch.reset is not None:
            kept = torch.from_numpy(~batch.reset[own]).to(self.device)[:, None]
            self.state = [tuple(part * kept for part in s) for s in self.state]
        self.network.train()
        last_only = windows.targets == "last"
        with self.world.guard():
            logits, state = self.learner(ids, self.state, targets=targets, last_only=last_only)
            if last_only:
                targets = targets[-1:]
            loss, objective = losses(logits.flatten(0, 1), targets.flatten(), train.label_smoothing)
            # Gradients are averaged over processes, whatever each one's share is.
            torch.autograd.backward(objective * (part * self.world.size))
        for parameter in self.parameters:
            # A window of one character has nothing for a backward stack; a checkpoint holds the
            # optimizer's memory of all weights or of none.
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        norm = self._clip()
        chars = int(targets.numel() // ids.shape[1] * streams)
        self._readings.add(loss.detach(), norm, targets.numel() if part else 0)
        self._uncounted.append(chars)
        if not self._defers:
            self._known += self._readings.read(self.progress.step + 2)
        self.optimizer.step()
        shrink(self.optimizer, train)
        self.optimizer.zero_grad(set_to_none=True)
        self.state = [tuple(part.detach() for part in layer) for layer in state]
        return chars

    def _sent(self, ids: NDArray[np.int64]) -> Tensor:
        """Ids on the device; a GPU fetches them while it works on."""
        tensor = torch.from_numpy(ids)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _clip(self) -> Tensor:
        """Clip gradients as configured; returns their norm before."""
        train = self.config.train
        grads = [p.grad for p in self.parameters if p.grad is not None]
        norm = nn.utils.get_total_norm(grads)
        # Below the bound torch would multiply every gradient by 1, which takes its time; but to
        # ask a GPU takes more.
        if train.clip_norm and (self._defers or float(norm) > train.clip_norm):
            nn.utils.clip_grads_with_norm_(self.parameters, train.clip_norm, norm)
        if train.clip_value:
            nn.utils.clip_grad_value_(self.parameters, train.clip_value)
        return norm

    # ---------------------------------------------------------------- what it does on the way

    def _evaluation_is_due(self) -> bool:
        progress = self.progress
        if progress.step in (0, progress.evaluated_step):
            return False
        if self._is_at_end:
            return True
        if self._clock is not None and not self.config.train.eval_every:
            return self._look_agreed
        if progress.piece:
            return False
        if progress.index == 0:
            return True
        every = self.config.train.eval_every or max(
            _LONG_EPOCH, 8 * len(self.corpus.val) // self.chars_per_step
        )
        return progress.index % every == 0

    def _evaluate(self) -> Evaluated | None:
        """Predict the validation part; None if asked to stop before the end."""
        self._settle()
        val_nats = average_nats = None
        took = 0.0
        if len(self.corpus.val) >= 2:
            begun = time.monotonic()
            val_nats = self._validate()
            took = time.monotonic() - begun
            if val_nats is not None and self.average:
                with self.average.in_place():
                    average_nats = self._validate()
            if val_nats is None or (self.average and average_nats is None):
                self._stop_agreed = True
                return None
        if self._clock is not None:
            self._clock.looked(self.seconds, took)
        saved = self.saved_best
        evaluated = self.progress.evaluate(val_nats, average_nats, saved)
        self._log(val_nats, average_nats)
        if evaluated.is_best and (saved is None or self.progress.best_nats <= saved.nats):
            self.saved_best = None
            with self.average.in_place() if evaluated.is_averaged else nullcontext():
                contents = best_snapshot(self)
            if self.world.leads:
                self.run.save_best(*contents)
        return evaluated

    def _set_clock(self) -> None:
        """Learn how much time is gone, and how much of the validation part there is time for."""
        if self._clock is None:
            return
        progress, clock, val = self.progress, self._clock, self.corpus.val
        gone = 0.0
        if self.world.leads and len(val) >= 2:
            per_char = seconds_per_char(self.network)
            if not progress.val_chars:
                room = VALIDATION_SHARE * clock.budget / clock.looks / per_char
                progress.val_chars = min(len(val), max(_LEAST_VALIDATED, int(room)))
            plan = plan_streams(progress.val_chars)
            clock.look = per_char * plan.count * (plan.length - plan.start)
        if self.world.leads:
            clock.save = self._save_seconds
            # What an end of the run left over, because a save was quick, is no time to learn in.
            gone = clock.share(self.seconds) if self._has_time else 1.0
        self._take_time(self.world.sum([gone])[0])
        clock.begin(self.seconds, self.share)

    def _take_time(self, gone: float) -> None:
        """Take down what share of the time is gone."""
        self._time_gone = gone
        if self._clock is not None and gone >= 1:
            self.progress.ended = max(self.progress.ended, self._clock.budget)

    @property
    def validated(self) -> Ids:
        """What is evaluated: the validation part, or as much of it as there is time for."""
        return self.corpus.val[: self.progress.val_chars or None]

    def _validate(self) -> float | None:
        return validate_together(
            self.network, self.validated, lambda: self._stop_asked, self.world,
            widen=not self.config.train.threads,
        )  # fmt: skip

    def _preview_is_due(self) -> bool:
        every = self.config.train.sample_every
        if self.config.model.direction == "both":
            return False  # such a model cannot write
        return every > 0 and self.progress.step % every == 0

    def _preview(self) -> Previewed:
        model = LanguageModel(weights_of(self.network), self.config, self.corpus.tokenizer)
        config = replace(PREVIEW, seed=self.progress.step)
        return Previewed(self.progress.step, "".join(model.generate(config=config)))

    def _log_is_due(self) -> bool:
        return self.progress.step % self.config.train.log_every == 0

    def _log_if_due(self) -> None:
        if self._log_is_due() and not self._evaluation_is_due():  # which writes a line of its own
            self._log()

    def _log(self, val_nats: float | None = None, average_nats: float | None = None) -> None:
        progress, seconds = self.progress, self._step_seconds
        chars = progress.pending_chars
        line = {
            "step": progress.step,
            "epoch": progress.epoch,
            "train_nats": progress.pending_nats / chars if chars else None,
            "val_nats": val_nats,
            "average_nats": average_nats,
            "chars_per_second": round(self._step_chars / seconds, 1) if seconds else None,
            "seconds": round(self.seconds, 3),
        }
        if self.world.leads:
            self.run.metrics.append(line)
        self.corpus.release()
        progress.pending_nats, progress.pending_chars = 0.0, 0
        progress.logged_step = progress.step
        self._step_chars, self._step_seconds = 0, 0.0

    # ---------------------------------------------------------------- saving and resuming

    def _save_is_due(self) -> bool:
        every = self.config.train.save_every
        if every:
            return self.progress.step % every == 0
        return time.monotonic() - self._saved_at >= _SAVE_SECONDS

    def save(self) -> Saved:
        """Save everything that continuing needs.

        Raises:
            DivergenceError: the weights are too large to go on with; nothing is replaced.
            CheckpointError: the checkpoint cannot be written.
        """
        begun = time.monotonic()
        self._settle()
        meta, arrays = snapshot(self)
        if self.world.leads:
            keep = self.config.train.keep
            self.run.save_last(meta, arrays, previous_step=self.saved_step, keep=keep)
        self.saved_step = self.progress.step
        self._saved_at = time.monotonic()
        self._save_seconds = self._saved_at - begun
        return Saved(self.progress.step, self.run.last)
