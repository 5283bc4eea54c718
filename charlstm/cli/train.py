"""charlstm train: start or resume a run."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.help import ARGUMENTS
from charlstm.cli.options import (
    GroupedCommand,
    GroupedOption,
    UserPath,
    common_options,
    config_options,
    given,
    separate_texts,
)
from charlstm.cli.signals import Signals
from charlstm.cli.stopped import Stopped
from charlstm.config import (
    SECTIONS,
    FineTuneConfig,
    MoreConfig,
    ResumeConfig,
    SeparateConfig,
    StartConfig,
)
from charlstm.config.resume import NEWEST_RUN
from charlstm.errors import (
    CharlstmError,
    CheckpointError,
    ConfigError,
    DistributedError,
    RunError,
)

if TYPE_CHECKING:
    from charlstm.training.plan import TrainPlan
    from charlstm.training.rank import RankInfo
    from charlstm.training.session import Training

_SHOW: dict[str, Any] = {"cls": GroupedOption, "group": "Output"}


@click.command(
    "train",
    cls=GroupedCommand,
    epilog="Ctrl-C or SIGTERM finishes the step, saves a checkpoint, and prints the command that "
    "resumes; a second one stops at once. Closing the terminal also saves. Exit codes: 0 success, "
    "1 failure, 2 usage error, 129 closed terminal, 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("texts", nargs=-1, type=UserPath())
@config_options(ResumeConfig, StartConfig, FineTuneConfig)
@config_options(SeparateConfig, *SECTIONS.values(), MoreConfig)
@click.option("--quiet", is_flag=True, help="Show errors only.", **_SHOW)
@click.option(
    "--verbose",
    is_flag=True,
    help="List the files of a folder that are read, and those skipped with the reason.",
    **_SHOW,
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary to stdout as JSON.", **_SHOW)
@common_options
def command(
    texts: tuple[str, ...],
    resume: str | None,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Train a model on a text, or continue a run.

    TEXTS are files, folders, or - for standard input; .gz, .bz2 and .xz are unpacked. They are
    joined in order. The extra `documents` reads .docx, .odt, .epub and .html. The run's folder
    holds the best and the last checkpoint.
    """
    from charlstm.training.load import CpuUse
    from charlstm.training.rank import rank_from_environment

    begun, cpu_use = time.monotonic(), CpuUse.now()
    info = rank_from_environment()
    if info is not None and info.rank:
        _work(info)
        return
    if quiet and verbose:
        raise ConfigError("--quiet and --verbose contradict each other: omit one.")
    say = _nothing if quiet else output.say
    with Signals() as signals:
        from charlstm.cli.report import notice_load, report, summary
        from charlstm.training.plan import plan_training

        plan = plan_training(
            texts,
            given(options, [*SECTIONS.values(), StartConfig, FineTuneConfig, MoreConfig]),
            separate=separate_texts(options),
            resume=True if resume == NEWEST_RUN else resume,
            runs_dir=runs_dir,
            begun=begun,
            cpu_use=cpu_use,
        )
        launcher = None if info is not None else _launcher(plan)
        if launcher is None:
            training = _set_up(plan, say, quiet, signals, verbose)
            trainer = training.trainer
            notice_load(trainer, cpu_use, say)
            reason = _show(training, say, quiet, resumed=resume is not None)
    if launcher is not None:
        sys.exit(launcher())
    run_folder = str(trainer.run.folder)
    if reason == "interrupted":
        output.say(
            f"stopped at step {trainer.progress.step}, everything saved. To resume:\n"
            f"charlstm train --resume {shlex.quote(run_folder)}"
        )
    else:
        report(trainer, reason, say)
    if as_json:
        output.json_line(summary(trainer, reason))
    if signals.received or reason == "interrupted":  # a signal to another process also interrupts
        output.flush()
        sys.exit(128 + (signals.received or signal.SIGINT))


def _launcher(plan: TrainPlan) -> Callable[[], int] | None:
    """A function that restarts this command in several processes and returns their exit code.

    None for a single process.
    """
    from charlstm.runs.find import trained_by

    processes = plan.config.train.processes
    if plan.run is not None:
        given = plan.given.get("processes")
        processes = trained_by(plan.run) if given is None else given
    if processes == 1:
        return None
    from charlstm.training.launch import launch, most_processes

    if not processes and most_processes() == 1:
        return None
    arguments = click.get_current_context().meta[ARGUMENTS]
    return partial(launch, processes, arguments)


def _work(info: RankInfo) -> None:
    """Train as a worker of a process group, with the options of the leader, which reports."""
    from charlstm.training.session import start_worker

    speaks = info.local_rank == 0  # one process reports on a machine without the leader
    try:
        with Signals(silent=not speaks) as signals:
            training = start_worker(output.say if speaks else _nothing)
            if training is not None:
                signals.attach(training.trainer)
                for _ in training:
                    continue
    except (CharlstmError, Stopped) as error:
        if speaks:
            raise
        sys.exit(error.exit_code)


def _set_up(
    plan: TrainPlan, say: Any, quiet: bool, signals: Signals, verbose: bool = False
) -> Training:
    """The trainer of a new or resumed run, in all processes of the group."""
    # Imported only after all options are checked: torch takes a second or more.
    say("starting: loading PyTorch")
    from charlstm.cli.progress import CompileView, reading
    from charlstm.cli.report import explain
    from charlstm.training.session import Callbacks, start

    def details(line: str) -> None:
        say(output.escape(line, newlines=False))

    compiling = CompileView(quiet, signals.check)
    with reading(quiet, signals.check) as progress:
        return start(
            plan,
            Callbacks(
                notice=say,
                warning=output.say,
                details=details if verbose else None,
                reading=progress,
                choice=lambda config, choice: explain(plan, config, choice, say),
                compiling=compiling.show,
                ready=signals.attach,
            ),
        )


def _nothing(_text: str) -> None:
    """Discard a notice."""


def _show(training: Training, say: Any, quiet: bool, *, resumed: bool) -> str:
    """Train, and show the events; returns why training stopped."""
    from charlstm.cli.progress import View
    from charlstm.cli.report import announce

    trainer = training.trainer
    announce(trainer, say, resumed=resumed)
    view = View(trainer, quiet)
    try:
        for event in training:
            reason = view.show(event)
    except (CheckpointError, DistributedError, RunError) as error:
        if "\n" in str(error):  # it already names a way out
            raise
        folder = trainer.run.folder
        advice = (
            "Earlier checkpoints are intact; to resume: charlstm train --resume "
            f"{shlex.quote(str(folder))}"
        )
        if not folder.is_dir():
            advice = f"The run's folder {folder} has been moved or removed during training."
        raise type(error)(f"{error}\n{advice}") from error
    finally:
        view.close()
    return reason
