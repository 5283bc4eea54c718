"""Models with random weights, for tests of what surrounds the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from charlstm.config import Config, ModelConfig, TextConfig
from charlstm.format.checkpoint import save_checkpoint
from charlstm.format.weights import weight_shapes
from charlstm.inference.language_model import LanguageModel
from charlstm.text.tokenizer import CharTokenizer


def make_model(
    text: str, direction: str = "forward", cell: str = "lstm", **options: Any
) -> LanguageModel:
    """A model that knows the characters of a text.

    Args:
        text: its characters are the vocabulary.
        direction: forward or both.
        cell: the recurrent cell.
        **options: fields of `TextConfig`.
    """
    shape = ModelConfig(hidden_size=6, direction=direction, cell=cell)
    config = Config(text=TextConfig(**options), model=shape)
    tokenizer = CharTokenizer.from_text(
        text, lowercase=config.text.lowercase, min_count=config.text.min_count
    )
    rng = np.random.default_rng(1)
    shapes = weight_shapes(config.model, len(tokenizer))
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return LanguageModel(weights, config, tokenizer)


def save_model(path: Path, model: LanguageModel) -> None:
    """Write a model as a checkpoint file."""
    meta = {"config": model.config.to_json(), "tokenizer": model.tokenizer.to_json()}
    save_checkpoint(path, meta, {f"model/{name}": array for name, array in model.weights.items()})


def score_text(run: str, text: str) -> float:
    """The nats of a text under a run's model: work for another process, which imports no torch."""
    return LanguageModel.load(run).score(text).nats
