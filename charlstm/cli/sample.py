"""charlstm sample: write text."""

from __future__ import annotations

import sys
from typing import Any

import click

from charlstm.cli import output
from charlstm.cli.dynamic import after_reading, dynamic_config, dynamic_options
from charlstm.cli.inputs import note_unknown, read_prompt
from charlstm.cli.options import (
    UNKNOWN_HELP,
    GroupedCommand,
    GroupedOption,
    UserPath,
    common_options,
    config_options,
    given,
)
from charlstm.config import SampleConfig
from charlstm.errors import ConfigError

_PROMPT: dict[str, Any] = {"cls": GroupedOption, "group": "Prompt"}
_OUTPUT: dict[str, Any] = {"cls": GroupedOption, "group": "Output"}


@click.command(
    "sample",
    cls=GroupedCommand,
    epilog="The order is: temperature, top-k, top-p, min-p, then the draw. Exit codes: 0 done "
    "(also when the reader closes the pipe), 1 failure, 2 wrong usage, 130 Ctrl-C.",
)
@click.argument("run", required=False)
@config_options(SampleConfig)
@click.option("--prompt", default=None, metavar="TEXT", help="Text to continue.", **_PROMPT)
@click.option(
    "--prompt-file",
    type=UserPath(),
    default=None,
    metavar="FILE",
    help="The same from a file (- for stdin).",
    **_PROMPT,
)
@click.option(
    "--unknown", default="error", metavar="error|skip|replace", help=UNKNOWN_HELP, **_PROMPT
)
@dynamic_options("Let the weights learn from the prompt first, before they continue it.")
@click.option(
    "--no-prompt", is_flag=True, help="Do not repeat the prompt in the output.", **_OUTPUT
)
@click.option(
    "-n",
    "--samples",
    "count",
    type=int,
    default=1,
    metavar="N",
    help="Samples, written side by side  [default: 1; 1 <= x <= 4,096]",
    **_OUTPUT,
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a sample.", **_OUTPUT)
@common_options
def command(
    run: str | None,
    prompt: str | None,
    prompt_file: str | None,
    unknown: str,
    dynamic: bool,
    no_prompt: bool,
    count: int,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Write text with a trained model, streamed to stdout.

    RUN is a run's folder or name, or a checkpoint file; without it, the newest run.
    """
    config = SampleConfig(**given(options, [SampleConfig]))
    how = dynamic_config(dynamic, options)
    from dataclasses import replace

    from charlstm.inference.language_model import MOST_SAMPLES, LanguageModel, seed_of

    if count not in MOST_SAMPLES:
        raise ConfigError(f"-n {count} is out of range; allowed: {MOST_SAMPLES}.")

    # A given seed or a new one: either way, --json can tell which.
    config = replace(config, seed=seed_of(config))
    model = LanguageModel.load(run, runs_dir=runs_dir, warn=output.say)
    start = _prompt(prompt, prompt_file)
    out = output.DataStream()
    note_unknown(model.tokenizer, start, unknown)
    if how is not None:
        model = after_reading(model, start, unknown, how)
    if as_json or count > 1:
        _write_all(model, start, config, unknown, count, as_json, no_prompt)
        return
    pieces = model.generate(start, unknown=unknown, config=config)
    if not no_prompt:
        out.write(start)
    for piece in pieces:
        out.write(piece)
    if sys.stdout.isatty():
        out.write("\n")
    out.close()


def _write_all(
    model: Any,
    start: str,
    config: SampleConfig,
    unknown: str,
    count: int,
    as_json: bool,
    no_prompt: bool,
) -> None:
    out = output.DataStream()
    for sample in model.samples(count, start, unknown=unknown, config=config):
        if as_json:
            record = {
                "index": sample.index,
                "prompt": start,
                "text": sample.text,
                "finish": sample.finish,
                "seed": config.seed,
            }
            output.json_line(record)
            continue
        out.write(f"--- {sample.index + 1} of {count} ---\n")
        out.write(("" if no_prompt else start) + sample.text + "\n")
    out.close()


def _prompt(prompt: str | None, prompt_file: str | None) -> str:
    if prompt is not None and prompt_file is not None:
        raise ConfigError("give --prompt or --prompt-file, not both.")
    if prompt_file is None:
        return output.argument(prompt or "", "--prompt")
    return read_prompt(prompt_file, "--prompt-file")
