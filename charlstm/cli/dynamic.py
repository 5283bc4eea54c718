"""`--dynamic`: weights that follow the text, for the commands that read one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli.options import CommandFunction, GroupedOption, config_options, given
from charlstm.config import DynamicConfig
from charlstm.config.fields import flag_of
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.training.dynamic import DynamicReader


def dynamic_options(text: str) -> Callable[[CommandFunction], CommandFunction]:
    """Give a command `--dynamic`, with that help, and its settings."""

    def decorate(function: CommandFunction) -> CommandFunction:
        function = config_options(DynamicConfig)(function)
        return click.option(
            "--dynamic", is_flag=True, help=text, cls=GroupedOption, group="Dynamic"
        )(function)

    return decorate


def dynamic_config(dynamic: bool, options: dict[str, Any]) -> DynamicConfig | None:
    """How weights follow the text, if they are to.

    Raises:
        ConfigError: a setting is out of range, or there is one without --dynamic.
    """
    settings = given(options, [DynamicConfig])
    if settings and not dynamic:
        flags = [flag_of(spec) for spec in fields(DynamicConfig) if spec.name in settings]
        raise ConfigError(f"{flags[0]} is for --dynamic: add that, or leave it out.")
    return DynamicConfig(**settings) if dynamic else None


def dynamic_reader(model: LanguageModel, how: DynamicConfig) -> DynamicReader:
    """A reader of the model's weights that learns as it reads.

    Raises:
        DirectionError: the model reads both ways.
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
    """The model as it is once it has learned from a prompt.

    Args:
        model: the model.
        prompt: what it learns from.
        unknown: what to do with characters that the model does not know.
        how: the rate, the decay and the window.
        progress: told how many characters have been read.

    Raises:
        ConfigError: the prompt has not the two characters that there is something to learn from.
        DirectionError: the model reads both ways.
        UnknownCharacterError: the prompt has a character the model does not know.
    """
    from charlstm.inference.language_model import LanguageModel

    reader = dynamic_reader(model, how)
    ids = model.texts.encode(prompt, unknown)
    if len(ids) < 2:
        raise ConfigError(
            f"--dynamic learns from the prompt, which has {len(ids)} characters that the model "
            "knows; allowed: 2 or more.\nGive a longer one: --prompt TEXT or --prompt-file FILE."
        )
    reader.score(ids, progress)
    return LanguageModel(reader.weights(), model.config, model.tokenizer, model.path)
