"""charlstm train: a new run, or one that goes on."""

from __future__ import annotations

import dataclasses
import math
import shlex
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.options import (
    ARGUMENTS,
    GroupedCommand,
    GroupedOption,
    common_options,
    config_options,
    given,
)
from charlstm.cli.output import duration
from charlstm.cli.progress import View, reading
from charlstm.cli.signals import Signals
from charlstm.cli.verdict import verdict
from charlstm.config import SECTIONS, Config, check_values
from charlstm.errors import CharlstmError, ConfigError, DistributedError
from charlstm.fields import flag_of
from charlstm.training.place import place_from

if TYPE_CHECKING:
    from charlstm.config import TrainConfig
    from charlstm.recipes import Choice
    from charlstm.runs.folder import Run
    from charlstm.training.trainer import Trainer

_NEWEST = "\0newest"
_RUN: dict[str, Any] = {"cls": GroupedOption, "group": "What to train"}
_SHOW: dict[str, Any] = {"cls": GroupedOption, "group": "What is shown"}


@click.command(
    "train",
    cls=GroupedCommand,
    epilog="Ctrl-C or SIGTERM finishes the step, saves, and prints the command that resumes; a "
    "second one stops at once. Exit codes: 0 done, 1 failure, 2 wrong usage, 130 Ctrl-C, "
    "143 SIGTERM.",
)
@click.argument("texts", nargs=-1)
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_NEWEST,
    default=None,
    metavar="[RUN]",
    help="Continue a run, or the newest, exactly where it stopped.",
    **_RUN,
)
@click.option(
    "--name",
    default=None,
    metavar="TEXT",
    help="The run's name  [default: from the first text's]",
    **_RUN,
)
@click.option(
    "--recipe",
    "recipe_name",
    default=None,
    metavar="NAME",
    help="Start from known settings: tutorial, keras, char-rnn, torch-rnn, stacked50, "
    "stacked128. Any option overrides its recipe.",
    **_RUN,
)
@click.option(
    "--size",
    default=None,
    metavar="tiny|small|medium|large",
    help="The model's size: 128, 256, 512 or 1,024 units  [default: chosen for text and time]",
    cls=GroupedOption,
    group="Model",
)
@config_options(*SECTIONS.values())
@click.option("--quiet", is_flag=True, help="Show errors only.", **_SHOW)
@click.option("--json", "as_json", is_flag=True, help="Print a summary to stdout as JSON.", **_SHOW)
@common_options
def command(
    texts: tuple[str, ...],
    resume: str | None,
    name: str | None,
    recipe_name: str | None,
    size: str | None,
    quiet: bool,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Train a model on a text, or continue a run.

    TEXTS are files, folders, or - for standard input; .gz, .bz2 and .xz are unpacked. They are
    joined in order. The run's folder keeps the best and the last checkpoint.
    """
    begun = time.monotonic()
    changes = given(options, SECTIONS.values())
    if resume is None and not texts:
        raise ConfigError("give a text to train on, such as: charlstm train corpus.txt")
    if resume is not None and not (name is recipe_name is size is None):
        raise ConfigError(
            "--name, --recipe and --size are for new runs: leave them out with --resume."
        )
    say = _nothing if quiet else output.say
    changes = {**_of_size(size), **changes}
    plan = _plan(texts, resume, name, recipe_name, runs_dir, changes, begun)
    place = place_from()
    if place is None:
        _launch_if_several(plan)
    with Signals() as signals:
        if place is not None and place.rank:
            _follow(signals)
            return
        trainer = _set_up(plan, say, quiet)
        signals.trainer = trainer
        reason = _show(trainer, say, quiet, resumed=resume is not None)
        trainer.world.leave()
    run_folder = str(trainer.run.folder)
    if reason == "interrupted":
        output.say(
            f"stopped at step {trainer.progress.step}, everything saved. To go on:\n"
            f"charlstm train --resume {shlex.quote(run_folder)}"
        )
    else:
        _report(trainer, reason, say)
    if as_json:
        import json

        output.data_line(json.dumps(_summary(trainer, reason)))
    if signals.received:
        output.flush()
        sys.exit(128 + signals.received)


@dataclass(frozen=True)
class _Plan:
    """What was asked for, once it is in order.

    Attributes:
        texts: where the text lies.
        changes: the options that were given.
        folder: where runs live.
        name: the new run's.
        run: the run to continue; None for a new one.
        config: the new run's.
        begun: when the command was, by `time.monotonic`.
        chooses: whether what is not given is chosen for text and time.
    """

    texts: tuple[str, ...]
    changes: dict[str, Any]
    folder: Path
    name: str | None
    run: Run | None
    config: Config
    begun: float
    chooses: bool = False


def _plan(
    texts: tuple[str, ...],
    resume: str | None,
    name: str | None,
    recipe_name: str | None,
    runs_dir: str | None,
    changes: dict[str, Any],
    begun: float,
) -> _Plan:
    from charlstm.recipes import recipe
    from charlstm.runs.find import find_run, runs_dir_from

    folder = runs_dir_from(runs_dir)
    if resume is not None:
        run = find_run(None if resume == _NEWEST else resume, folder)
        check_values(changes)  # before anything is read
        return _Plan(texts, changes, folder, name, run, Config(), begun)
    start = recipe(recipe_name) if recipe_name is not None else {}
    config = Config().override({**start, **changes})
    return _Plan(texts, changes, folder, name, None, config, begun, recipe_name is None)


def _of_size(size: str | None) -> dict[str, Any]:
    """The fields that a size stands for."""
    from charlstm.recipes import SIZES

    if size is None:
        return {}
    if size not in SIZES:
        raise ConfigError(f"--size {size!r} is unknown; choose from: {', '.join(SIZES)}.")
    return {"num_layers": 1, "hidden_size": SIZES[size]}


def _launch_if_several(plan: _Plan) -> None:
    """Start this command anew where several processes are to share it; end with their exit code."""
    from charlstm.runs.find import trained_by

    processes = plan.config.train.processes
    if plan.run is not None:
        given = plan.changes.get("processes")
        processes = trained_by(plan.run) if given is None else given
    if processes == 1:
        return
    from charlstm.training.launch import launch, most_processes

    if processes or most_processes() > 1:
        arguments = click.get_current_context().meta[ARGUMENTS]
        sys.exit(launch(processes, arguments))


def _follow(signals: Signals) -> None:
    """Train as one of several processes, in silence: the leader reports."""
    from charlstm.training.distributed import World
    from charlstm.training.sharing import follow

    world = World.join()
    try:
        trainer = follow(world)
        signals.trainer = trainer
        if trainer is not None:
            for _ in trainer.train():
                continue
            world.leave()
    except CharlstmError as error:
        if world.local_rank == 0:  # on a machine without the leader, nobody else says it
            raise
        sys.exit(error.exit_code)


def _set_up(plan: _Plan, say: Any, quiet: bool) -> Trainer:
    """The run, set up and shared with whatever other processes there are."""
    if "step" in plan.changes and plan.run is None and not plan.config.windows.stateless:
        say("--step has no effect without --stateless: streams have no gaps.")

    # Options are in order: only now is torch worth its two seconds.
    from charlstm.training.distributed import World
    from charlstm.training.setup import new_run, resume_run

    world = World.join()
    if plan.changes.get("processes", 0) > 1 and plan.changes["processes"] != world.size:
        raise ConfigError(
            f"--processes {plan.changes['processes']}: torchrun started {world.size}. Leave the "
            "option out, or start charlstm without torchrun."
        )
    with reading(quiet) as progress:
        if plan.run is not None:
            return resume_run(
                plan.run, plan.changes, plan.texts,
                notice=output.say, progress=progress, world=world,
            )  # fmt: skip
        return new_run(
            plan.texts, plan.config, runs_dir=plan.folder, name=plan.name,
            notice=say, progress=progress, world=world,
            given=plan.changes if plan.chooses else None,
            on_choice=lambda config, choice: _explain(plan, config, choice, say),
            begun=plan.begun,
        )  # fmt: skip


def _explain(plan: _Plan, config: Config, choice: Choice, say: Any) -> None:
    """Say what was chosen and why, and how to ask for just that."""
    from charlstm.recipes import DEFAULT_MINUTES, MOST_EPOCHS

    minutes, overrides = config.train.minutes, choice.overrides
    chosen = _as_options(config, overrides)
    budget = f"{minutes or DEFAULT_MINUTES:g} minutes" + ("" if minutes else ", the default")
    say(f"chosen for {budget}: {chosen}")
    reads = f"about {choice.chars / 1e6:.1f} million characters, the text {choice.epochs:.1f} times"
    if choice.epochs >= MOST_EPOCHS:
        say(f"for {reads}: more would teach it by heart; that time is not needed")
    else:
        say(f"for this machine reads {reads}, in that time")
    given = _as_options(config, plan.changes.keys() - overrides.keys())
    words = ["charlstm", "train", *map(shlex.quote, plan.texts), given, chosen]
    say(f"the same, said in full: {' '.join(word for word in words if word)}")


def _as_options(config: Config, names: Collection[str]) -> str:
    """What the command line says for some fields, in their order."""
    words = []
    for name in SECTIONS:
        section = getattr(config, name)
        for spec in dataclasses.fields(section):
            value = getattr(section, spec.name)
            if spec.name not in names or value is False:
                continue
            words.append(flag_of(spec))
            if value is not True:
                words.append(shlex.quote(str(value)))  # a float whole, so that it is the same
    return " ".join(words)


def _nothing(_text: str) -> None:
    """Say nothing."""


def _show(trainer: Trainer, say: Any, quiet: bool, *, resumed: bool) -> str:
    """Run the trainer and show its events; returns why it stopped."""
    _announce(trainer, say, resumed=resumed)
    view = View(trainer, quiet)
    try:
        for event in trainer.train():
            reason = view.show(event)
    except DistributedError as error:
        raise DistributedError(
            f"{error}\nWhat was saved before is whole; to go on: charlstm train --resume "
            f"{shlex.quote(str(trainer.run.folder))}"
        ) from error
    finally:
        view.close()
    return reason


def _announce(trainer: Trainer, say: Any, *, resumed: bool) -> None:
    import torch

    config, corpus = trainer.config, trainer.corpus
    model, windows, train = config.model, config.windows, config.train
    weights = sum(p.numel() for p in trainer.parameters)
    count = torch.get_num_threads()
    threads = f", {count} thread{'s' if count > 1 else ''}" if trainer.device.type == "cpu" else ""
    if trainer.world.size > 1:
        threads += f" in each of {trainer.world.size} processes"
    plan = "shuffled windows" if windows.stateless else "streams"
    say(
        f"{trainer.run.folder}: {len(corpus):,} characters, {len(corpus.tokenizer)} distinct; "
        f"train {len(corpus.train):,}, validation {len(corpus.val):,}, test {len(corpus.test):,}"
    )
    say(
        f"{model.cell} {model.num_layers}x{model.hidden_size}"
        f"{' both ways' if model.direction == 'both' else ''}, {weights:,} weights, "
        f"{trainer.device.type} {train.precision}{threads}; {_length(train)} of "
        f"{trainer.windows.batches_per_epoch:,} {'windows' if windows.grow else 'steps'}, "
        f"{windows.batch_size} {plan} of {'up to ' if windows.grow else ''}{windows.maxlen}"
    )
    if resumed:
        progress = trainer.progress
        say(f"resumed at step {progress.step:,}; {progress.epoch} epochs are done")
        if progress.epoch >= train.epochs:
            say(f"nothing is left to do; --epochs above {progress.epoch} trains on.")
        elif train.minutes and trainer.seconds >= 60 * train.minutes:
            say(f"no time is left; --minutes above {trainer.seconds / 60:.1f} trains on.")


def _length(train: TrainConfig) -> str:
    """How long a run is, in words; of the epochs that a time may hold, nobody knows."""
    if not train.minutes:
        return f"{train.epochs} epochs"
    from charlstm.training.setup import ENDLESS

    most = f", {train.epochs} epochs at most," if train.epochs < ENDLESS else ", epochs"
    return f"{train.minutes:g} minutes{most}"


def _report(trainer: Trainer, reason: str, say: Any) -> None:
    progress, train = trainer.progress, trainer.config.train
    folder = shlex.quote(str(trainer.run.folder))
    why = {
        "finished": f"done: {progress.epoch} epochs",
        "patience": f"stopped early: no better for {progress.stale} evaluations",
        "paused": f"paused after epoch {progress.epoch} of {train.epochs}",
    }[reason]
    line = f"{why}, {progress.step:,} steps, {duration(trainer.seconds)}"
    if math.isfinite(progress.best_nats):
        kind = "validation" if len(trainer.corpus.val) >= 2 else "training"
        kind += " pseudo-likelihood" if trainer.config.model.direction == "both" else ""
        line += (
            f"; best {kind} {progress.best_nats:.4f} nats, "
            f"{progress.best_nats / math.log(2):.4f} bits/char, at step {progress.best_step:,}"
        )
    say(line)
    if judged := verdict(progress.history):
        say(judged)
    if 0 < progress.val_chars < len(trainer.corpus.val):
        say(
            f"validation is its first {progress.val_chars:,} characters here, for the time's sake; "
            f"all of it: charlstm eval {folder}"
        )
    if trainer.config.model.direction == "both":
        say(f"Fill blanks: charlstm fill {folder} 'a text with ___ in it'")
    else:
        say(f"Write text:  charlstm sample {folder}")
    if reason == "paused":
        say(f"Go on:       charlstm train --resume {folder}")
    elif train.minutes and progress.epoch < train.epochs:
        more = f"{2 * train.minutes:g}"
        say(f"Train more:  charlstm train --resume {folder} --minutes {more}")
    else:
        epochs = max(progress.epoch, train.epochs) * 2
        say(f"Train more:  charlstm train --resume {folder} --epochs {epochs}")


def _summary(trainer: Trainer, reason: str) -> dict[str, Any]:
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
        "verdict": verdict(progress.history),
        "validated": len(trainer.corpus.val) >= 2,
        "seconds": round(trainer.seconds, 3),
    }
