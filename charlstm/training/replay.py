"""The old text of a fine-tuned run: some streams read it, and evaluations show what is forgotten.

Whole streams read one text, so that their state is carried as in any training. The fraction is
therefore rounded to a multiple of 1 / `--batch-size`.

A new run splits the text of its base as the base did: the loss on its validation part before the
first step is then that of the base. Any other text is split as configured, and so is the text of a
base that held out no validation part of it (`--val`, `--val-fraction 0`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from charlstm.config import Config, TextConfig, WindowConfig
from charlstm.errors import CheckpointError, ConfigError, CorpusError
from charlstm.text.batches import Windows
from charlstm.text.corpus import Corpus, make_split
from charlstm.text.mixed_windows import MixedWindows, replay_streams
from charlstm.text.parts import Part
from charlstm.text.windows import fit, make_windows
from charlstm.training.base import Base

_VAL_FRACTION = 0.1
_OPTIONS = ("val_fraction", "test_fraction", "split")


@dataclass(frozen=True)
class OldText:
    """The text of `--replay-text`.

    Attributes:
        train: its training part.
        val: its validation part.
        meta: the options of its split and their result, for checkpoints.
    """

    train: Part
    val: Part
    meta: Mapping[str, Any]


def old_text_of(corpus: Corpus, config: TextConfig, base: Base | None) -> OldText | None:
    """The old text of a new run; None if it has none.

    Args:
        corpus: the texts of the run.
        config: how they were read.
        base: the model that the run starts from.
    """
    if "replay" not in corpus.separate:
        return None
    fraction = config.val_fraction or _VAL_FRACTION
    options: dict[str, Any] = {"val_fraction": fraction, "test_fraction": 0.0, "split": "auto"}
    if base is not None and corpus.separate["replay"].sha256 == base.text_sha256:
        theirs = {name: getattr(base.config.text, name) for name in _OPTIONS}
        options = theirs if theirs["val_fraction"] else options
    return _split(corpus, config, options)


def recorded_old_text(
    corpus: Corpus, config: TextConfig, meta: Mapping[str, Any]
) -> OldText | None:
    """The old text of a run that is resumed, or received; None if it has none.

    Args:
        corpus: the texts of the run.
        config: how they were read.
        meta: the metadata of the text in the run's checkpoint.

    Raises:
        CheckpointError: the record is not valid, or does not fit the text.
    """
    if "replay" not in corpus.separate:
        return None
    record = meta["separate"]["replay"]
    try:
        old = _split(corpus, config, {name: record[name] for name in _OPTIONS})
    except (KeyError, ConfigError) as error:
        raise CheckpointError("the record of the old text is not readable.") from error
    if old.meta["parts"] != record.get("parts"):
        raise CheckpointError("the record of the old text does not fit it.")
    return old


def _split(corpus: Corpus, config: TextConfig, options: Mapping[str, Any]) -> OldText:
    ids = corpus.old_ids
    split = make_split(ids, len(corpus.tokenizer), replace(config, **options))
    train, val = (
        part if isinstance(part, Part) else Part(ids, part) for part in (split.train, split.val)
    )
    return OldText(train, val, {**options, "parts": split.to_json()})


def check_replay(windows: WindowConfig, old: OldText | None) -> None:
    """Check that an old text is long enough for its streams.

    Args:
        windows: the sizes, fitted to the new text.
        old: the old text; None: there is none.

    Raises:
        ConfigError: there is a single stream.
        CorpusError: the old text is too short.
    """
    if old is None:
        return
    if old.val.predictions < 1:
        raise CorpusError(
            "the text of --replay-text is too short: its validation part has "
            f"{len(old.val)} character(s).\nGive a longer text, or omit it."
        )
    if not windows.replay:
        return
    if windows.batch_size < 2:
        raise ConfigError(
            f"--replay {windows.replay:g} needs at least 2 streams, one for each text.\n"
            "Give a larger --batch-size or a longer text, or omit --replay."
        )
    wanted = _old_windows(windows)
    if old.train.predictions < 1 or fit(old.train, wanted) != wanted:
        raise CorpusError(
            f"the text of --replay-text is too short: its training part has {len(old.train):,} "
            f"characters for {wanted.batch_size} windows of {wanted.maxlen}.\n"
            "Give a longer text, or a smaller --replay, --batch-size or --maxlen."
        )


def windows_of(corpus: Corpus, old: OldText | None, config: Config) -> Windows:
    """The batches of a run.

    Args:
        corpus: its text.
        old: the old text; None: there is none.
        config: the configuration; its sizes fit the texts.
    """
    windows, seed = config.windows, config.train.seed
    if old is None or not windows.replay:
        return make_windows(corpus.train, windows, seed)
    theirs = _old_windows(windows)
    ours = replace(windows, batch_size=windows.batch_size - theirs.batch_size)
    return MixedWindows(
        make_windows(corpus.train, ours, seed), make_windows(old.train, theirs, seed)
    )


def _old_windows(windows: WindowConfig) -> WindowConfig:
    """The sizes of the old text's part of a batch."""
    return replace(windows, batch_size=replay_streams(windows.batch_size, windows.replay))
