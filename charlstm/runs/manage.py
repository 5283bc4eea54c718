"""Renaming and deleting runs; the run's lock protects runs in training."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from charlstm.errors import CheckpointError, RunError
from charlstm.format.checkpoint import load_meta
from charlstm.format.files import expand_home, remove_file, retry_while_shared, sync_folder
from charlstm.runs.find import find_run, first_readable, is_file
from charlstm.runs.folder import SAVED_TEXTS, Run, take_folder
from charlstm.runs.lock import RunLock
from charlstm.runs.names import check_name


def find_folder(target: str, runs_dir: Path) -> Run:
    """The run with a name or path, to rename or delete.

    Raises:
        RunError: there is none, it is a link, or the path is that of a file.
    """
    place = Path(expand_home(target))
    if is_file(place):
        of_run = Run(place.parent).saved_at() is not None
        which = f": {_named(place.parent)}" if of_run else "."
        raise RunError(f"{target!r} is one file; name the run's folder{which}")
    folder = _named(find_run(target, runs_dir).folder)
    if folder.is_symlink():
        raise RunError(
            f"{folder} is a link to {os.readlink(folder)}.\n"
            "Name the folder that it points to, or rename or remove the link itself."
        )
    return Run(folder)


def _named(folder: Path) -> Path:
    """The folder by its name, where it is given as `.` or `..`."""
    return Path(os.path.abspath(folder)) if folder.name in ("", "..") else folder


def rename_run(run: Run, name: str) -> Run:
    """Rename a run within its folder of runs.

    Raises:
        ConfigError: the name is not valid.
        RunError: the name is taken, the run is in training, or renaming fails.
    """
    parent = run.folder.parent
    new = Run(parent / check_name(name, "the new name"))
    lock = RunLock(run.folder)
    try:
        existed = os.path.lexists(new.folder)
        # Reserve the name as a new run does.
        taken = take_folder(new.folder)
        if taken is None:
            raise RunError(f"the name {name!r} is taken in {parent}.\nChoose another name.")
        try:
            new.clear_temporary_files()
            retry_while_shared(lambda: _move(run.folder, new.folder))
        except BaseException:
            if not existed:
                with suppress(OSError):  # not empty any more
                    new.folder.rmdir()
            raise
        finally:
            taken.release()
        sync_folder(parent)
    except OSError as error:
        raise RunError(f"cannot rename {run.folder}: {error.strerror or error}.") from error
    finally:
        lock.release()
    return new


def _move(folder: Path, empty: Path) -> None:
    """Rename a folder, replacing an empty one."""
    try:
        os.rename(folder, empty)
    except FileExistsError:  # Windows does not replace folders
        empty.rmdir()
        os.rename(folder, empty)


@dataclass(frozen=True)
class Contents:
    """The contents of a run's folder.

    Attributes:
        files: the run's files, in the order of removal; checkpoints are last, as they make the
            folder a run.
        others: names of files that do not belong to the run.
        num_bytes: total size of the run's files; hard links count once.
    """

    files: list[Path]
    others: list[str]
    num_bytes: int


def contents(run: Run) -> Contents:
    """The contents of a run's folder.

    Raises:
        RunError: it cannot be read.
    """
    try:
        names = sorted(os.listdir(run.folder))
    except OSError as error:
        raise RunError(f"cannot read {run.folder}: {error.strerror or error}.") from error
    checkpoints: list[Path] = []
    rest: list[Path] = []
    others: list[str] = []
    sizes: dict[tuple[int, int], int] = {}
    for name in names:
        path = run.folder / name
        try:
            status = path.lstat()
        except OSError:  # removed since it was listed
            continue
        is_part = run.is_run_file(name) or (name.startswith("corpus") and path in saved_texts(run))
        if not (is_part and stat.S_ISREG(status.st_mode)):
            others.append(name)
            continue
        sizes[(status.st_dev, status.st_ino)] = status.st_size
        (checkpoints if path.suffix == ".npz" else rest).append(path)
    checkpoints.sort(key=lambda path: path == run.last)  # last.npz is removed last
    return Contents([*rest, *checkpoints], others, sum(sizes.values()))


def saved_texts(run: Run) -> list[Path]:
    """The texts that are saved in a run's folder, according to its checkpoint."""
    try:
        _, meta = first_readable([*run.checkpoints(), run.best], load_meta, lambda _: None)
    except CheckpointError:
        return []
    corpus = meta.get("corpus")
    if not isinstance(corpus, dict):
        return []
    separate = corpus.get("separate")
    facts = {"": corpus, **(separate if isinstance(separate, dict) else {})}
    return [
        run.kept_text_of(part)
        for part in SAVED_TEXTS
        if isinstance(own := facts.get(part), dict) and own.get("kept") is True
    ]


@contextmanager
def locked(runs: Sequence[Run]) -> Iterator[bool]:
    """A context that holds the locks of some runs; yields whether all could be locked.

    Raises:
        RunError: a run is in training.
    """
    with ExitStack() as stack:
        held = True
        for run in runs:
            lock = RunLock(run.folder)
            stack.callback(lock.release)
            held = held and lock.held
        yield held


def delete_run(run: Run) -> Contents:
    """Delete a run's files, and its folder unless it contains others.

    The caller holds the run's lock.

    Returns:
        The contents before deletion.

    Raises:
        RunError: a file cannot be removed.
    """
    found = contents(run)
    try:
        for path in found.files:
            remove_file(path)
        if not found.others:
            run.folder.rmdir()
        sync_folder(run.folder.parent)
    except OSError as error:
        raise RunError(f"cannot delete {run.folder}: {error.strerror or error}.") from error
    return found
