"""charlstm eval: evaluate a model on a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.dynamic import dynamic_config, dynamic_reader
from charlstm.cli.eval_texts import encode_texts
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
from charlstm.errors import CheckpointError, ConfigError, RunError

if TYPE_CHECKING:
    from charlstm.format.checkpoint import Checkpoint
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.scoring import Score
    from charlstm.text.parts import Part


@click.command("eval", cls=GroupedCommand)
@click.argument("run", required=False, shell_complete=complete_run)
@click.argument("texts", nargs=-1, type=UserPath())
@config_options(EvalConfig)
@config_options(TextConfig, names=("glob", "exclude", "encoding", "encoding_errors"))
@config_options(InputConfig, names=("unknown",))
@config_options(DynamicConfig)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object, or one for each row of --by."
)
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
    carried over the whole text. Its first character is not predicted. A model of documents
    (--documents) reads each document from its beginning, and predicts all of it and its end.
    --by scores each line, document or file by itself.
    """
    config = EvalConfig(**given(options, [EvalConfig]))
    options.pop("split")  # a field of TextConfig has this name, too
    if not texts:
        _check_no_reading_options(given(options, [TextConfig, InputConfig]))
    text_config = TextConfig(**given(options, [TextConfig]))
    unknown = InputConfig(**given(options, [InputConfig])).unknown
    if config.split is not None and texts:
        raise ConfigError("--split applies to the run's own text: omit it, or omit TEXTS.")
    if config.by is not None and not texts:
        raise ConfigError("--by requires TEXTS: give a text after the run, or omit --by.")
    how = dynamic_config(config.dynamic, options)

    from charlstm.inference.language_model import LanguageModel
    from charlstm.text.document_part import DocumentPart

    path, checkpoint = _checkpoint(run, texts, runs_dir)
    with _overflow_allowed():
        model = LanguageModel.from_checkpoint(path, checkpoint)
    if config.by is not None:
        from charlstm.cli.eval_by import print_scores

        with _overflow_allowed():
            print_scores(model, texts, config, text_config, unknown, as_json=as_json)
        return
    part, what, left_out, mapped = _read(
        model, path, checkpoint, texts, config.split or "val", text_config, unknown
    )
    documents = {"documents": len(part.spans)} if isinstance(part, DocumentPart) else {}
    # Before scoring, so that an unsupported model is reported at once.
    reader = None if how is None else dynamic_reader(model, how)
    with _overflow_allowed(), counting(len(part), "evaluating") as progress:
        score = model.score_ids(part, cold_window=config.cold_window, progress=progress)
    # A bidirectional model gives a pseudo-likelihood, which is named differently.
    kind = "pseudo_" if model.is_bidirectional else ""
    protocol = "both sides" if model.is_bidirectional else config.protocol
    record = {
        "checkpoint": str(path),
        "text": what,
        "protocol": f"cold {config.cold_window}" if config.cold_window else protocol,
        "characters": score.count,
        **documents,
        **_figures(score, kind),
        "unknown_characters": sum(left_out.values()) + sum(mapped.values()),
    }
    if reader is not None:
        with counting(len(part), "evaluating with --dynamic") as progress:
            adapted = reader.score(part, progress)
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
        *([name, f"{n:,}, each from its beginning, ends count"] for name, n in documents.items()),
        ["protocol", str(record["protocol"])],
        *_rows(score, kind.replace("_", "-")),
    ]
    if reader is not None:
        rows += _rows(adapted, "dynamic ")
    if model.is_bidirectional:
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


def _read(
    model: LanguageModel,
    path: Path,
    checkpoint: Checkpoint,
    texts: Sequence[str],
    split: str,
    config: TextConfig,
    unknown: str,
) -> tuple[Part, str, Counter[str], Counter[tuple[str, str]]]:
    """The text to evaluate on.

    Args:
        model, path, checkpoint: the model.
        texts: as on the command line; empty: the run's own text.
        split: the part of the run's own text.
        config: how to read other texts.
        unknown: handling of their characters outside the vocabulary.

    Returns:
        The text, its name, counts of its unknown characters, and counts of those mapped.
    """
    from charlstm.inference.texts import part_of_stream
    from charlstm.text.parts import as_part

    if not texts:
        part = _training_text(path, checkpoint, split)
        return part, f"{split} part of the run's text", Counter(), Counter()
    # Line ends and documents are read as in training.
    own = model.config.text
    config = replace(config, keep_newlines=own.keep_newlines, documents=own.documents)
    with reading(quiet=False) as progress:
        ids, left_out, mapped = encode_texts(model, texts, config, unknown, progress)
    part = part_of_stream(ids) if model.tokenizer.boundary else as_part(ids)
    what = ", ".join("standard input" if text == "-" else text for text in texts)
    return part, what, left_out, mapped


def _training_text(path: Path, checkpoint: Checkpoint, split: str) -> Part:
    """A part of the text that the checkpoint's run was trained on.

    Raises:
        RunError: the part is too short, or the text is not available any more.
        CheckpointError: no checkpoint of the run is intact.
    """
    from charlstm.inference.training_text import read_training_text
    from charlstm.runs.find import first_intact
    from charlstm.runs.folder import Run

    run = Run(path.parent)
    if "paths" not in checkpoint.meta:  # a best.npz; only last.npz and numbered ones have it
        paths = [p for p in run.checkpoints() if p.is_file()] or [path]
        path, checkpoint = first_intact(paths, frozenset(), output.say)
    with reading(quiet=False) as progress:
        own = read_training_text(run, path, checkpoint, progress=progress)
    part: Part = getattr(own.corpus, split)
    if part.predictions < 1:
        raise RunError(
            f"the run's {split} part has {len(part)} characters; at least 2 are needed. Give a "
            "text to evaluate on."
        )
    return part
