"""Shell completion of run names.

A key press should not wait for numpy, so nothing of `charlstm.runs` is imported here; a test holds
`run_names` equal to `charlstm.runs.find.list_runs`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem

from charlstm.format.files import expand_home

_FILES = CompletionItem("", type="file")
_CHECKPOINT = re.compile(r"(best|last|step-\d{8,})\.npz")


def complete_run(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Runs whose name begins with `incomplete`; files, too, as a checkpoint is one.

    The entry for files comes first: bash clears what was listed before it, and then offers files
    only where no run fits.
    """
    folder = ctx.params.get("runs_dir") or os.environ.get("CHARLSTM_RUNS_DIR") or "checkpoints"
    names = [name for name in run_names(expand_home(folder)) if name.startswith(incomplete)]
    return [_FILES, *map(CompletionItem, names)]


def complete_run_first(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The same for arguments of which only the first can be a run."""
    given = param.name is not None and ctx.params.get(param.name)
    return [_FILES] if given else complete_run(ctx, param, incomplete)


def run_names(folder: str) -> list[str]:
    """Names of the folders that hold a checkpoint, sorted; none if `folder` cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if any(_checkpoints(entry.path)))
    except OSError:
        return []


def _checkpoints(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if _CHECKPOINT.fullmatch(entry.name))
    except OSError:  # a file, or a folder of someone else's: no run
        return
