"""A run's folder: its name, its checkpoints, which to keep, and its log of metrics.

checkpoints/hamlet/
    best.npz            weights of the best evaluation so far: to write and score with
    last.npz            everything that continuing needs
    step-00001200.npz   the `--keep` newest earlier ones, each like last.npz
    metrics.jsonl       a line each `--log-every` steps and each evaluation
    corpus.txt          the text, only where it came from standard input or a pipe
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from charlstm.checkpoint import Checkpoint, load_checkpoint, replace_file, save_checkpoint
from charlstm.errors import CheckpointError, RunError

DEFAULT_RUNS_DIR = Path("checkpoints")
_NUMBERED = re.compile(r"step-(\d{8,})\.npz")
_MAX_NAME_BYTES = 200


def check_name(name: str) -> str:
    """The name, if it can be a run's: one that stays inside the runs' folder.

    Raises:
        RunError: it cannot.
    """
    bad = (
        not name
        or name.startswith((".", "-"))
        or any(c in '/\\:*?"<>|' or not c.isprintable() for c in name)
        or len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES
    )
    if bad:
        raise RunError(
            f"--name {name[:80]!r} cannot name a run.\nUse letters, digits, spaces, '-', '_' and "
            f"'.', not first '.' or '-', {_MAX_NAME_BYTES} bytes at most."
        )
    return name


def name_from(source: str) -> str:
    """A run's name from a source's: `notes/hamlet.txt.gz` gives `hamlet`."""
    name = Path(source).name or Path(source).resolve().name
    while (stem := Path(name).stem) != name and Path(name).suffix.lower() in (
        ".txt",
        ".md",
        ".gz",
        ".bz2",
        ".xz",
        ".text",
    ):
        name = stem
    kept = re.sub(r"[^\w.-]+", "-", name).strip(".-_")[:60]
    return kept or "run"


@dataclass(frozen=True)
class Run:
    """One run's folder."""

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
    def metrics(self) -> Path:
        """The log's path."""
        return self.folder / "metrics.jsonl"

    @property
    def kept_text(self) -> Path:
        """Where a text that cannot be read again is kept."""
        return self.folder / "corpus.txt"

    @staticmethod
    def check_free(runs_dir: Path, name: str) -> None:
        """Make sure that a new run can have that name.

        Raises:
            RunError: it cannot.
        """
        folder = runs_dir / check_name(name)
        if os.path.lexists(folder):
            raise RunError(
                f"there is a run {name!r} in {runs_dir} already.\n"
                f"Choose another --name, or continue it: charlstm train --resume {folder}"
            )

    @classmethod
    def create(cls, runs_dir: Path, name: str | None, source: str) -> Run:
        """Make a new run's folder.

        Args:
            runs_dir: where runs live; made if need be.
            name: the run's name; None: from the source, with a number if that is taken.
            source: the first source's name.

        Raises:
            RunError: the name is taken or cannot be one, or the folder cannot be made.
        """
        wanted = name_from(source) if name is None else check_name(name)
        if name is not None:
            cls.check_free(runs_dir, name)
        try:
            runs_dir.mkdir(parents=True, exist_ok=True)
            for number in range(1, 1_000_000):
                folder = runs_dir / (wanted if number == 1 else f"{wanted}-{number}")
                try:
                    folder.mkdir()
                except FileExistsError:
                    if name is not None:
                        cls.check_free(runs_dir, name)
                    continue
                return cls(folder)
        except OSError as error:
            raise RunError(
                f"cannot make the run's folder in {runs_dir}: {error.strerror or error}.\n"
                "Give another --runs-dir."
            ) from error
        raise RunError(f"{runs_dir} holds too many runs named {wanted!r}; give a --name.")

    def numbered(self) -> list[tuple[int, Path]]:
        """Numbered checkpoints, oldest first, with their steps."""
        try:
            names = [entry.name for entry in os.scandir(self.folder)]
        except OSError as error:
            raise RunError(f"cannot read {self.folder}: {error.strerror or error}.") from error
        matches = [match for name in names if (match := _NUMBERED.fullmatch(name))]
        return sorted((int(match[1]), self.folder / match[0]) for match in matches)

    def save_last(
        self,
        meta: Mapping[str, Any],
        arrays: Mapping[str, Any],
        *,
        previous_step: int,
        keep: int,
    ) -> None:
        """Save what continuing needs as `last.npz`; the one before stays as a numbered one.

        Args:
            meta, arrays: the checkpoint.
            previous_step: the step of the `last.npz` that is there; below 0 if none is.
            keep: how many numbered checkpoints stay.

        Raises:
            CheckpointError: it cannot be written.
        """
        if keep and previous_step >= 0 and self.last.is_file():
            path = self.folder / f"step-{previous_step:08d}.npz"
            if not path.exists():
                _link_or_copy(self.last, path)
        save_checkpoint(self.last, meta, arrays)
        numbered = self.numbered()
        for _, path in numbered[: len(numbered) - keep]:
            path.unlink(missing_ok=True)

    def save_best(self, meta: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        """Save the best weights so far.

        Raises:
            CheckpointError: they cannot be written.
        """
        save_checkpoint(self.best, meta, arrays)

    def load_resumable(self, warn: Callable[[str], None]) -> Checkpoint:
        """The newest intact checkpoint that can be continued.

        Args:
            warn: told of each damaged one that is passed over.

        Raises:
            CheckpointError: there is none; the error is that of the newest.
        """
        candidates = [self.last, *(path for _, path in reversed(self.numbered()))]
        first_error: CheckpointError | None = None
        for path in candidates:
            try:
                checkpoint = load_checkpoint(path)
            except CheckpointError as error:
                first_error = first_error or error
                warn(str(error))
            else:
                if first_error is not None:
                    warn(f"going on from {path} instead.")
                return checkpoint
        assert first_error is not None
        raise first_error

    def rewind_metrics(self, step: int) -> None:
        """Drop log lines after `step`, and a last line that was cut off.

        Raises:
            CheckpointError: the log cannot be rewritten.
        """
        lines = [json.dumps(line) for line in self.read_metrics() if line["step"] <= step]
        text = "".join(line + "\n" for line in lines).encode()
        try:
            replace_file(self.metrics, lambda file: _write_all(file, text))
        except OSError as error:
            raise CheckpointError(f"cannot write {self.metrics}: {error.strerror}.") from error

    def read_metrics(self) -> list[dict[str, Any]]:
        """The log's readable lines."""
        try:
            text = self.metrics.read_text("utf-8", errors="replace")
        except OSError:
            return []
        return list(_json_lines(text))

    def log(self, line: Mapping[str, Any]) -> None:
        """Append a line to the log.

        Raises:
            CheckpointError: it cannot be written.
        """
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CheckpointError(f"cannot write {self.metrics}: {error.strerror}.") from error


def _json_lines(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        try:
            data = json.loads(line)
        except ValueError:
            continue  # the process was killed while it wrote this line
        if isinstance(data, dict) and isinstance(data.get("step"), int):
            yield data


def _write_all(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def _link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system has no links, copy it."""
    try:
        os.link(source, target)
    except OSError:
        data = source.read_bytes()
        try:
            replace_file(target, lambda file: _write_all(file, data))
        except OSError as error:
            raise CheckpointError(f"cannot save {target}: {error.strerror or error}.") from error


def runs_dir_from(option: str | None) -> Path:
    """The runs' folder: the option, `CHARLSTM_RUNS_DIR`, or `checkpoints`."""
    return Path(option or os.environ.get("CHARLSTM_RUNS_DIR") or DEFAULT_RUNS_DIR)


def list_runs(runs_dir: Path) -> list[Run]:
    """All runs in a folder, newest first (by their last save)."""
    found: list[tuple[float, Run]] = []
    try:
        folders = [Path(entry.path) for entry in os.scandir(runs_dir) if entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {runs_dir}: {error.strerror or error}.") from error
    for folder in folders:
        times = [
            p.stat().st_mtime for p in (folder / "last.npz", folder / "best.npz") if p.is_file()
        ]
        if times:
            found.append((max(times), Run(folder)))
    return [run for _, run in sorted(found, key=lambda pair: (-pair[0], pair[1].name))]


def find_run(target: str | None, runs_dir: Path) -> Run:
    """The run that a path or a name stands for; None stands for the newest.

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
    for folder in (Path(target), runs_dir / target):
        if (folder / "last.npz").is_file() or (folder / "best.npz").is_file():
            return Run(folder)
    raise RunError(
        f"{target!r} is no run: there is no folder of that name with a checkpoint.\n"
        "`charlstm runs` lists what there is."
    )


def find_checkpoint(target: str | None, runs_dir: Path) -> Path:
    """The checkpoint to write or score with: a file, or a run's best (otherwise its last).

    Raises:
        RunError: there is none.
    """
    if target is not None and not Path(target).is_dir() and Path(target).exists():
        return Path(target)
    run = find_run(target, runs_dir)
    return run.best if run.best.is_file() else run.last
