"""Reports on a run: the automatic choice, the start and the end."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charlstm.cli.full_command import as_options, full_command
from charlstm.cli.output import counted, duration
from charlstm.cli.verdict import start_nats, verdict
from charlstm.config import Config
from charlstm.format.progress import Progress, old_nats
from charlstm.planner.fitted import DEFAULT_MINUTES
from charlstm.planner.rules import Choice
from charlstm.planner.words import in_words
from charlstm.processors import affinity
from charlstm.runs.maturity import MORE, hardly_trained
from charlstm.training.load import CpuUse, busy_notice, used_by_others

if TYPE_CHECKING:
    from charlstm.config import TrainConfig
    from charlstm.training.loop import Trainer
    from charlstm.training.plan import TrainPlan

_MUCH = 0.05  # repeated fraction to report; less changes the choice by an epoch or two


def explain(plan: TrainPlan, config: Config, choice: Choice, say: Any) -> None:
    """Report the automatic choice, the expected length, and the full command.

    Args:
        plan: the plan of the run.
        config: the complete configuration.
        choice: the automatic choice.
        say: writes a line.
    """
    minutes, overrides = config.train.minutes, choice.overrides
    chosen = as_options(config, overrides)
    if overrides:
        budget = f"{minutes or DEFAULT_MINUTES:g} minutes" + ("" if minutes else " (the default)")
        say(f"chosen for {budget}: {chosen}")
    reads = f"about {_count(choice.chars)} characters, {choice.epochs:,.1f} epochs"
    if choice.repeated >= _MUCH:
        reads += f" ({choice.repeated:.0%} of the validation part also occurs in the training part)"
    if choice.epochs >= plan.given.get("epochs", math.inf):
        say(f"expected: {reads} (--epochs)")
    elif choice.epochs >= choice.most_epochs:
        say(f"expected: {reads}; more epochs gain little, so the run may end earlier")
    else:
        say(f"expected: {reads}, at this machine's speed")
    # Included because their automatic choice may differ while the machine is busy.
    settled = {"precision", "kernel"}
    if config.text.val_fraction or config.text.test_fraction:
        settled.add("split")
    given = as_options(config, (plan.given.keys() | settled) - overrides.keys())
    start = "" if plan.base is None else f"--from {shlex.quote(plan.base.target)}"
    start += " --keep-alphabet" if plan.base is not None and plan.base.keep_alphabet else ""
    command = full_command(plan.texts, plan.runs_dir, start, given, chosen, separate=plan.separate)
    say(f"full command: {command}")


def _count(chars: float) -> str:
    """A number of characters, rounded for display."""
    return f"{chars / 1e6:.1f} million" if chars >= 1e6 else f"{round(chars, -3) or chars:,.0f}"


def notice_load(trainer: Trainer, before: CpuUse, say: Any) -> None:
    """Report that other programs use the processors, if training in one process on a CPU.

    Args:
        trainer: the trainer.
        before: CPU use at the start of the command.
        say: writes a line.
    """
    import torch

    if trainer.state.device.type != "cpu" or trainer.group.size > 1:
        return
    others = used_by_others(before, CpuUse.now())
    if notice := busy_notice(others, affinity(), torch.get_num_threads()):
        say(notice)


def announce(trainer: Trainer, say: Any, *, resumed: bool) -> None:
    """Report the text, the model, the device and the length of a run before it trains."""
    import torch

    from charlstm.training.footprint import process_bytes

    config, corpus = trainer.config, trainer.corpus
    model, windows, train = config.model, config.windows, config.train
    weights = sum(p.numel() for p in trainer.state.parameters)
    memory = process_bytes(config, len(corpus.tokenizer)) / 1e9
    count = torch.get_num_threads()
    device = trainer.state.device.type
    threads = f", {counted(count, 'thread')}" if device == "cpu" else ""
    if trainer.group.size > 1:
        threads += f" in each of {trainer.group.size} processes"
    kernel = " compiled" if train.kernel == "compiled" else ""
    plan = "shuffled window" if windows.stateless else "stream"
    say(
        f"{trainer.run.folder}: {len(corpus):,} characters, {len(corpus.tokenizer)} distinct; "
        f"train {len(corpus.train):,}, validation {len(corpus.val):,}, test {len(corpus.test):,}"
    )
    say(
        f"{model.cell} {model.num_layers}x{model.hidden_size}"
        f"{' bidirectional' if model.direction == 'both' else ''}, {weights:,} weights, "
        f"{device} {train.precision}{kernel}{threads}; "
        f"{memory:.1f} GB of memory; {_length(train)} of "
        f"{counted(trainer.windows.batches_per_epoch, 'window' if windows.grow else 'step')}, "
        f"{counted(windows.batch_size, plan)} of {'up to ' if windows.grow else ''}"
        f"{counted(windows.maxlen, 'character')}"
    )
    if resumed:
        progress = trainer.progress
        left = "" if not train.minutes else f", {_short(_minutes_left(trainer))} minutes left"
        say(f"resumed at step {progress.step:,}; {counted(progress.epoch, 'epoch')} done{left}")
        if why := _why_ended(trainer):
            say(f"nothing left to do: {why}. To train more: {more_options(trainer)}")


def _minutes_left(trainer: Trainer) -> float:
    """The rest of a run's time budget, in minutes."""
    spent = max(trainer.progress.ended, trainer.stopwatch.seconds)
    return max(0.0, trainer.config.train.minutes - spent / 60)


