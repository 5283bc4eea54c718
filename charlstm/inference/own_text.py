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
    """Which characters a run holds out; of documents, how many.

    Args:
        path: the checkpoint's file, for messages.
        meta: the checkpoint's metadata; older ones do not record the split, which is the tail.
        config: the run's.
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
            raise CorpusError("the record of the held-out characters does not fit the options.")
    except CorpusError as error:
        raise unusable(path, meta, error, damaged=True) from error
    return split


def _split_of(
    path: Path, meta: Mapping[str, Any], config: TextConfig, ids: Ids
) -> Split | DocumentSplit:
    """A run's split.

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
class OwnText:
    """A run's text.

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


def read_own_text(
    run: Run,
    path: Path,
    checkpoint: Checkpoint,
    *,
    arguments: Sequence[str] = (),
    progress: ReadingProgress | None = None,
    way_out: str = "Name a text to score.",
) -> OwnText:
    """Find and read a run's text.

    Args:
        run: the run.
        path: the checkpoint's file, for messages.
        checkpoint: records the text and its files.
        arguments: the current files and folders; empty: those recorded.
        progress: called with the progress of reading.
        way_out: advice for a text that has changed.

    Raises:
        CheckpointError: the checkpoint does not record a text.
        SourceError: the text is missing or unreadable.
        RunError: the text has changed.
    """
    config, tokenizer = read_meta(path, checkpoint)
    meta, paths = checkpoint.meta.get("corpus"), checkpoint.meta.get("paths")
    if not isinstance(meta, dict) or not isinstance(paths, list):
        raise CheckpointError(
            f"{path} does not record where its text is; only checkpoints that can be resumed do.\n"
            "Name the text."
        )
    text = config.text
    places = list(arguments) or [str(place) for place in paths]
    try:
        if places:
            sources = find_sources(
                places,
                text.glob,
                text.exclude,
                runs_dir=run.folder.parent,
                hidden="folder_rules" not in meta,  # a run from before these rules
            )
        else:
            places = [str(run.kept_text)]
            sources = [Source(places[0], run.kept_text, exact=True)]
        corpus = load_corpus(
            sources,
            text,
            tokenizer=tokenizer,
            sha256=str(meta.get("sha256")),
            split=lambda ids: _split_of(path, checkpoint.meta, text, ids),
            progress=progress,
        )
    except SourceError as error:
        if arguments:
            raise
        raise SourceError(
            f"the run's text cannot be read again: {str(error).splitlines()[0]}\n"
            "If it has moved, give its new path after the options."
        ) from error
    except ChangedTextError as error:
        shown = ", ".join(places)[:200]
        before, now = meta.get("num_sources"), len(sources)
        files = "" if before == now else f" ({before} files then, {now} now)"
        raise RunError(
            f"the text in {shown} is not the one that {run.name!r} was trained on: it has "
            f"changed{files}.\n"
            f"{way_out}"
        ) from error
    # New paths replace the recorded ones.
    new_paths = [str(Path(place).resolve()) for place in places] if paths else []
    return OwnText(corpus, config, meta, new_paths)
