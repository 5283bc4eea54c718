"""The text that a run was trained on, read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from charlstm.config import Config
from charlstm.errors import ChangedTextError, CheckpointError, RunError, SourceError
from charlstm.format.checkpoint import Checkpoint
from charlstm.format.metadata import read_meta
from charlstm.runs.folder import Run
from charlstm.text.corpus import Corpus, ReadingProgress, load_corpus
from charlstm.text.sources import Source, find_sources


@dataclass(frozen=True)
class OwnText:
    """A run's text.

    Attributes:
        corpus: its ids and parts, the very ones that the run was trained on.
        config: the run's configuration.
        meta: what the checkpoint says of the text.
        paths: where it lies; empty where the run's folder keeps it.
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
        run: whose.
        path: the checkpoint's file, for messages.
        checkpoint: says what the text was, and where it lay.
        arguments: where it lies now; empty: where it lay.
        progress: told how far the reading is.
        way_out: what the user can do where the text has changed.

    Raises:
        CheckpointError: the checkpoint says nothing of a text.
        SourceError: the text is not where it lay, or unreadable.
        RunError: the text is another one now.
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
                hidden="folder_rules" not in meta,  # a run of before there were such rules
            )
        else:
            places = [str(run.kept_text)]
            sources = [Source(places[0], run.kept_text, exact=True)]
        corpus = load_corpus(
            sources,
            text,
            tokenizer=tokenizer,
            sha256=str(meta.get("sha256")),
            progress=progress,
        )
    except SourceError as error:
        if arguments:
            raise
        raise SourceError(
            f"the run's text cannot be read again: {str(error).splitlines()[0]}\n"
            "If it has moved, name its new place after the options."
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
    # A text that was named anew lies there from now on.
    new_paths = [str(Path(place).resolve()) for place in places] if paths else []
    return OwnText(corpus, config, meta, new_paths)