def _why_ended(trainer: Trainer) -> str:
    """Why a resumed run has nothing left to do; empty if it has."""
    progress, train = trainer.progress, trainer.config.train
    if train.patience and progress.stale >= train.patience:
        return f"--patience {train.patience} is reached"
    if progress.epoch >= train.epochs:
        return f"--epochs {train.epochs} is reached"
    if train.minutes and not _minutes_left(trainer):
        return f"the time budget of {_short(train.minutes)} minutes is used up"
    return ""


def more_options(trainer: Trainer) -> str:
    """The options that train a complete run about as long again."""
    progress, train = trainer.progress, trainer.config.train
    words = f"--more-minutes {_short(train.minutes)}"
    if _hardly_trained(trainer):
        words = MORE
    elif not _is_timed(trainer):
        words = f"--more-epochs {max(1, progress.epoch)}"
    return words


def _hardly_trained(trainer: Trainer) -> str:
    """Why the run's model is hardly trained; empty if it is not."""
    return hardly_trained(
        {
            "progress": trainer.progress.to_json(),
            "corpus": trainer.saver.corpus_meta,
            "tokenizer": trainer.corpus.tokenizer.to_json(),
            "ancestors": [ancestor.to_json() for ancestor in trainer.saver.ancestors],
        }
    )


def _short(minutes: float) -> str:
    """Minutes with three significant digits, or without decimals from 100 on."""
    return f"{minutes:.3g}" if minutes < 100 else f"{minutes:.0f}"


def _length(train: TrainConfig) -> str:
    """The length of a run, for display."""
    if not train.minutes:
        return counted(train.epochs, "epoch")
    from charlstm.training.setup import ENDLESS

    most = f", {counted(train.epochs, 'epoch')} at most," if train.epochs < ENDLESS else ", epochs"
    return f"{_short(train.minutes)} minutes{most}"


