"""The texts of a new run: their sources, their metadata, and copies of what is read only once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from charlstm.config import TextConfig
from charlstm.errors import RunError
from charlstm.format.files import replace_file
from charlstm.runs.folder import Run
from charlstm.text.boundaries import read_stream
from charlstm.text.corpus import Corpus
from charlstm.text.entropy import unigram_nats
from charlstm.text.folders import FOLDER_RULES, FolderFiles, summary, without_effect
from charlstm.text.folders import details as folder_details
from charlstm.text.separate import GivenText
from charlstm.text.sources import Source, find_sources
from charlstm.text.string_source import source_from_text
from charlstm.training.events import Notice
from charlstm.training.replay import OldText


@dataclass(frozen=True)
class FoundText:
    """A text and its sources.

    Attributes:
        given: the text as it was given.
        sources: its sources.
        skipped: number of skipped files of folders, by reason.
    """

    given: GivenText
    sources: list[Source]
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_kept(self) -> bool:
        """Whether it cannot be read again and is saved in the run's folder."""
        return any(source.path is None for source in self.sources)

    @property
    def paths(self) -> list[str]:
        """Its files and folders, to record; empty if it is saved."""
        return [] if self.is_kept else [str(Path(path).resolve()) for path in self.given.paths]

    @property
    def facts(self) -> dict[str, Any]:
        """Metadata of its sources."""
        return {
            "sources": [source.name for source in self.sources][:100],
            "num_sources": len(self.sources),
            "kept": self.is_kept,
        }

    def keep(self, path: Path, config: TextConfig) -> None:
        """Save a text that cannot be read again.

        Raises:
            RunError: it cannot be written.
        """
        if not self.is_kept:
            return

        def write(file: IO[bytes]) -> None:
            for chunk in read_stream(self.sources, config):
                file.write(chunk.encode("utf-8", "surrogatepass"))

        try:
            replace_file(path, write)
        except OSError as error:
            raise RunError(f"cannot save the text to {path}: {error.strerror or error}.") from error


def find_texts(
    texts: Mapping[str, GivenText],
    config: TextConfig,
    runs_dir: Path,
    notice: Notice,
    details: Notice | None = None,
) -> dict[str, FoundText]:
    """The texts of a run and their sources, by part.

    Args:
        texts: the texts.
        config: which files of folders to read, and how.
        runs_dir: the folder of runs, which is skipped.
        notice: receives a summary of each folder.
        details: receives a line for each file of a folder that is read or skipped.

    Raises:
        SourceError: a path does not exist, or a folder has no matching file.
    """
    folders: list[FolderFiles] = []
    found = {
        part: _find_text(given, config, runs_dir, notice, details, folders)
        for part, given in texts.items()
    }
    if any(given.text is None for given in texts.values()):
        for line in without_effect(folders, config):
            notice(line)
    return found


def _find_text(
    given: GivenText,
    config: TextConfig,
    runs_dir: Path,
    notice: Notice,
    details: Notice | None,
    all_folders: list[FolderFiles],
) -> FoundText:
    """A text and its sources; its folders are added to `all_folders`."""
    if given.text is not None:
        return FoundText(given, [source_from_text(given.text, config, given.name)])
    folders: list[FolderFiles] = []
    sources = find_sources(
        given.paths, config.glob, config.exclude, runs_dir=runs_dir, on_folder=folders.append
    )
    for found in folders:
        unlisted = " (--verbose lists them)" if found.skipped and details is None else ""
        notice(summary(found) + unlisted)
        if details is not None:
            for line in folder_details(found):
                details(line)
    all_folders += folders
    skipped = Counter(reason for found in folders for _, reason in found.skipped)
    return FoundText(given, sources, dict(skipped))


def corpus_meta(
    corpus: Corpus,
    found: FoundText,
    separate: Mapping[str, FoundText],
    also: str,
    old: OldText | None,
) -> dict[str, Any]:
    """Metadata of a new run's text, for its checkpoints.

    Args:
        corpus: the text.
        found: its sources.
        separate: those of the separate texts, by part.
        also: further characters of the vocabulary.
        old: the text that is replayed; None: there is none.
    """
    meta = found.facts | {
        "skipped": dict(found.skipped),
        "folder_rules": FOLDER_RULES,
        "num_chars": len(corpus),
        "sha256": corpus.sha256,
        "split": corpus.split.to_json(),
        "unigram_nats": unigram_nats(corpus.train, len(corpus.tokenizer)),
    }
    if also:
        meta["also"] = also
    if separate:
        meta["separate"] = {
            part: own.facts
            | {
                "num_chars": corpus.separate[part].num_chars,
                "sha256": corpus.separate[part].sha256,
                "unknown": sum(corpus.separate[part].unknown.values()),
            }
            for part, own in separate.items()
        }
        if old is not None:
            meta["separate"]["replay"] |= old.meta
    return meta


def keep_texts(
    run: Run, config: TextConfig, found: FoundText, separate: Mapping[str, FoundText]
) -> None:
    """Save the texts that cannot be read again in the run's folder.

    Raises:
        RunError: one cannot be written.
    """
    for part, own in {"": found, **separate}.items():
        own.keep(run.kept_text_of(part), config)
