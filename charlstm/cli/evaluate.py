"""charlstm eval: evaluate a model on a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.dynamic import dynamic_config, dynamic_reader
from charlstm.cli.inputs import say_mapped, say_unknown
from charlstm.cli.options import (
    GroupedCommand,
    UserPath,
    common_options,
    config_options,
    given,
)
from charlstm.cli.progress import counting, reading
from charlstm.config import DynamicConfig, EvalConfig, InputConfig, TextConfig
from charlstm.errors import CheckpointError, ConfigError, RunError, UnknownCharacterError

if TYPE_CHECKING:
    from charlstm.format.checkpoint import Checkpoint
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.scoring import Score
    from charlstm.text.corpus import ReadingProgress
    from charlstm.text.parts import Part
    from charlstm.text.tokenizer import Ids


@click.command("eval", cls=GroupedCommand)
@click.argument("run", required=False, shell_complete=complete_run)
@click.argument("texts", nargs=-1, type=UserPath())
@config_options(EvalConfig)
@config_options(TextConfig, names=("glob", "exclude", "encoding", "encoding_errors"))
@config_options(InputConfig, names=("unknown",))
@config_options(DynamicConfig)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common_options
def command(
    run: str | None,
    texts: tuple[str, ...],
    as_json: bool,
    runs_dir: str | None,
    **options: Any,
) -> None:
    """Measure how well a model predicts a text: nats and bits per character, perplexity.

    RUN is a run's folder or name, or a checkpoint file. Default: the newest run. TEXTS are files,
    folders or - for stdin. Default: the validation part of the run's own text. The state is
    carried over the whole text. Its first character is not predicted.
    """
    config = EvalConfig(**given(options, [EvalConfig]))
    options.pop("split")  # a field of TextConfig has this name, too
    if not texts:
        _check_no_reading_options(given(options, [TextConfig, InputConfig]))
    text_config = TextConfig(**given(options, [TextConfig]))
    unknown = InputConfig(**given(options, [InputConfig])).unknown
    if config.split is not None and texts:
        raise ConfigError("--split is for the run's own text: omit it, or omit TEXTS.")
    how = dynamic_config(config.dynamic, options)

    from charlstm.inference.language_model import LanguageModel

    path, checkpoint = _checkpoint(run, texts, runs_dir)
    with _overflow_allowed():
        model = LanguageModel.from_checkpoint(path, checkpoint)
    left_out, mapped = Counter[str](), Counter[tuple[str, str]]()
    ids: Ids | Part
    if texts:
        what = ", ".join("standard input" if text == "-" else text for text in texts)
        # Line ends are read as in training.
        text_config = replace(text_config, keep_newlines=model.config.text.keep_newlines)
        with reading(quiet=False) as read_progress:
            ids, left_out, mapped = _encode(model, texts, text_config, unknown, read_progress)
    else:
        split = config.split or "val"
        what = f"{split} part of the run's text"
        ids = _own_text(path, checkpoint, split)
    # Before scoring, so that an unsupported model is reported at once.
    reader = None if how is None else dynamic_reader(model, how)
    with _overflow_allowed(), counting(len(ids), "scoring") as progress:
        score = model.score_ids(ids, cold_window=config.cold_window, progress=progress)
    # A bidirectional model gives a pseudo-likelihood, which is named differently.
    kind = "pseudo_" if model.reads_both_ways else ""
    protocol = "both sides" if model.reads_both_ways else config.protocol
    record = {
        "checkpoint": str(path),
        "text": what,
        "protocol": f"cold {config.cold_window}" if config.cold_window else protocol,
        "characters": score.count,
        **_figures(score, kind),
        "unknown_characters": sum(left_out.values()) + sum(mapped.values()),
    }
    if reader is not None:
        with counting(len(ids), "scoring with --dynamic") as progress:
            adapted = reader.score(ids, progress)
        record |= _figures(adapted, "dynamic_")
    say_unknown(left_out, unknown)
    say_mapped(mapped)
    if not_finite := [name for name, figure in record.items() if output.finite(figure) is None]:
        output.say(
            f"not a finite number: {', '.join(not_finite)}. The model's weights are too large for "
            "this text."
        )
    if as_json:
        output.json_line(record)
        return
    rows = [
        ["text", output.escape(what, newlines=False)],
        ["characters", f"{score.count:,}"],
        ["protocol", str(record["protocol"])],
        *_rows(score, kind.replace("_", "-")),
    ]
    if reader is not None:
        rows += _rows(adapted, "dynamic ")
    if model.reads_both_ways:
        output.say(
            "the model is bidirectional: its pseudo-likelihood cannot be compared with the "
            "likelihood of a forward model."
        )
    output.data_line(output.table(rows))


def _check_no_reading_options(options: Mapping[str, Any]) -> None:
    """Check that options of how texts are read were not given where the run's own text is read.

    Raises:
        ConfigError: one was.
    """
    for name, value in options.items():
        if value is not None:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(
                f"{flag} requires TEXTS: the run's own text is read as in training.\nGive a text "
                f"after the run, or omit {flag}."
            )


def _overflow_allowed() -> AbstractContextManager[object]:
    """A context without numpy's overflow warnings; figures that are not finite are reported."""
    import numpy as np

    return np.errstate(over="ignore", invalid="ignore")