def report(trainer: Trainer, reason: str, say: Any) -> None:
    """Report how a run ended, and the commands that use or continue it."""
    progress, train = trainer.progress, trainer.config.train
    folder = shlex.quote(str(trainer.run.folder))
    why = {
        "finished": f"done: {counted(progress.epoch, 'epoch')}",
        "patience": f"stopped early: no improvement in {counted(progress.stale, 'evaluation')}",
        "paused": f"paused after epoch {progress.epoch} of {train.epochs}",
    }[reason]
    line = f"{why}, {counted(progress.step, 'step')}, {duration(trainer.stopwatch.seconds)}"
    if math.isfinite(progress.best_nats):
        kind = "validation" if trainer.corpus.val.predictions >= 1 else "training"
        kind += " pseudo-likelihood" if trainer.config.model.direction == "both" else ""
        line += (
            f"; best {kind} {progress.best_nats:.4f} nats, "
            f"{progress.best_nats / math.log(2):.4f} bits/char, at step {progress.best_step:,}"
        )
    say(line)
    if not progress.step and train.minutes:
        say("the set-up used up the time budget")
    why = _hardly_trained(trainer)
    if why:
        say(f"hardly trained: {why}. Its output is close to random text.")
    if judged := _verdict(trainer, reason):
        say(judged)
    if forgotten := _forgotten(progress):
        say(forgotten)
    if not why and (meaning := _in_words(trainer)):
        say(meaning)
    if 0 < progress.val_chars < len(trainer.corpus.val):
        say(
            f"evaluated on {_evaluated(trainer)} of the validation part only, to save time. To "
            f"evaluate on all of it: charlstm eval {folder}"
        )
    if not why:
        both = trainer.config.model.direction == "both"
        use = f"fill {folder} 'a text with ___ in it'" if both else f"sample {folder}"
        say(f"{'Fill blanks:' if both else 'Write text: '} charlstm {use}")
    if reason == "paused":
        say(f"Resume:      charlstm train --resume {folder}")
    else:
        say(f"Train more:  charlstm train --resume {folder} {more_options(trainer)}")


def _forgotten(progress: Progress) -> str:
    """What the best model has forgotten of an old text; empty without one."""
    before, best = (old_nats(progress.history, step) for step in (0, progress.best_step))
    if best is None:
        return ""
    text = f"On the old text, the best model reaches {best:.4f} nats per character"
    if before is None or not progress.best_step:
        return f"{text}."
    change = best - before
    return f"{text}: {abs(change):.4f} {'more' if change > 0 else 'less'} than the base."


def _in_words(trainer: Trainer) -> str:
    """What the best validation loss means; empty if that is not known."""
    forward = trainer.config.model.direction == "forward"
    if not forward or trainer.corpus.val.predictions < 1:
        return ""
    unigram = trainer.saver.corpus_meta.get("unigram_nats")
    return in_words(trainer.progress.best_nats, unigram, trainer.corpus.tokenizer.writable)


def _evaluated(trainer: Trainer) -> str:
    """The characters of the validation part that evaluations use, where time limits them."""
    chars = f"{trainer.progress.val_chars:,} characters"
    if len(trainer.corpus.val.spans) == 1:
        return f"the first {chars}"
    return f"{chars}, the first of each block,"


def _is_timed(trainer: Trainer) -> bool:
    """Whether the time budget ends the run, before its epochs do."""
    train = trainer.config.train
    return train.minutes > 0 and trainer.progress.epoch < train.epochs


def _verdict(trainer: Trainer, reason: str) -> str:
    return verdict(
        trainer.progress.history,
        trainer.config.model.hidden_size,
        "minutes" if _is_timed(trainer) else "epochs",
        ended=reason in ("finished", "patience"),
        other_tail=lambda: trainer.corpus.has_other_tail,
        unigram=trainer.saver.corpus_meta.get("unigram_nats"),
    )


def summary(trainer: Trainer, reason: str) -> dict[str, Any]:
    """The result of a run as a JSON object."""
    progress = trainer.progress
    best = progress.best_nats if math.isfinite(progress.best_nats) else None
    kind = "best_pseudo_" if trainer.config.model.direction == "both" else "best_"
    return {
        "run": str(Path(trainer.run.folder)),
        "stopped": reason,
        "step": progress.step,
        "epoch": progress.epoch,
        f"{kind}nats_per_char": best,
        f"{kind}bits_per_char": best / math.log(2) if best is not None else None,
        "best_step": progress.best_step,
        "base_val_nats": old_nats(progress.history, progress.best_step),
        "start_nats_per_char": start_nats(progress.history),
        "verdict": _verdict(trainer, reason),
        "validated": trainer.corpus.val.predictions >= 1,
        "seconds": round(trainer.stopwatch.seconds, 3),
        "hardly_trained": bool(_hardly_trained(trainer)),
    }
