"""Dynamic evaluation (`--dynamic`) for the commands that read a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from charlstm.cli.options import given
from charlstm.config import DynamicConfig
from charlstm.config.fields import flag_of
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.training.dynamic import DynamicReader


def dynamic_config(dynamic: bool, options: dict[str, Any]) -> DynamicConfig | None:
    """The settings of dynamic evaluation; None without `--dynamic`.

    Raises:
        ConfigError: a setting is out of range, or given without --dynamic.
    """
    settings = given(options, [DynamicConfig])
    if settings and not dynamic:
        flags = [flag_of(spec) for spec in fields(DynamicConfig) if spec.name in settings]
        raise ConfigError(f"{flags[0]} requires --dynamic: add it, or omit {flags[0]}.")
    return DynamicConfig(**settings) if dynamic else None


def dynamic_reader(model: LanguageModel, how: DynamicConfig) -> DynamicReader:
    """A reader that fine-tunes a copy of the model's weights on the text as it reads.

    Raises:
        DirectionError: the model is bidirectional.
    """
    from charlstm.training.dynamic import DynamicReader

    return DynamicReader(model.weights, model.config.model, len(model.tokenizer), how)


def after_reading(
    model: LanguageModel,
    prompt: str,
    unknown: str,
    how: DynamicConfig,
    progress: Callable[[int], None],
) -> LanguageModel:
    """The model, fine-tuned on a prompt.

    Args:
        model: the model.
        prompt: the text to fine-tune on.
        unknown: handling of characters outside the vocabulary.
        how: learning rate, decay and window length.
        progress: called with the number of characters read.

    Raises:
        ConfigError: the prompt has fewer than two known characters.
        DirectionError: the model is bidirectional.
        UnknownCharacterError: the prompt has a character outside the vocabulary.
    """
    from charlstm.inference.language_model import LanguageModel

    reader = dynamic_reader(model, how)
    ids = model.texts.beginning(prompt, unknown)
    if len(ids) < 2:
        raise ConfigError(
            f"--dynamic needs a prompt of at least 2 known characters; this one has {len(ids)}.\n"
            "Give a longer one: --prompt TEXT or --prompt-file FILE."
        )
    reader.score(ids, progress)
    return LanguageModel(reader.weights(), model.config, model.tokenizer, model.path)
