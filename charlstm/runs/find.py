"""From what a user names to a run, or to the checkpoint to write and score with."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from charlstm.checkpoint import Checkpoint, load_checkpoint
from charlstm.errors import CharlstmError, CheckpointError, ConfigError, RunError
from charlstm.files import expand_home
from charlstm.runs.folder import Run

DEFAULT_RUNS_DIR = Path("checkpoints")
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
    """All runs in a folder, newest first (by their last save); what cannot be read is no run.

    Raises:
        RunError: the folder itself cannot be read.
    """
    try:
        with os.scandir(runs_dir) as entries:
            runs = [Run(Path(entry.path)) for entry in entries if entry.is_dir()]
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
        if _is_file(place):
            raise RunError(
                f"{target!r} is one file; a run is its folder.\n"
                "Name the folder: it goes on from its last.npz, or from the newest whole one."
            )
    where = f" here or in {runs_dir}" if runs_dir.is_dir() else f" here, and no {runs_dir} at all"
    raise RunError(
        f"{_short(target)!r} is no run: there is no folder of that name with a checkpoint{where}."
        "\n`charlstm runs` lists what there is; --runs-dir names another place."
    )


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
    if target and _is_file(place := Path(expand_home(target))):
        return place, load_checkpoint(place, kinds=MODEL)
    run = find_run(target, runs_dir)
    # What is there and is no file is met by an error that says so.
    paths = [path for path in (run.best, *run.checkpoints()) if os.path.lexists(path)]
    return first_intact(paths, MODEL, warn)


def trained_by(run: Run) -> int:
    """How many processes a run was last trained by; 1 where no checkpoint says."""
    try:
        _, checkpoint = first_intact(
            [path for path in run.checkpoints() if path.exists()], MODEL, lambda _: None
        )
        train = checkpoint.meta["config"]["train"]
        count = train.get("processes", 1)
    except (CharlstmError, LookupError, TypeError, AttributeError):
        return 1  # what is wrong is said where the run is read to be continued
    return count if type(count) is int and 1 <= count <= 1024 else 1


def first_intact(
    paths: list[Path], kinds: frozenset[str] | None, warn: Callable[[str], None]
) -> tuple[Path, Checkpoint]:
    """The first of some checkpoints that is intact.

    Raises:
        CheckpointError: none is.
    """
    errors: list[CheckpointError] = []
    for path in paths:
        try:
            checkpoint = load_checkpoint(path, kinds=kinds)
        except CheckpointError as error:
            errors.append(error)
            continue
        for passed_over in errors:
            warn(str(passed_over))
        if errors:
            warn(f"going on with {path} instead.")
        return path, checkpoint
    if len(errors) == 1:
        raise errors[0]
    raise CheckpointError(f"{errors[0]}\nNone of the run's {len(errors)} checkpoints is intact.")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "..."
