"""charlstm rename: rename a run."""

from __future__ import annotations

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.options import GroupedCommand, common_options


@click.command("rename", cls=GroupedCommand)
@click.argument("run", shell_complete=complete_run)
@click.argument("new")
@common_options
def command(run: str, new: str, runs_dir: str | None) -> None:
    """Rename RUN, given by name or folder, to NEW. It stays in the same folder of runs."""
    from charlstm.runs.find import runs_dir_from
    from charlstm.runs.manage import find_folder, rename_run

    old = find_folder(run, runs_dir_from(runs_dir))
    output.say(f"{old.folder} is now {rename_run(old, new).folder}")
