"""Shell completion of run names.

Completion must be fast, so this module does not import `charlstm.runs`, which needs numpy. A test
compares `run_names` with `charlstm.runs.find.list_runs`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_CHECKPOINT = r"(best|last|step-\d{8,})\.npz"


def complete_run(
    ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completions for a run: runs whose name begins with `incomplete`, and files (checkpoints).

    The entry for files comes first: bash clears what was listed before it, and offers files only
    if no run matches.
    """
    from click.shell_completion import CompletionItem

    from charlstm.format.files import expand_home

    folder = ctx.params.get("runs_dir") or os.environ.get("CHARLSTM_RUNS_DIR") or "checkpoints"
    names = [name for name in run_names(expand_home(folder)) if name.startswith(incomplete)]
    return [*_files(), *map(CompletionItem, names)]


def complete_run_first(
    ctx: click.Context, param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Completions for arguments of which only the first can be a run."""
    given = param.name is not None and ctx.params.get(param.name)
    return _files() if given else complete_run(ctx, param, incomplete)


def _files() -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem("", type="file")]


def run_names(folder: str) -> list[str]:
    """Sorted names of the folders with a checkpoint; empty if `folder` cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if any(_checkpoints(entry.path)))
    except OSError:
        return []


def _checkpoints(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            yield from (entry.name for entry in entries if re.fullmatch(_CHECKPOINT, entry.name))
    except OSError:  # a file, or an unreadable folder: not a run
        return
