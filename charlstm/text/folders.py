"""The files of a folder to read, and the reasons for skipping others.

Hidden files and folders, and folders of runs, are skipped. Links to folders are followed. A folder
or file with several names is read once, under its own name rather than a link's. Patterns ignore
case. Files are sorted by path, so that the same folder always gives the same text.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from charlstm.config import TextConfig
from charlstm.errors import SourceError
from charlstm.text.patterns import Pattern

DEFAULT_GLOB: tuple[str, ...] = TextConfig().glob

_RUN_FILES = re.compile(r"(best|last|step-\d{8,})\.npz")

FOLDER_RULES = 1
"""Version of these rules in checkpoints; checkpoints without it used a plain `Path.glob`."""

HIDDEN = "hidden"
NO_MATCH = "not matching --glob"
EXCLUDED = "excluded"
RUN = "belonging to runs"
TWICE = "read under another name"
BROKEN = "broken links"
SPECIAL = "neither files nor folders"
UNREADABLE = "unreadable"


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder.

    Attributes:
        folder: the folder, as given by the user.
        files: sorted paths to read; each begins with `folder`.
        skipped: paths of skipped files and folders, with the reason.
        unmatched: `--exclude` patterns without a match in the folder.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    unmatched: set[str] = field(default_factory=set)

    @property
    def reasons(self) -> dict[str, int]:
        """Number of skipped paths for each reason, most frequent first."""
        return dict(Counter(reason for _, reason in self.skipped).most_common())


def find_in_folder(
    folder: Path,
    glob: Iterable[str] = DEFAULT_GLOB,
    exclude: Iterable[str] = (),
    runs_dir: Path | None = None,
) -> FolderFiles:
    """The files of a folder that match any of some patterns.

    Args:
        folder: the folder.
        glob: patterns of files to read.
        exclude: patterns of files and folders to skip: a name, at any depth, or a path within
            the folder.
        runs_dir: the folder of runs, which is skipped.

    Raises:
        ConfigError: a pattern is invalid.
        SourceError: the folder cannot be read.
    """
    walk = _Walk(
        FolderFiles(folder),
        [Pattern(pattern, "--glob") for pattern in glob],
        [Pattern(pattern, "--exclude") for pattern in exclude],
        runs_dir,
    )
    return walk.run()


_Parts = tuple[str, ...]
_Identity = tuple[int, int]


class _Walk:
    """A traversal of a folder: its own folders first, then linked folders."""

    def __init__(
        self,
        found: FolderFiles,
        glob: list[Pattern],
        exclude: list[Pattern],
        runs_dir: Path | None,
    ) -> None:
        self._found = found
        self._glob = glob
        self._exclude = exclude
        self._runs = None if runs_dir is None else _identity(runs_dir)
        self._entered: set[_Identity] = set()
        self._own: list[_Parts] = [()]  # folders to enter
        self._links: list[_Parts] = []  # links to folders
        self._files: list[tuple[bool, _Parts, _Identity]] = []  # True for a link, which sorts last

    def run(self) -> FolderFiles:
        """Traverse the folder and return its files.

        Raises:
            SourceError: the folder itself cannot be read.
        """
        self._found.unmatched.update(pattern.text for pattern in self._exclude)
        while self._own or self._links:
            if not self._own:
                self._links.sort(reverse=True)
            parts = self._own.pop() if self._own else self._links.pop()
            try:
                self._enter(parts)
            except OSError as error:
                if not parts:
                    raise SourceError(
                        f"cannot read {self._found.folder}: {error.strerror or error}."
                    ) from error
                self._skip(parts, UNREADABLE)
        seen: set[_Identity] = set()
        for _, parts, identity in sorted(self._files):
            if identity in seen:
                self._skip(parts, TWICE)
            else:
                seen.add(identity)
                self._found.files.append(self._path(parts))
        self._found.files.sort()
        self._found.skipped.sort()
        return self._found

    def _enter(self, parts: _Parts) -> None:
        folder = self._path(parts)
        identity = _id(os.stat(folder))
        if identity in self._entered:
            self._skip(parts, TWICE)
            return
        self._entered.add(identity)
        names = sorted(os.listdir(folder))
        if parts and (identity == self._runs or any(map(_RUN_FILES.fullmatch, names))):
            self._skip(parts, RUN)
            return
        for name in names:
            self._sort((*parts, name))

    def _sort(self, parts: _Parts) -> None:
        """Add a file or folder to the files to read, the folders to enter, or the skipped."""
        path = self._path(parts)
        hidden = any(part.startswith(".") for part in parts)
        if matched := [p.text for p in self._exclude if p.matches_name(parts)]:
            self._found.unmatched.difference_update(matched)
            self._skip(parts, EXCLUDED)
            return
        if hidden and not any(pattern.names_hidden for pattern in self._glob):
            self._skip(parts, HIDDEN)
            return
        try:
            status = path.stat()
        except OSError:
            self._skip(parts, BROKEN if path.is_symlink() else UNREADABLE)
            return
        if stat.S_ISDIR(status.st_mode):
            (self._links if path.is_symlink() else self._own).append(parts)
        elif not any(pattern.matches(parts) for pattern in self._glob):
            self._skip(parts, HIDDEN if hidden else NO_MATCH)
        elif stat.S_ISREG(status.st_mode):
            self._files.append((path.is_symlink(), parts, _id(status)))
        else:
            self._skip(parts, SPECIAL)

    def _path(self, parts: _Parts) -> Path:
        return self._found.folder.joinpath(*parts)

    def _skip(self, parts: _Parts, reason: str) -> None:
        self._found.skipped.append((self._path(parts), reason))


def _identity(path: Path) -> _Identity | None:
    try:
        return _id(os.stat(path))
    except OSError:
        return None


def _id(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def summary(found: FolderFiles) -> str:
    """One line with the number of files read, and of those skipped by reason."""
    read = len(found.files)
    line = f"{found.folder}: {read:,} file{'' if read == 1 else 's'}"
    if found.skipped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in found.reasons.items())
        line += f"; {len(found.skipped):,} skipped: {reasons}"
    return line


def without_effect(folders: Sequence[FolderFiles], config: TextConfig) -> Iterator[str]:
    """A notice for each of `--glob` and `--exclude` that has no effect.

    Args:
        folders: all folders given.
        config: has the patterns.
    """
    if not folders:
        for flag, is_given in (
            ("--glob", config.glob != DEFAULT_GLOB),
            ("--exclude", bool(config.exclude)),
        ):
            if is_given:
                yield f"{flag} has no effect: it is for folders, and no folder is given."
        return
    names = ", ".join(str(found.folder) for found in folders[:3]) + (", ..." * (len(folders) > 3))
    for pattern in config.exclude:
        if all(pattern in found.unmatched for found in folders):
            yield (
                f"--exclude {shlex.quote(pattern)} has no effect: nothing in {names} matches. A "
                "pattern is a name, or a path within the folder."
            )


def details(found: FolderFiles) -> Iterator[str]:
    """A line for each file read, and for each path skipped, with the reason."""
    yield from (f"  {path}" for path in found.files)
    yield from (f"  {path}: skipped, {reason}" for path, reason in found.skipped)
