"""A run's folder: name, checkpoints and metrics log.

checkpoints/hamlet/
    best.npz            weights of the best evaluation, to generate and evaluate with
    last.npz            the full training state, to resume from
    step-00001200.npz   earlier versions of last.npz, the newest `--keep` of them
    metrics.jsonl       a line every `--log-every` steps and at each evaluation
    corpus.txt          the text, only if it was read from standard input or a pipe; likewise
                        corpus-val.txt, corpus-test.txt, corpus-replay.txt
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

from charlstm.errors import CheckpointError, RunError
from charlstm.format.checkpoint import save_checkpoint
from charlstm.format.files import is_no_file, make_folders, remove_file, replace_file, sync_folder
from charlstm.runs.lock import RunLock, is_locked
from charlstm.runs.metrics import MetricsLog
from charlstm.runs.names import check_name, name_from

_TEMPORARY = re.compile(r"\.(last|best|metrics|corpus(-val|-test|-replay)?|step-\d{8,})\..*\.tmp")
SAVED_TEXTS = ("", "val", "test", "replay")  # see `Run.kept_text_of`
_NUMBERED = re.compile(r"step-(\d{8,})\.npz")


class Run(NamedTuple):
    """A run's folder."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def best(self) -> Path:
        """The best checkpoint's path."""
        return self.folder / "best.npz"

    @property
    def last(self) -> Path:
        """The last checkpoint's path."""
        return self.folder / "last.npz"

    @property
    def metrics(self) -> MetricsLog:
        """The metrics log."""
        return MetricsLog(self.folder / "metrics.jsonl")

    @property
    def kept_text(self) -> Path:
        """The path of a saved text that cannot be read again."""
        return self.kept_text_of("")

    def kept_text_of(self, part: str) -> Path:
        """The same for a separate text, such as `val`; empty: the text itself."""
        return self.folder / (f"corpus-{part}.txt" if part else "corpus.txt")

    @staticmethod
    def check_free(runs_dir: Path, name: str) -> None:
        """Check that a name is available for a new run.

        An empty folder with that name is allowed, unless another process is setting up a run in it.

        Raises:
            ConfigError: the name is not valid.
            RunError: the name is taken.
        """
        folder = runs_dir / check_name(name)
        if os.path.lexists(folder) and (not _is_empty_folder(folder) or is_locked(folder)):
            raise _taken(runs_dir, name)

    @classmethod
    def create(cls, runs_dir: Path, name: str | None, source: str) -> tuple[Run, RunLock]:
        """Create a new run's folder, or use an empty one, and lock it.

        Args:
            runs_dir: the folder of runs; created if missing.
            name: the run's name; None: from the source, with a number if that is taken.
            source: the first source's name.

        Raises:
            ConfigError: the name is not valid.
            RunError: the name is taken, or the folder cannot be created.
        """
        wanted = name_from(source) if name is None else check_name(name)
        try:
            make_folders(runs_dir)
            for number in range(1, 1_000_000):
                folder = runs_dir / (wanted if number == 1 else f"{wanted}-{number}")
                if (lock := take_folder(folder)) is not None:
                    return cls(folder), lock
                if name is not None:
                    raise _taken(runs_dir, name)
        except OSError as error:
            raise RunError(
                f"cannot make the run's folder in {runs_dir}: {error.strerror or error}.\n"
                "Give another --runs-dir."
            ) from error
        raise RunError(f"{runs_dir} has too many runs named {wanted!r}; give a --name.")

    def discard(self) -> None:
        """Remove a new run that could not be started."""
        for path in (self.last, *map(self.kept_text_of, SAVED_TEXTS)):
            remove_file(path)
        self.clear_temporary_files()
        if _is_empty_folder(self.folder):
            self.folder.rmdir()

    def check_files(self) -> None:
        """Check that the run's files are regular files, if they exist.

        Raises:
            RunError: one is not.
        """
        for path in (self.best, self.last, self.metrics.path):
            if is_no_file(path):
                raise RunError(
                    f"{path} is not a regular file, and will not be replaced.\n"
                    "Move it away, then resume the run."
                )

    def clear_temporary_files(self) -> None:
        """Remove temporary files of killed processes; the caller holds the lock.

        Raises:
            RunError: the folder cannot be read or written.
        """
        for name in self._names():
            if _TEMPORARY.fullmatch(name):
                try:
                    remove_file(self.folder / name)
                except OSError as error:
                    raise RunError(
                        f"cannot remove {self.folder / name}: {error.strerror or error}."
                    ) from error

    @staticmethod
    def is_run_file(name: str) -> bool:
        """Whether training writes files with that name, apart from a saved text."""
        if name in ("last.npz", "best.npz", "metrics.jsonl"):
            return True
        return bool(_NUMBERED.fullmatch(name) or _TEMPORARY.fullmatch(name))

    def saved_at(self) -> float | None:
        """Time of the newest checkpoint in seconds since 1970; None if there is none."""
        try:
            names = self._names()
        except (RunError, ValueError):
            return None
        times = []
        for name in names:
            if name in ("last.npz", "best.npz") or _NUMBERED.fullmatch(name):
                try:
                    status = (self.folder / name).stat()
                except OSError:  # a broken link, or removed since it was listed
                    continue
                if stat.S_ISREG(status.st_mode):
                    times.append(status.st_mtime)
        return max(times, default=None)

    def numbered(self) -> list[tuple[int, Path]]:
        """Step-numbered checkpoints as (step, path), oldest first.

        Raises:
            RunError: the folder cannot be read.
        """
        matches = [match for name in self._names() if (match := _NUMBERED.fullmatch(name))]
        return sorted((int(match[1]), self.folder / match[0]) for match in matches)

    def checkpoints(self) -> list[Path]:
        """The checkpoints that a resume can start from, in the order to try.

        Raises:
            RunError: the folder cannot be read.
        """
        return [self.last, *(path for _, path in reversed(self.numbered()))]

    def _names(self) -> list[str]:
        try:
            return os.listdir(self.folder)
        except OSError as error:
            raise RunError(f"cannot read {self.folder}: {error.strerror or error}.") from error

    def save_last(
        self,
        meta: Mapping[str, Any],
        arrays: Mapping[str, Any],
        *,
        previous_step: int,
        keep: int,
    ) -> None:
        """Save the training state as `last.npz`; keep the previous one as a numbered checkpoint.

        Args:
            meta, arrays: the checkpoint.
            previous_step: the step of the existing `last.npz`; below 0 if there is none.
            keep: the number of numbered checkpoints to keep.

        Raises:
            CheckpointError: it cannot be written.
        """
        if keep and previous_step >= 0 and self.last.is_file():
            path = self.folder / f"step-{previous_step:08d}.npz"
            if not path.exists():
                _link_or_copy(self.last, path)
        save_checkpoint(self.last, meta, arrays)
        numbered = self.numbered()
        for _, path in numbered[: max(0, len(numbered) - keep)]:
            try:
                remove_file(path)
            except PermissionError:  # on Windows, while it is read; the next save removes it
                break

    def save_best(self, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Save the best weights so far.

        Raises:
            CheckpointError: they cannot be written.
        """
        save_checkpoint(self.best, meta, arrays)


def _taken(runs_dir: Path, name: str) -> RunError:
    folder = runs_dir / name
    if is_locked(folder):
        return RunError(
            f"there is a run {name!r} in {runs_dir} already; another process is training it.\n"
            "Choose another --name."
        )
    if Run(folder).saved_at() is None:
        what = "folder" if folder.is_dir() else "file"
        return RunError(
            f"there is a {what} {name!r} in {runs_dir} already, which is not a run.\n"
            "Choose another --name."
        )
    return RunError(
        f"there is a run {name!r} in {runs_dir} already.\n"
        f"Choose another --name, or continue it: charlstm train --resume {shlex.quote(str(folder))}"
    )


def take_folder(folder: Path) -> RunLock | None:
    """Create a folder, or use an empty one, and lock it; None if it is in use.

    Raises:
        OSError: it cannot be created.
    """
    try:
        folder.mkdir()
    except FileExistsError:
        if not _is_empty_folder(folder):
            return None
    try:
        lock = RunLock(folder)
    except RunError:
        return None  # another process was first
    if not _is_empty_folder(folder):
        lock.release()
        return None
    try:
        sync_folder(folder.parent)
    except OSError:
        lock.release()
        raise
    return lock


def _is_empty_folder(folder: Path) -> bool:
    """Whether it is a folder that contains at most temporary files of charlstm."""
    try:
        return not any(not _TEMPORARY.fullmatch(name) for name in os.listdir(folder))
    except OSError:
        return False


def _link_or_copy(source: Path, target: Path) -> None:
    """Make a hard link, or a copy if the file system has no links."""

    def write(file: IO[bytes]) -> None:
        with source.open("rb") as original:
            shutil.copyfileobj(original, file)

    try:
        os.link(source, target)
    except OSError:
        try:
            replace_file(target, write)
        except OSError as error:
            raise CheckpointError(f"cannot save {target}: {error.strerror or error}.") from error
