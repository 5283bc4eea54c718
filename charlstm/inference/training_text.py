"""Reading the text that a run was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from charlstm.config import Config, TextConfig
from charlstm.errors import (
    ChangedTextError,
    CheckpointError,
    CorpusError,
    RunError,
    SourceError,
)
from charlstm.format.checkpoint import Checkpoint
from charlstm.format.metadata import read_meta
from charlstm.format.versions import unusable
from charlstm.runs.folder import Run
from charlstm.text.corpus import Corpus, ReadingProgress, load_corpus
from charlstm.text.document_splits import DocumentRecord, DocumentSplit, document_split
from charlstm.text.sources import Source, find_sources
from charlstm.text.splits import Split, tail_split
from charlstm.text.tokenizer import Ids


def recorded_split(
    path: Path, meta: Mapping[str, Any], config: TextConfig, size: int
) -> Split | DocumentRecord:
    """The recorded split of a run's text: held-out positions, or numbers of held-out documents.

    Args:
        path: the checkpoint's file, for messages.
        meta: the checkpoint's metadata. Older versions do not record the split; it is the tail.
        config: how the run reads its text.
        size: length of the text, in characters.

    Raises:
        CheckpointError: the record is not valid, or does not fit the text.
    """
    corpus = meta.get("corpus")
    record = corpus.get("split") if isinstance(corpus, Mapping) else None
    try:
        if config.has_documents:
            return DocumentRecord.from_json(record)
        if record is None and config.split == "tail":
            return tail_split(size, config.val_fraction, config.test_fraction)
        split = Split.from_json(record, size)
        if split.method != config.split:
            raise CorpusError("the recorded split does not match the recorded options.")
    except CorpusError as error:
        raise unusable(path, meta, error, damaged=True) from error
    return split


def _split_of(
    path: Path, meta: Mapping[str, Any], config: TextConfig, ids: Ids
) -> Split | DocumentSplit:
    """The split of a run's text, from its record.

    Raises:
        CheckpointError: the record is not valid, or does not fit the text.
    """
    record = recorded_split(path, meta, config, len(ids))
    if isinstance(record, Split):
        return record
    try:
        return document_split(ids, config.val_fraction, config.test_fraction, record)
    except CorpusError as error:
        raise unusable(path, meta, error, damaged=True) from error


@dataclass(frozen=True)
class TrainingText:
    """The text that a run was trained on.

    Attributes:
        corpus: ids and parts, identical to those in training.
        config: the run's configuration.
        meta: the checkpoint's metadata of the text.
        paths: its files and folders; empty if it is saved in the run's folder.
    """

    corpus: Corpus
    config: Config
    meta: dict[str, object]
    paths: list[str]


def read_training_text(
    run: Run,
    path: Path,
    checkpoint: Checkpoint,
    *,
    arguments: Sequence[str] = (),
    progress: ReadingProgress | None = None,
    advice: str = "Give a text to evaluate on.",
) -> TrainingText:
    """Find and read the text that a run was trained on.

    Args:
        run: the run.
        path: the checkpoint's file, for messages.
        checkpoint: records the text and its files.
        arguments: the current files and folders; empty: those recorded.
        progress: called with the progress of reading.
        advice: advice for a text that has changed.

    Raises:
        CheckpointError: the checkpoint does not record a text.
        SourceError: the text is missing or unreadable.
        RunError: the text has changed.
    """
    config, tokenizer = read_meta(path, checkpoint)
    meta, paths = checkpoint.meta.get("corpus"), checkpoint.meta.get("paths")
    if not isinstance(meta, dict) or not isinstance(paths, list):
        raise CheckpointError(
            f"{path} does not record the path of its text; only last.npz does.\n"
            "Give the path of the text."
        )
    text = config.text
    files = list(arguments) or [str(recorded) for recorded in paths]
    try:
        if files:
            sources = find_sources(
                files,
                text.glob,
                text.exclude,
                runs_dir=run.folder.parent,
                hidden="folder_rules" not in meta,  # a run from before these rules
            )
        else:
            files = [str(run.kept_text)]
            sources = [Source(files[0], run.kept_text, exact=True)]
        corpus = load_corpus(
            sources,
            text,
            tokenizer=tokenizer,
            sha256=str(meta.get("sha256")),
            split=lambda ids: _split_of(path, checkpoint.meta, text, ids),
            also=str(meta.get("also", "")),
            progress=progress,
        )
    except SourceError as error:
        if arguments:
            raise
        raise SourceError(
            f"the run's text cannot be read: {str(error).splitlines()[0]}\n"
            "If it has moved, give its new path after the options."
        ) from error
    except ChangedTextError as error:
        shown = ", ".join(files)[:200]
        before, now = meta.get("num_sources"), len(sources)
        counts = "" if before == now else f" ({before} files then, {now} now)"
        raise RunError(
            f"the text in {shown} is not the one that {run.name!r} was trained on: it has "
            f"changed{counts}.\n{advice}"
        ) from error
    # New paths replace the recorded ones.
    new_paths = [str(Path(file).resolve()) for file in files] if paths else []
    return TrainingText(corpus, config, meta, new_paths)
