"""charlstm train: a new run, or one that goes on."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.no_effect import without_effect
from charlstm.cli.options import (
    ARGUMENTS,
    GroupedCommand,
    GroupedOption,
    UserPath,
    common_options,
    config_options,
    given,
)
from charlstm.cli.progress import CompileView, View, reading
from charlstm.cli.report import announce, explain, notice_load, report, summary
from charlstm.cli.signals import Signals, Stopped
from charlstm.config import SECTIONS, Config, MoreConfig, check_values
from charlstm.errors import (
    CharlstmError,
    CheckpointError,
    ConfigError,
    DistributedError,
    RunError,
)
from charlstm.training.load import CpuUse
from charlstm.training.rank import RankInfo, rank_from_environment

if TYPE_CHECKING:
    from charlstm.runs.folder import Run
    from charlstm.training.loop import Trainer

_NEWEST = "\0newest"
_RUN: dict[str, Any] = {"cls": GroupedOption, "group": "What to train"}
_SHOW: dict[str, Any] = {"cls": GroupedOption, "group": "What is shown"}


@click.command(
    "train",
    cls=GroupedCommand,
    epilog="Ctrl-C or SIGTERM finishes the step, saves, and prints the command that resumes; a "
    "second one stops at once; a terminal that is closed saves, too. Exit codes: 0 done, "
    "1 failure, 2 wrong usage, 129 closed terminal, 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("texts", nargs=-1, type=UserPath())
@click.option(
    "--resume",
    is_flag=False,
    flag_value=_NEWEST,
    default=None,
    metavar="[RUN]",
    help="Continue a run, or the newest, exactly where it stopped.",
    shell_complete=complete_run,
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
@config_options(*SECTIONS.values(), MoreConfig)
@click.option("--quiet", is_flag=True, help="Show errors only.", **_SHOW)
@click.option(
    "--verbose",
    is_flag=True,
    help="List the files of a folder that are read, and those that are skipped and why.",
    **_SHOW,
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary to stdout as JSON.", **_SHOW)
@common_options
def command(
    texts: tuple[str, ...],
    resume: str | None,
    name: str | None,
    recipe_name: str | None,
    size: str | None,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Train a model on a text, or continue a run.

    TEXTS are files, folders, or - for standard input; .gz, .bz2 and .xz are unpacked. They are
    joined in order. The run's folder keeps the best and the last checkpoint.
    """
    begun, cpu_use = time.monotonic(), CpuUse.now()
    info = rank_from_environment()
    if info is not None and info.rank:
        _work(info)
        return
    changes = given(options, SECTIONS.values())
    if resume is None and not texts:
        raise ConfigError("give a text to train on, such as: charlstm train corpus.txt")
    if resume is not None and not (name is recipe_name is size is None):
        raise ConfigError(
            "--name, --recipe and --size are for new runs: leave them out with --resume."
        )
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose contradict each other: leave one out.")
    more = MoreConfig(**given(options, [MoreConfig]))
    _check_contradictions(changes, more, size, resumes=resume is not None)
    say = _nothing if quiet else output.say
    changes = {**_of_size(size), **changes}
    with Signals() as signals:
        plan = _plan(texts, resume, name, recipe_name, runs_dir, changes, begun, more)
        launcher = None if info is not None else _launcher(plan)
        if launcher is None:
            trainer = _set_up(plan, say, quiet, signals, verbose)
            notice_load(trainer, cpu_use, say)
            reason = _show(trainer, say, quiet, resumed=resume is not None)
    if launcher is not None:
        sys.exit(launcher())
    run_folder = str(trainer.run.folder)
    if reason == "interrupted":
        output.say(
            f"stopped at step {trainer.progress.step}, everything saved. To go on:\n"
            f"charlstm train --resume {shlex.quote(run_folder)}"
        )
    else:
        report(trainer, reason, say)
    if as_json:
        output.json_line(summary(trainer, reason))
    if signals.received or reason == "interrupted":  # perhaps by a signal to another process
        output.flush()
        sys.exit(128 + (signals.received or signal.SIGINT))


