"""charlstm fill: fill in blanks."""

from __future__ import annotations

from typing import Any

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run_first
from charlstm.cli.inputs import (
    check_backslashes,
    check_no_file_options,
    input_options,
    load_model,
    read_escapes,
    read_file,
    read_given,
)
from charlstm.cli.options import (
    GroupedCommand,
    common_options,
    config_options,
    given,
)
from charlstm.cli.progress import counting
from charlstm.config import FillConfig, InputConfig, OutputConfig
from charlstm.errors import ConfigError


@click.command("fill", cls=GroupedCommand)
@click.argument("arguments", nargs=-1, metavar="[RUN] TEXT", shell_complete=complete_run_first)
@config_options(FillConfig)
@config_options(OutputConfig, names=("samples",))
@config_options(InputConfig, names=("unknown",))
@input_options("Text")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per sample.")
@common_options
def command(
    arguments: tuple[str, ...],
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Fill in the blanks of a text, given the text before and after each.

    RUN is a run's folder or name, or a checkpoint file, of a model trained with --direction
    both. Default: the newest run. TEXT has one blank (_) for each character to fill in, such as
    "To be, or ___ to be". TEXT may begin with a dash after --; a single - reads standard input,
    where the final newline of a single line is removed.
    """
    if not 1 <= len(arguments) <= 2:
        raise ConfigError(
            "give a run and a text with blanks: charlstm fill RUN 'To be, or ___ to be'"
        )
    inputs = InputConfig(**given(options, [InputConfig]))
    if options["blank"] is not None:
        options["blank"] = read_escapes(options["blank"], "--blank", inputs.escapes)
    config = FillConfig(**given(options, [FillConfig]))
    count = OutputConfig(**given(options, [OutputConfig])).samples or 1
    text = None
    if arguments[-1] != "-":
        check_no_file_options(options, "a text from standard input (-)")
        text = read_escapes(arguments[-1], "the text", inputs.escapes, hint=False)

    from dataclasses import replace

    from charlstm.inference.blanks import check_has_blank
    from charlstm.inference.samples import seed_of

    if text is not None:
        check_has_blank(text, config.blank)  # a run without a text is not taken for one
    run = arguments[0] if len(arguments) == 2 else None
    # --json reports the seed, whether given or new.
    config = replace(config, seed=seed_of(config))
    model = load_model(run, runs_dir)
    if text is None:
        text = read_file("-", model.config.text, options)
    elif inputs.escapes is None:
        check_backslashes(model.texts, text, "the text", inputs.unknown)
    read_given(model.texts, text.split(config.blank), inputs.unknown, before=config.blank)
    with counting(len(text) * count * (config.sweeps + 1), "filling in") as progress:
        texts = model.fill(text, count, unknown=inputs.unknown, config=config, progress=progress)
    for index, filled in enumerate(texts):
        if as_json:
            output.json_line({"index": index, "text": filled, "seed": config.seed})
        else:
            output.data_line(filled)
