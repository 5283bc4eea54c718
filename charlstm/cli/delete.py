"""charlstm delete: delete runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.options import GroupedCommand, common_options
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    from charlstm.runs.folder import Run
    from charlstm.runs.manage import Contents


@click.command("delete", cls=GroupedCommand)
@click.argument("runs", nargs=-1, required=True, shell_complete=complete_run)
@click.option(
    "--yes", is_flag=True, help="Do not ask for confirmation; required without a terminal."
)
@common_options
def command(runs: tuple[str, ...], yes: bool, runs_dir: str | None) -> None:
    """Delete RUNS, given by name or folder: their checkpoints, logs and saved texts.

    Other files in a run's folder are kept. A run in training is not deleted. If one of several
    runs cannot be deleted, none is.
    """
    from charlstm.runs.find import runs_dir_from
    from charlstm.runs.manage import contents, delete_run, find_folder, locked

    folder = runs_dir_from(runs_dir)
    found = {run.folder.resolve(): run for run in (find_folder(name, folder) for name in runs)}
    with locked(list(found.values())) as safe:
        if not yes:
            if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
                raise ConfigError(
                    "cannot ask for confirmation without a terminal; to delete anyway, give --yes."
                )
            for run in found.values():
                output.say(_described(run, contents(run)))
            if not safe:
                output.say(
                    "no file locks on this file system: make sure that no training is running."
                )
            if not click.confirm(f"Delete {output.counted(len(found), 'run')}?", err=True):
                output.say("nothing was deleted.")
                raise click.exceptions.Exit(1)
        for run in found.values():
            deleted = delete_run(run)
            output.say(f"deleted {_described(run, deleted)}")
            if deleted.others:
                shown = ", ".join(deleted.others[:5]) + (" ..." if deleted.others[5:] else "")
                output.say(f"kept in {run.folder}, not part of the run: {shown}")


def _described(run: Run, found: Contents) -> str:
    size = f"{output.counted(len(found.files), 'file')}, {output.megabytes(found.num_bytes)}"
    return f"{run.folder}: {size}" + (
        ", including its saved text" if any(p.suffix == ".txt" for p in found.files) else ""
    )
