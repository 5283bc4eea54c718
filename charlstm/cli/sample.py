"""charlstm sample: generate text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.dynamic import after_reading, dynamic_config
from charlstm.cli.inputs import (
    check_backslashes,
    check_no_file_options,
    input_options,
    load_model,
    read_escapes,
    read_file,
    read_given,
    say_mapped,
)
from charlstm.cli.options import (
    GroupedCommand,
    GroupedOption,
    common_options,
    config_options,
    given,
)
from charlstm.cli.progress import counting, reading_prompt
from charlstm.config import DynamicConfig, InputConfig, OutputConfig, PromptConfig, SampleConfig
from charlstm.errors import ConfigError

if TYPE_CHECKING:
    from charlstm.inference.samples import Sample
    from charlstm.inference.texts import TextReader


@click.command(
    "sample",
    cls=GroupedCommand,
    epilog="Logits are divided by the temperature, then filtered by top-k, top-p and min-p, in "
    "this order. Exit codes: 0 success (also when the reader closes the pipe), 1 failure, 2 usage "
    "error, 130 Ctrl-C.",
)
@click.argument("run", required=False, shell_complete=complete_run)
@config_options(SampleConfig)
@config_options(PromptConfig)
@input_options("Prompt")
@config_options(InputConfig, names=("unknown",), group="Prompt")
@config_options(DynamicConfig)
@config_options(OutputConfig)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print one JSON object per sample.",
    cls=GroupedOption,
    group="Output",
)
@common_options
def command(
    run: str | None,
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Generate text with a trained model, streamed to stdout.

    RUN is a run's folder or name, or a checkpoint file. Default: the newest run. A model of
    documents (--documents) writes whole documents of at most --length characters: one, or -n N.
    """
    config = SampleConfig(**given(options, [SampleConfig]))
    prompts = PromptConfig(**given(options, [PromptConfig]))
    inputs = InputConfig(**given(options, [InputConfig]))
    shape = OutputConfig(**given(options, [OutputConfig]))
    how = dynamic_config(prompts.dynamic, options)
    if prompts.prompt_file is None:
        check_no_file_options(options, "--prompt-file")
    separator = _separator(shape.separator, inputs.escapes, as_json)

    from charlstm.inference.samples import seed_of

    # --json reports the seed, whether given or new.
    config = replace(config, seed=seed_of(config))
    model = load_model(run, runs_dir)
    out = output.DataStream()
    start = _prompt(model.texts, prompts, inputs, options)
    (start,) = read_given(model.texts, [start], inputs.unknown)
    config = replace(config, stop=_stops(model.texts, config.stop, inputs))
    shown = "" if shape.no_prompt else start
    count = shape.samples or 1
    if how is not None:
        with reading_prompt(len(start)) as progress:
            model = after_reading(model, start, inputs.unknown, how, progress)
    total = count * config.length
    with reading_prompt(len(start)) as progress, counting(total, "writing") as written:
        more: dict[str, Any] = {"unknown": inputs.unknown, "config": config, "progress": progress}
        if as_json or count > 1:
            samples = model.samples(count, start, written=written, **more)
        else:
            pieces = model.generate(start, **more)
    if as_json:
        for sample in samples:
            record: dict[str, Any] = {"index": sample.index}
            if not shape.no_prompt:
                record["prompt"] = start
            record |= {"text": sample.text, "finish": sample.finish, "seed": config.seed}
            output.json_line(record)
        return
    documents = model.config.text.documents if model.tokenizer.boundary else ""
    end = _end(out, shape.samples, separator, documents)
    if count == 1:
        out.write(shown)
        for piece in pieces:
            out.write(piece)
        out.write(end)
    else:
        by_itself = separator is not None or documents in ("line", "blank-line")
        _write_all(out, samples, shown, end, headings=out.terminal and not by_itself)
    out.close()


def _write_all(
    out: output.DataStream, samples: list[Sample], shown: str, end: str, *, headings: bool
) -> None:
    for sample in samples:
        if headings:
            out.write(f"--- {sample.index + 1} of {len(samples)} ---\n")
        out.write(shown + sample.text + end)


def _separator(separator: str | None, escapes: bool | None, as_json: bool) -> str | None:
    if separator is not None and as_json:
        raise ConfigError("--separator does not apply to --json: omit one.")
    return None if separator is None else read_escapes(separator, "--separator", escapes)


def _prompt(
    texts: TextReader, prompts: PromptConfig, inputs: InputConfig, options: dict[str, Any]
) -> str:
    if prompts.prompt_file is not None:
        return read_file(prompts.prompt_file, texts.config, options)
    text = read_escapes(prompts.prompt or "", "--prompt", inputs.escapes, hint=False)
    if inputs.escapes is None:
        check_backslashes(texts, text, "--prompt", inputs.unknown)
    return text


def _end(out: output.DataStream, count: int | None, separator: str | None, documents: str) -> str:
    """The text after each sample; empty for one sample in a pipe, without `-n`.

    Args:
        out: where samples are written.
        count: how many, if it is given.
        separator: the text, if it is given.
        documents: what a document of the model is; empty if it has none.
    """
    if separator is not None:
        return separator
    if documents == "blank-line" and count is not None:
        return "\n\n"
    return "" if count is None and not out.terminal else "\n"


def _stops(texts: TextReader, stops: tuple[str, ...], inputs: InputConfig) -> tuple[str, ...]:
    """Stop texts as the model writes them; reports mapped characters on stderr."""
    read = []
    for stop in stops:
        # An escape that the model cannot write raises an error with the same hint.
        hint = texts.tokenizer.knows("\\")
        text = read_escapes(stop, "--stop", inputs.escapes, hint=hint)
        mapped = texts.read_stop(text, inputs.unknown)
        say_mapped(mapped.counts)
        read.append(mapped.text)
    return tuple(read)