def _check_contradictions(
    changes: Mapping[str, Any], more: MoreConfig, size: str | None, *, resumes: bool
) -> None:
    """Refuse two options for one thing: how long to train, how many units.

    Raises:
        ConfigError: they contradict each other.
    """
    if more.is_given and not resumes:
        raise ConfigError(
            "--more-epochs and --more-minutes are for --resume: a new run takes --epochs or "
            "--minutes."
        )
    if more.is_given and changes.keys() & {"epochs", "minutes"}:
        raise ConfigError(
            "--more-epochs and --more-minutes count from now on, --epochs and --minutes from the "
            "run's start: give one kind."
        )
    if size is not None and "hidden_size" in changes:
        raise ConfigError("--size and --hidden-size both set the units of a layer: give one.")


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
        more: how much longer to train a run that is resumed.
        chooses: whether what is not given is chosen for text and time.
    """

    texts: tuple[str, ...]
    changes: dict[str, Any]
    folder: Path
    name: str | None
    run: Run | None
    config: Config
    begun: float
    more: MoreConfig
    chooses: bool = False


def _plan(
    texts: tuple[str, ...],
    resume: str | None,
    name: str | None,
    recipe_name: str | None,
    runs_dir: str | None,
    changes: dict[str, Any],
    begun: float,
    more: MoreConfig,
) -> _Plan:
    from charlstm.planner.presets import recipe
    from charlstm.planner.rules import implied
    from charlstm.runs.find import find_run, runs_dir_from
    from charlstm.runs.folder import Run

    folder = runs_dir_from(runs_dir)
    if resume is not None:
        run = find_run(None if resume == _NEWEST else resume, folder)
        check_values(changes)  # before anything is read
        return _Plan(texts, changes, folder, name, run, Config(), begun, more)
    chooses = recipe_name is None
    start = {} if recipe_name is None else dict(recipe(recipe_name))
    start |= implied(changes, start)
    if chooses and changes.get("epochs") == 0:  # which asks for just that: to choose them
        del changes["epochs"]
    config = Config().override({**start, **changes})
    if name is not None:
        Run.check_free(folder, name)  # before torch is imported
    return _Plan(texts, changes, folder, name, None, config, begun, more, chooses)


def _of_size(size: str | None) -> dict[str, Any]:
    """The fields that a size stands for."""
    from charlstm.planner import presets

    return {} if size is None else dict(presets.size(size))


def _launcher(plan: _Plan) -> Callable[[], int] | None:
    """What starts this command anew in several processes and returns their exit code.

    None where one process is enough.
    """
    from charlstm.runs.find import trained_by

    processes = plan.config.train.processes
    if plan.run is not None:
        given = plan.changes.get("processes")
        processes = trained_by(plan.run) if given is None else given
    if processes == 1:
        return None
    from charlstm.training.launch import launch, most_processes

    if not processes and most_processes() == 1:
        return None
    arguments = click.get_current_context().meta[ARGUMENTS]
    return partial(launch, processes, arguments)


def _work(info: RankInfo) -> None:
    """Train as a worker of a process group: the leader reports, and its options count."""
    from charlstm.training.distributed import join_group, leave_group
    from charlstm.training.replicate import receive_run

    speaks = info.local_rank == 0  # on a machine without the leader, nobody else says it
    try:
        with Signals(silent=not speaks) as signals:
            group = join_group(output.say if speaks else _nothing)
            trainer = receive_run(group)
            if trainer is not None:
                signals.attach(trainer)
                for _ in trainer.train():
                    continue
                leave_group()
    except (CharlstmError, Stopped) as error:
        if speaks:
            raise
        sys.exit(error.exit_code)


def _set_up(plan: _Plan, say: Any, quiet: bool, signals: Signals, verbose: bool = False) -> Trainer:
    """The run, set up and shared with whatever other processes there are."""
    if plan.run is None:
        for sentence in without_effect(plan.config, plan.changes):
            say(sentence)

    # Options are in order: only now is torch worth its two seconds.
    from charlstm.training.distributed import join_group
    from charlstm.training.resume import resume_run
    from charlstm.training.setup import new_run

    group = join_group(say)
    if plan.changes.get("processes", 0) > 1 and plan.changes["processes"] != group.size:
        raise ConfigError(
            f"--processes {plan.changes['processes']}: torchrun started {group.size}. Leave the "
            "option out, or start charlstm without torchrun."
        )
    compiling = CompileView(quiet, signals.check)
    with reading(quiet, signals.check) as progress:
        if plan.run is not None:
            return resume_run(
                plan.run, plan.changes, plan.texts,
                notice=output.say, progress=progress, group=group, begun=plan.begun,
                on_ready=signals.attach, on_compile=compiling.show, more=plan.more,
            )  # fmt: skip
        return new_run(
            plan.texts, plan.config, runs_dir=plan.folder, name=plan.name,
            notice=say, progress=progress, group=group,
            details=(lambda line: say(output.escape(line, newlines=False))) if verbose else None,
            given=plan.changes if plan.chooses else None,
            on_choice=lambda config, choice: explain(
                plan.texts, plan.changes, config, choice, say, runs_dir=plan.folder
            ),
            begun=plan.begun, on_ready=signals.attach, on_compile=compiling.show,
        )  # fmt: skip


def _nothing(_text: str) -> None:
    """Say nothing."""


def _show(trainer: Trainer, say: Any, quiet: bool, *, resumed: bool) -> str:
    """Run the trainer and show its events; returns why it stopped."""
    from charlstm.training.distributed import leave_group

    announce(trainer, say, resumed=resumed)
    view = View(trainer, quiet)
    try:
        for event in trainer.train():
            reason = view.show(event)
    except (CheckpointError, DistributedError, RunError) as error:
        if "\n" in str(error):  # it has a way out already
            raise
        folder = trainer.run.folder
        way_out = (
            "What was saved before is whole; to go on: charlstm train --resume "
            f"{shlex.quote(str(folder))}"
        )
        if not folder.is_dir():
            way_out = f"The run's folder {folder} has been moved or removed during training."
        raise type(error)(f"{error}\n{way_out}") from error
    finally:
        view.close()
    leave_group()
    return reason
