"""Finding runs and checkpoints by name or path."""

from __future__ import annotations

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
MODEL = frozenset({"model"})  # the entries needed to generate and to evaluate


def runs_dir_from(option: str | None) -> Path:
    """The folder of runs: the option, `CHARLSTM_RUNS_DIR`, or `checkpoints`; `~` is expanded.

    Raises:
        ConfigError: it begins with `~` and the user is unknown.
    """
    given = option or os.environ.get("CHARLSTM_RUNS_DIR") or str(DEFAULT_RUNS_DIR)
    folder = expand_home(given)
    if folder.startswith("~"):
        name = folder.partition("/")[0]
        raise ConfigError(
            f"--runs-dir {_short(given)}: there is no home folder of {name}.\n"
            f"For a folder with the name {name} write ./{_short(folder)}."
        )
    return Path(folder)


def list_runs(runs_dir: Path) -> list[Run]:
    """All runs in a folder, newest first by their last save.

    Other entries (files, broken links, unreadable folders) are ignored.

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
    """The run with a path or name; None: the newest run.

    The path of a run's `last.npz` also selects the run.

    Raises:
        RunError: there is no such run.
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
                "Give the folder: its last.npz is used, or the newest intact checkpoint."
            )
        _check_set_up((place, runs_dir / target))
    where = (
        f" here or in {runs_dir}"
        if runs_dir.is_dir()
        else f" here; the folder {runs_dir} does not exist"
    )
    near = _similar_run(target, runs_dir)
    raise RunError(
        f"{_short(target)!r} is not a run: no folder of that name has a checkpoint{where}."
        + ("\n" if near is None else f"\nDid you mean {near!r}? ")
        + "`charlstm runs` lists all runs; --runs-dir gives another folder."
    )


def _check_set_up(folders: Iterable[Path]) -> None:
    """Check that no folder without a checkpoint is a run being set up.

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
    """The name or path of the run with the most similar name; None if there is none."""
    path = Path(target)
    places = [(runs_dir, "")]  # with the prefix of run names there
    if path.parent != Path():
        places.insert(0, (path.parent, f"{path.parent}{os.sep}"))
    for folder, prefix in places:
        try:
            names = {run.name.casefold(): run.name for run in list_runs(folder)}
        except (RunError, ValueError):
            continue
        import difflib  # noqa: PLC0415 - only for the error

        near = difflib.get_close_matches(path.name[:200].casefold(), names, n=1)
        if near:
            return prefix + names[near[0]]
    return None


def load_model_checkpoint(
    target: str | None, runs_dir: Path, warn: Callable[[str], None]
) -> tuple[Path, Checkpoint]:
    """The verified checkpoint to generate or evaluate with: weights and `meta`.

    Args:
        target: a checkpoint file, or a run by path or name; None: the newest run. A run gives
            its best checkpoint, or if that is damaged or missing, its last or an earlier one.
        runs_dir: the folder of runs.
        warn: called with a notice for each damaged checkpoint that is skipped.

    Returns:
        The file's path and contents.

    Raises:
        RunError: there is no such run.
        CheckpointError: no checkpoint is intact.
    """
    return find_model_checkpoint(
        target, runs_dir, lambda path: load_checkpoint(path, kinds=MODEL), warn
    )


def find_model_checkpoint(
    target: str | None,
    runs_dir: Path,
    read: Callable[[Path], _Read],
    warn: Callable[[str], None],
) -> tuple[Path, _Read]:
    """The file of `load_model_checkpoint`, and the result of `read` for it.

    Args:
        target, runs_dir, warn: as for `load_model_checkpoint`.
        read: reads and verifies a file; raises `CheckpointError` if it is not usable.

    Raises:
        RunError, CheckpointError: as for `load_model_checkpoint`.
    """
    if target and is_file(place := Path(expand_home(target))):
        return place, read(place)
    run = find_run(target, runs_dir)
    paths = [run.best, *run.checkpoints()]
    while True:
        try:
            return first_readable(paths, read, warn)
        except CheckpointError:
            # A trainer may have saved since, and removed a listed file.
            if (now := [run.best, *run.checkpoints()]) == paths:
                raise
            paths = now


def trained_by(run: Run) -> int:
    """The number of processes that last trained a run; 1 if unknown."""
    try:
        _, meta = first_readable(run.checkpoints(), load_meta, lambda _: None)
        count = meta["config"]["train"].get("processes", 1)
    except (CharlstmError, LookupError, TypeError, AttributeError):
        return 1  # resuming the run reports the error
    return count if type(count) is int and 1 <= count <= 1024 else 1


def first_intact(
    paths: Sequence[Path], kinds: frozenset[str] | None, warn: Callable[[str], None]
) -> tuple[Path, Checkpoint]:
    """The first intact checkpoint; arguments as for `load_checkpoint` and `first_readable`.

    Raises:
        CheckpointError: none is intact.
    """
    return first_readable(paths, lambda path: load_checkpoint(path, kinds=kinds), warn)


def first_readable(
    paths: Sequence[Path], read: Callable[[Path], _Read], warn: Callable[[str], None]
) -> tuple[Path, _Read]:
    """The first readable checkpoint: its path and the result of `read`.

    Missing files are skipped without a notice: another process that trains the run may have
    removed an old checkpoint since it was listed.

    Args:
        paths: files in the order to try.
        read: reads a file; raises `CheckpointError` if it is not usable.
        warn: called with a notice for each damaged file, if a later one is readable.

    Raises:
        CheckpointError: no file is readable.
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
            warn(f"using {path} instead.")
        return path, found
    if not errors:
        place = f"in {paths[0].parent}" if paths else "in the run's folder"
        raise CheckpointError(
            f"there is no checkpoint {place} any more.\n`charlstm runs` lists all runs."
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
