"""charlstm fill: fill in blanks."""

from __future__ import annotations

from typing import Any

import click

from charlstm.cli import output
from charlstm.cli.inputs import note_unknown, read_prompt
from charlstm.cli.options import (
    UNKNOWN_HELP,
    GroupedCommand,
    common_options,
    config_options,
    given,
)
from charlstm.config import FillConfig
from charlstm.errors import ConfigError


@click.command("fill", cls=GroupedCommand)
@click.argument("arguments", nargs=-1, metavar="[RUN] TEXT")
@config_options(FillConfig)
@click.option(
    "-n",
    "--samples",
    "count",
    type=int,
    default=1,
    metavar="N",
    help="Samples, made side by side  [default: 1; 1 <= x <= 4,096]",
)
@click.option("--unknown", default="error", metavar="error|skip|replace", help=UNKNOWN_HELP)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a sample.")
@common_options
def command(
    arguments: tuple[str, ...],
    count: int,
    unknown: str,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Fill in a text's blanks, each given what stands before it and after it.

    RUN is a run's folder or name, or a checkpoint file, of a model trained with --direction
    both; without it, the newest run. TEXT has a blank (_) for each character to be found: "To
    be, or ___ to be"; - reads it from standard input, and after -- it may begin with a dash.
    """
    if not 1 <= len(arguments) <= 2:
        raise ConfigError(
            "give a run and a text with blanks: charlstm fill RUN 'To be, or ___ to be'"
        )
    config = FillConfig(**given(options, [FillConfig]))

    from dataclasses import replace

    from charlstm.inference.language_model import LanguageModel, seed_of

    run = arguments[0] if len(arguments) == 2 else None
    text = output.argument(arguments[-1], "the text")
    output.argument(config.blank, "--blank")
    if text == "-":
        text = read_prompt(text, "the text")
    # A given seed or a new one: either way, --json can tell which.
    config = replace(config, seed=seed_of(config))
    model = LanguageModel.load(run, runs_dir=runs_dir, warn=output.say)
    note_unknown(model.tokenizer, text.replace(config.blank, ""), unknown)
    for index, filled in enumerate(model.fill(text, count, unknown=unknown, config=config)):
        if as_json:
            output.json_line({"index": index, "text": filled, "seed": config.seed})
        else:
            output.data_line(filled)
