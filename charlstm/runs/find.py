"""From what a user names to a run, or to the checkpoint to write and score with."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from charlstm.errors import CharlstmError, CheckpointError, ConfigError, RunError
from charlstm.format.checkpoint import Checkpoint, load_checkpoint, load_meta
from charlstm.format.files import expand_home
from charlstm.runs.folder import Run
from charlstm.runs.lock import is_locked

DEFAULT_RUNS_DIR = Path("checkpoints")
_Read = TypeVar("_Read")
MODEL = frozenset({"model"})  # the entries that writing and scoring need


def runs_dir_from(option: str | None) -> Path:
    """The runs' folder: the option, `CHARLSTM_RUNS_DIR`, or `checkpoints`; `~` is expanded.

    Raises:
        ConfigError: it begins with `~`, and no such user is known.
    """
    given = option or os.environ.get("CHARLSTM_RUNS_DIR") or str(DEFAULT_RUNS_DIR)
    folder = expand_home(given)
    if folder.startswith("~"):
        name = folder.partition("/")[0]
        raise ConfigError(
            f"--runs-dir {_short(given)}: there is no home folder of {name}.\n"
            f"For a folder that is itself called {name} write ./{_short(folder)}."
        )
    return Path(folder)


def list_runs(runs_dir: Path) -> list[Run]:
    """All runs in a folder, newest first (by their last save).

    Whatever else is there (files, broken links, folders that cannot be read) is left out.

    Raises:
        RunError: the folder itself cannot be read.
    """
    try:
        with os.scandir(runs_dir) as entries:
            runs = [Run(Path(entry.path)) for entry in entries]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {runs_dir}: {error.strerror or error}.") from error
    found = [(saved_at, run) for run in runs if (saved_at := run.saved_at()) is not None]
    return [run for _, run in sorted(found, key=lambda pair: (-pair[0], pair[1].name))]


def find_run(target: str | None, runs_dir: Path) -> Run:
    """The run that a path or a name stands for; None stands for the newest.

    A checkpoint file that a resume would read first (`last.npz`) stands for its run, too.

    Raises:
        RunError: there is none.
    """
    if target is None:
        runs = list_runs(runs_dir)
        if not runs:
            _check_set_up(sorted(runs_dir.iterdir()) if runs_dir.is_dir() else [])
            raise RunError(
                f"there is no run in {runs_dir} yet.\nTrain one first: charlstm train corpus.txt"
            )
        return runs[0]
    if target:
        place = Path(expand_home(target))
        for folder in (place, runs_dir / target):
            if Run(folder).saved_at() is not None:
                return Run(folder)
        run = Run(place.parent)
        if run.last == place and run.saved_at() is not None:
            return run
        if is_file(place):
            raise RunError(
                f"{target!r} is one file; a run is its folder.\n"
                "Name the folder: it goes on from its last.npz, or from the newest whole one."
            )
        _check_set_up((place, runs_dir / target))
    where = f" here or in {runs_dir}" if runs_dir.is_dir() else f" here, and no {runs_dir} at all"
    near = _similar_run(target, runs_dir)
    raise RunError(
        f"{_short(target)!r} is no run: there is no folder of that name with a checkpoint{where}."
        + ("\n" if near is None else f"\nDid you mean {near!r}? ")
        + "`charlstm runs` lists what there is; --runs-dir names another place."
    )


def _check_set_up(folders: Iterable[Path]) -> None:
    """Make sure that none of some folders, which hold no checkpoint, is a run being set up.

    Raises:
        RunError: one is.
    """
    for folder in folders:
        if os.path.isdir(folder) and is_locked(folder):
            raise RunError(
                f"another process is setting up the run in {folder}: it has no checkpoint yet.\n"
                "Wait until its training begins."
            )


def _similar_run(target: str, runs_dir: Path) -> str | None:
    """The name or path, written as `target` is, of the run whose name is most like it."""
    path = Path(target)
    places = [(runs_dir, "")]  # and how to write the name of a run there
    if path.parent != Path():
        places.insert(0, (path.parent, f"{path.parent}{os.sep}"))
    for folder, prefix in places:
        try:
            names = {run.name.casefold(): run.name for run in list_runs(folder)}
        except (RunError, ValueError):
            continue
        near = difflib.get_close_matches(path.name[:200].casefold(), names, n=1)
        if near:
            return prefix + names[near[0]]
    return None


def load_model_checkpoint(
    target: str | None, runs_dir: Path, warn: Callable[[str], None]
) -> tuple[Path, Checkpoint]:
    """The checkpoint to write or score with, read and verified: its weights, and `meta`.

    Args:
        target: a checkpoint file, or a run by path or name; None: the newest run. A run gives
            its best checkpoint, and if that is damaged or missing its last, or an earlier one.
        runs_dir: where runs live.
        warn: told of each damaged checkpoint that is passed over.

    Returns:
        The file's path, and what it holds.

    Raises:
        RunError: there is no such run.
        CheckpointError: there is no intact checkpoint.
    """
    if target and is_file(place := Path(expand_home(target))):
        return place, load_checkpoint(place, kinds=MODEL)
    run = find_run(target, runs_dir)
    paths = [run.best, *run.checkpoints()]
    while True:
        try:
            return first_intact(paths, MODEL, warn)
        except CheckpointError:
            # A trainer may have saved, and removed what was listed.
            if (now := [run.best, *run.checkpoints()]) == paths:
                raise
            paths = now


def trained_by(run: Run) -> int:
    """How many processes a run was last trained by; 1 where no checkpoint says."""
    try:
        _, meta = first_readable(run.checkpoints(), load_meta, lambda _: None)
        count = meta["config"]["train"].get("processes", 1)
    except (CharlstmError, LookupError, TypeError, AttributeError):
        return 1  # what is wrong is said where the run is read to be continued
    return count if type(count) is int and 1 <= count <= 1024 else 1


def first_intact(
    paths: Sequence[Path], kinds: frozenset[str] | None, warn: Callable[[str], None]
) -> tuple[Path, Checkpoint]:
    """The first of some checkpoints that is intact.

    Raises:
        CheckpointError: none is.
    """
    return first_readable(paths, lambda path: load_checkpoint(path, kinds=kinds), warn)


def first_readable(
    paths: Sequence[Path], read: Callable[[Path], _Read], warn: Callable[[str], None]
) -> tuple[Path, _Read]:
    """The first of some checkpoints that `read` reads, and what it returns.

    One that does not exist is passed over without a word: where another process trains the run,
    an old checkpoint may have been removed after it was listed.

    Args:
        paths: in the order in which to try them.
        read: raises a `CheckpointError` for a file that it cannot use.
        warn: told of each that is damaged, if one after it is not.

    Raises:
        CheckpointError: none can be read, or none exists.
    """
    errors: list[CheckpointError] = []
    for path in paths:
        try:
            found = read(path)
        except CheckpointError as error:
            if os.path.lexists(path):
                errors.append(error)
            continue
        for passed_over in errors:
            warn(str(passed_over))
        if errors:
            warn(f"going on with {path} instead.")
        return path, found
    if not errors:
        place = f"in {paths[0].parent}" if paths else "in the run's folder"
        raise CheckpointError(
            f"there is no checkpoint {place} any more.\n`charlstm runs` lists what there is."
        )
    if len(errors) == 1:
        raise errors[0]
    raise CheckpointError(f"{errors[0]}\nNone of the run's {len(errors)} checkpoints is intact.")


def is_file(path: Path) -> bool:
    """Whether a path is a file's; False, too, where it cannot be one."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "..."
