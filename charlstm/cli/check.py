"""charlstm check: what a text is, before an hour of training."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.options import (
    GroupedCommand,
    GroupedOption,
    UserPath,
    common_options,
    config_options,
    given,
)
from charlstm.config import CheckConfig, TextConfig
from charlstm.config.check import WITHOUT_EFFECT

if TYPE_CHECKING:
    from charlstm.checkup.expected import MachineSpeed

FINDINGS_EXIT_CODE = 3
"""The exit code of `--strict` with findings."""


@click.command(
    "check",
    cls=GroupedCommand,
    epilog="Exit codes: 0 the text can be read, with or without findings; 1 it cannot; 2 usage "
    "error; 3 findings (--strict).",
)
@click.argument("texts", nargs=-1, type=UserPath())
@config_options(TextConfig, CheckConfig, without=WITHOUT_EFFECT)
@click.option(
    "--speed-test/--no-speed-test",
    default=True,
    help="Measure this machine's speed for the plans; otherwise they assume two cores of a Zen 4.",
    show_default=True,
    cls=GroupedOption,
    group="Plan",
)
@click.option("--strict", is_flag=True, help="Exit with code 3 if there are findings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common_options
def command(
    texts: tuple[str, ...],
    speed_test: bool,
    strict: bool,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Check a text before training, and show what to mend.

    TEXTS are files, folders, or - for standard input, and are read as by train. The report has
    counts, repetition, entropy, compression, a rough prediction of the loss, and what train would
    choose. Every finding has the option or the command that mends it. Nothing is changed.
    """
    minutes = CheckConfig(**given(options, [CheckConfig])).minutes
    config = TextConfig(**given(options, [TextConfig]))

    from charlstm.checkup.api import text_sources
    from charlstm.checkup.report import examine
    from charlstm.cli.check_report import report
    from charlstm.cli.progress import reading
    from charlstm.runs.find import runs_dir_from

    sources = text_sources(texts, config, runs_dir_from(runs_dir), output.say)
    with reading(quiet=False) as progress:
        found = examine(
            sources,
            config,
            minutes=minutes,
            speed=_measure if speed_test else None,
            progress=progress,
        )
    if as_json:
        output.json_line(found.to_json())
    else:
        output.data_line(report(found))
    if strict and found.findings:
        output.flush()
        sys.exit(FINDINGS_EXIT_CODE)


def _measure(vocab_size: int) -> MachineSpeed:
    output.say("measuring this machine's speed; --no-speed-test leaves this out")
    from charlstm.checkup.expected import MachineSpeed
    from charlstm.cli.progress import CompileView
    from charlstm.training.speed_test import measure_speed

    speed = measure_speed(CompileView(False, lambda: None).show, vocab_size)
    return MachineSpeed(speed.chars_per_second, speed.kernel == "compiled")
