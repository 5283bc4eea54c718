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
from charlstm.text.separate import NAMES, Sizes, flag_of_text
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
    path: Path, meta: Mapping[str, Any], config: TextConfig, ids: Ids, sizes: Sizes
) -> Split | DocumentSplit:
    """The split of a run's text, from its record.

    Raises:
        CheckpointError: the record is not valid, or does not fit the text.
    """
    record = recorded_split(path, meta, config, len(ids))
    if isinstance(record, Split):
        return record
    try:
        return document_split(ids, config.val_fraction, config.test_fraction, record, sizes=sizes)
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
        separate_paths: those of each separate text, by part.
    """

    corpus: Corpus
    config: Config
    meta: dict[str, object]
    paths: list[str]
    separate_paths: dict[str, list[str]]


def read_training_text(
    run: Run,
    path: Path,
    checkpoint: Checkpoint,
    *,
    arguments: Sequence[str] = (),
    separate: Mapping[str, Sequence[str]] | None = None,
    with_old: bool = False,
    progress: ReadingProgress | None = None,
    advice: str = "Give a text to evaluate on.",
    missing: str = "",
) -> TrainingText:
    """Find and read the text that a run was trained on.

    Args:
        run: the run.
        path: the checkpoint's file, for messages.
        checkpoint: records the text and its files.
        arguments: the current files and folders; empty: those recorded.
        separate: those of separate texts, by part; None, or without a part: those recorded.
        with_old: whether to read the old text, too, which training replays.
        progress: called with the progress of reading.
        advice: advice for a text that has changed.
        missing: advice for a text that cannot be read; empty: after which options to give its path.

    Raises:
        CheckpointError: the checkpoint does not record a text.
        SourceError: the text is missing or unreadable.
        RunError: the text has changed, or `separate` has a part without a text of its own.
    """
    config, tokenizer = read_meta(path, checkpoint)
    meta, paths = checkpoint.meta.get("corpus"), checkpoint.meta.get("paths")
    if not isinstance(meta, dict) or not isinstance(paths, list):
        raise CheckpointError(
            f"{path} does not record the path of its text; only last.npz does.\n"
            "Give the path of the text."
        )
    own = meta.get("separate", {})
    own_paths = checkpoint.meta.get("separate_paths", {})
    if not _are_texts(own, dict) or not _are_texts(own_paths, list) or own_paths.keys() - own:
        raise CheckpointError(f"{path}: the record of the separate texts is not readable.")
    own = {part: facts for part, facts in own.items() if with_old or part != "replay"}
    given = {"": list(arguments), **(separate or {})}
    for part in given.keys() - own - {""}:
        raise RunError(
            f"the run has no {NAMES[part]} text of its own.\nOmit {flag_of_text(part)}, or start a "
            "new run."
        )
    texts = {
        part: _RunText(
            list(given.get(part) or map(str, found)), run.kept_text_of(part), found == []
        )
        for part, found in {"": paths, **{part: own_paths.get(part, []) for part in own}}.items()
    }
    try:
        sources = {
            # Without these rules it is a run from before them.
            part: one.sources(config.text, run, by_old_rules="folder_rules" not in meta)
            for part, one in texts.items()
        }
        corpus = load_corpus(
            sources[""],
            config.text,
            separate={part: sources[part] for part in own},
            tokenizer=tokenizer,
            sha256=str(meta.get("sha256")),
            separate_sha256={part: str(facts.get("sha256")) for part, facts in own.items()},
            split=lambda ids, sizes: _split_of(path, checkpoint.meta, config.text, ids, sizes),
            also=str(meta.get("also", "")),
            progress=progress,
        )
    except SourceError as error:
        if any(given.values()):
            raise
        where = " or after ".join(["after the options", *map(flag_of_text, own)])
        raise SourceError(
            f"the run's text cannot be read: {str(error).splitlines()[0]}\n"
            + (missing or f"If it has moved, give its new path {where}.")
        ) from error
    except ChangedTextError as error:
        shown = ", ".join(texts[error.part].shown)[:200]
        facts = own[error.part] if error.part else meta
        before, now = facts.get("num_sources"), len(sources[error.part])
        counts = "" if before == now else f" ({before} files then, {now} now)"
        use = f"started with ({flag_of_text(error.part)})" if error.part else "trained on"
        raise RunError(
            f"the text in {shown} is not the one that {run.name!r} was {use}: it has "
            f"changed{counts}.\n{advice}"
        ) from error
    new_paths = {part: one.new_paths() for part, one in texts.items()}
    return TrainingText(corpus, config, meta, new_paths.pop(""), new_paths)


@dataclass(frozen=True)
class _RunText:
    """A text of a run.

    Attributes:
        files: the current files and folders; empty if it is saved in the run's folder.
        kept: where it is saved, if it is.
        is_kept: whether it is saved.
    """

    files: list[str]
    kept: Path
    is_kept: bool

    def sources(self, config: TextConfig, run: Run, *, by_old_rules: bool) -> list[Source]:
        """Its sources.

        Raises:
            SourceError: a file is missing.
        """
        if not self.files:
            return [Source(str(self.kept), self.kept, exact=True)]
        return find_sources(
            self.files, config.glob, config.exclude, runs_dir=run.folder.parent,
            hidden=by_old_rules,
        )  # fmt: skip

    @property
    def shown(self) -> list[str]:
        """Its files, for messages."""
        return self.files or [str(self.kept)]

    def new_paths(self) -> list[str]:
        """The paths to record: the current ones, unless the text is saved."""
        return [] if self.is_kept else [str(Path(file).resolve()) for file in self.files]


def _are_texts(data: object, kind: type) -> bool:
    """Whether it is an object with a value of a kind for some of the parts."""
    return (
        isinstance(data, dict)
        and not data.keys() - NAMES.keys()
        and all(isinstance(value, kind) for value in data.values())
    )
