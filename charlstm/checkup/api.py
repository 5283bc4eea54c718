"""The arguments of `charlstm.check`, checked, and the sources of `charlstm check`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from charlstm.checkup.report import Checkup, examine
from charlstm.config import CheckConfig, TextConfig
from charlstm.config.arguments import check_paths
from charlstm.config.check import WITHOUT_EFFECT
from charlstm.config.fields import check_type
from charlstm.config.keywords import options_from_keywords
from charlstm.errors import ConfigError
from charlstm.text.corpus import ReadingProgress
from charlstm.text.folders import FolderFiles, summary, without_effect
from charlstm.text.sources import Source, find_sources
from charlstm.text.string_source import source_from_text


def check_from_keywords(
    texts: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    text: str | None,
    runs_dir: Path,
    on_notice: Callable[[str], None],
    on_progress: ReadingProgress | None,
    options: Mapping[str, Any],
) -> Checkup:
    """A check-up from the arguments of `charlstm.check`.

    Raises:
        CharlstmError: as for `charlstm.check`.
    """
    paths = check_paths(texts)
    given = options_from_keywords(options, TextConfig, CheckConfig, without=WITHOUT_EFFECT)
    minutes = CheckConfig(minutes=given.pop("minutes", None)).minutes
    config = TextConfig(**given)
    if text is not None:
        if paths:
            raise ConfigError("give either the paths of texts or text=, not both.")
        text = check_type("text", text, str)
        # Line ends are examined, so that they must not be converted.
        sources = [source_from_text(text, replace(config, keep_newlines=True))]
    else:
        sources = text_sources(paths, config, runs_dir, on_notice)
    return examine(sources, config, minutes=minutes, progress=on_progress)


def text_sources(
    texts: Sequence[str], config: TextConfig, runs_dir: Path, notice: Callable[[str], None]
) -> list[Source]:
    """The sources of some paths.

    Args:
        texts: files, folders, or `-`.
        config: has the patterns for folders.
        runs_dir: the folder of runs, which is skipped.
        notice: receives a line for each folder, and for each pattern without effect.

    Raises:
        ConfigError: there is no path, or a pattern is not valid.
        SourceError: a path cannot be read.
    """
    if not texts:
        raise ConfigError("give a text to check, such as: charlstm check corpus.txt")
    folders: list[FolderFiles] = []
    sources = find_sources(
        texts, config.glob, config.exclude, runs_dir=runs_dir, on_folder=folders.append
    )
    for line in (*map(summary, folders), *without_effect(folders, config)):
        notice(line)
    return sources