def _figures(score: Score, kind: str) -> dict[str, float]:
    """A score as JSON fields, with the prefix `kind`."""
    return {
        f"{kind}nats_per_char": score.nats_per_char,
        f"{kind}bits_per_char": score.bits_per_char,
        f"{kind}perplexity": score.perplexity,
    }


def _rows(score: Score, kind: str) -> list[list[str]]:
    """A score as table rows, with the prefix `kind`."""
    return [
        [f"{kind}nats per character", f"{score.nats_per_char:.4f}"],
        [f"{kind}bits per character", f"{score.bits_per_char:.4f}"],
        [f"{kind}perplexity", f"{score.perplexity:.3f}"],
    ]


def _checkpoint(
    run: str | None, texts: Sequence[str], runs_dir: str | None
) -> tuple[Path, Checkpoint]:
    from charlstm.runs.find import load_model_checkpoint, runs_dir_from

    try:
        return load_model_checkpoint(run, runs_dir_from(runs_dir), output.say)
    except CheckpointError as error:
        if texts or run is None or run.endswith(".npz"):
            raise
        raise CheckpointError(
            f"{run} is not a checkpoint.\nTo evaluate on it as a text, give the run first: "
            f"charlstm eval RUN {run}"
        ) from error


def _encode(
    model: LanguageModel,
    texts: Sequence[str],
    config: TextConfig,
    unknown: str,
    progress: ReadingProgress,
) -> tuple[Ids, Counter[str], Counter[tuple[str, str]]]:
    """Ids of texts, counts of their unknown characters, and counts of those mapped."""
    import numpy as np

    from charlstm.text.folders import FolderFiles, summary, without_effect
    from charlstm.text.reading import read_text
    from charlstm.text.sources import find_sources

    parts, unknown_counts, mapped = [], Counter[str](), Counter[tuple[str, str]]()
    folders: list[FolderFiles] = []
    sources = find_sources(texts, config.glob, config.exclude, on_folder=folders.append)
    for line in (*map(summary, folders), *without_effect(folders, config)):
        output.say(line)
    done = 0
    for source in sources:
        position = 0
        chunks: Iterable[str] = read_text([source], config)
        if unknown == "map":
            chunks = _whole_lines(chunks)
        for chunk in chunks:
            try:
                read = model.texts.read(chunk, unknown)
                parts.append(model.tokenizer.encode(read.text, unknown))
            except UnknownCharacterError as error:
                raise UnknownCharacterError(
                    error.character, position + error.position, source.name, error.form
                ) from error
            mapped.update(read.counts)
            if unknown != "error":
                unknown_counts.update(model.tokenizer.unknown_characters(read.text))
            position += len(chunk)
            done += len(chunk)
            progress("encoding", done)
    empty: Any = np.empty(0, dtype=model.tokenizer.id_dtype)
    return np.concatenate([empty, *parts]), unknown_counts, mapped


def _whole_lines(chunks: Iterable[str]) -> Iterator[str]:
    """Regroup a text into chunks of whole lines, so that no sequence to map is split."""
    held: list[str] = []
    for chunk in chunks:
        lines, newline, rest = chunk.rpartition("\n")
        if newline:
            yield "".join([*held, lines, newline])
            held = []
        held.append(rest)
    if last := "".join(held):
        yield last


def _own_text(path: Path, checkpoint: Checkpoint, split: str) -> Part:
    """A part of the text that the checkpoint's run was trained on.

    Raises:
        RunError: the part is too short, or the text is not available any more.
        CheckpointError: no checkpoint of the run is intact.
    """
    from charlstm.inference.own_text import read_own_text
    from charlstm.runs.find import first_intact
    from charlstm.runs.folder import Run

    run = Run(path.parent)
    if "paths" not in checkpoint.meta:  # a best.npz; only last.npz and numbered ones have it
        paths = [p for p in run.checkpoints() if p.is_file()] or [path]
        path, checkpoint = first_intact(paths, frozenset(), output.say)
    with reading(quiet=False) as progress:
        own = read_own_text(run, path, checkpoint, progress=progress)
    part: Part = getattr(own.corpus, split)
    if part.predictions < 1:
        raise RunError(
            f"the run's {split} part has {len(part)} characters; at least 2 are needed. Give a "
            "text to evaluate on."
        )
    return part
