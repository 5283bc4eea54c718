"""Configuration and tokenizer in a checkpoint's metadata."""

from __future__ import annotations

from pathlib import Path

from charlstm.config import Config
from charlstm.errors import CharlstmError, CheckpointError
from charlstm.format.checkpoint import Checkpoint
from charlstm.format.versions import unusable
from charlstm.text.tokenizer import CharTokenizer


def read_meta(path: Path, checkpoint: Checkpoint) -> tuple[Config, CharTokenizer]:
    """The configuration and the tokenizer of a checkpoint.

    Raises:
        CheckpointError: they are not valid.
    """
    try:
        config = Config.from_json(checkpoint.meta.get("config"))
        tokenizer = CharTokenizer.from_json(checkpoint.meta.get("tokenizer"))
        if tokenizer.boundary != config.text.has_documents:
            raise CheckpointError("the tokenizer does not fit --documents.")
        return config, tokenizer
    except CharlstmError as error:
        raise unusable(path, checkpoint.meta, error, damaged=True) from error
