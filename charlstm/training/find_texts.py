"""Finding the texts of a new run, with notices about folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from charlstm.config import TextConfig
from charlstm.text.folders import FolderFiles, summary, without_effect
from charlstm.text.folders import details as folder_details
from charlstm.text.sources import Source, find_sources
from charlstm.training.events import Notice


def find_texts(
    arguments: Sequence[str],
    text: TextConfig,
    runs_dir: Path,
    notice: Notice,
    details: Notice | None,
) -> tuple[list[Source], dict[str, int]]:
    """The sources, and the number of skipped files of folders by reason.

    Args:
        arguments: files, folders, or `-`.
        text: how folders are read.
        runs_dir: the folder of runs, which is not read.
        notice: receives a summary of each folder.
        details: receives a line for each of its files; None: no lines.

    Raises:
        SourceError: a text cannot be found.
    """
    folders: list[FolderFiles] = []
    sources = find_sources(
        arguments, text.glob, text.exclude, runs_dir=runs_dir, on_folder=folders.append
    )
    for found in folders:
        unlisted = " (--verbose lists them)" if found.skipped and details is None else ""
        notice(summary(found) + unlisted)
        if details is not None:
            for line in folder_details(found):
                details(line)
    for line in without_effect(folders, text):
        notice(line)
    return sources, dict(Counter(reason for found in folders for _, reason in found.skipped))
