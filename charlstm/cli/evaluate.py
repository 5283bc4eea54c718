"""charlstm eval: evaluate models on a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.dynamic import dynamic_config, dynamic_reader
from charlstm.cli.eval_arguments import EvalCommand, check_texts, is_separated, models_and_texts
from charlstm.cli.eval_own import OwnText
from charlstm.cli.eval_report import Report, comparison, say_comparable
from charlstm.cli.eval_texts import GivenTexts
from charlstm.cli.options import UserPath, common_options, config_options, given
from charlstm.config import DynamicConfig, EvalConfig, InputConfig, TextConfig
from charlstm.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from charlstm.format.checkpoint import Checkpoint
    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.long_texts import Adaptive


@click.command("eval", cls=EvalCommand)
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

    To compare several models in one table, write -- after the last: what stands before it are
    models, what follows are texts.

    --by scores each line, document or file by itself.
    """
    config = EvalConfig(**given(options, [EvalConfig]))
    options.pop("split")  # a field of TextConfig has this name, too
    models, places = models_and_texts(run, texts)
    if not places:
        _check_no_reading_options(given(options, [TextConfig, InputConfig]))
    text_config = TextConfig(**given(options, [TextConfig]))
    unknown = InputConfig(**given(options, [InputConfig])).unknown
    if config.split is not None and places:
        raise ConfigError("--split applies to the run's own text: omit it, or omit TEXTS.")
    if config.by is not None and not places:
        raise ConfigError("--by requires TEXTS: give a text after the run, or omit --by.")
    if config.by is not None and len(models) > 1:
        raise ConfigError("--by scores with one model: give one before --, or omit --by.")
    how = dynamic_config(config.dynamic, options)

    from charlstm.runs.find import runs_dir_from

    folder = runs_dir_from(runs_dir)
    check_texts(places, folder)
    if config.by is not None:
        from charlstm.cli.eval_by import print_scores

        _, _, scorer, _ = _load(models[0], places, folder, None)
        with _overflow_allowed():
            print_scores(scorer, places, config, text_config, unknown, as_json=as_json)
        return
    # All are loaded before the first evaluation, so that an unsupported model is reported at once.
    loaded = [_load(model, places, folder, how) for model in models]
    texts_given = GivenTexts(places, text_config, unknown) if places else None
    reports = []
    for name, (path, checkpoint, model, reader) in zip(models, loaded, strict=True):
        if len(models) > 1:
            output.say(f"evaluating {name}")
        text = texts_given or OwnText(path, checkpoint, config.split or "val")
        with _overflow_allowed():
            result = text.evaluate(model, config.cold_window, reader)
        protocol = f"cold {config.cold_window}" if config.cold_window else config.protocol
        report = Report(
            name or str(path.parent.name),
            str(path),
            text.name,
            "both sides" if model.is_bidirectional else protocol,
            # A bidirectional model gives a pseudo-likelihood, which is named differently.
            "pseudo_" if model.is_bidirectional else "",
            result,
            omits=unknown == "skip" and bool(places),
        )
        report.say_notices(is_only=len(models) == 1)
        if not places and config.split != "train" and not report.kind and not config.cold_window:
            _say_in_words(checkpoint, result.score.nats_per_char, model.tokenizer.writable)
        reports.append(report)
    _show(reports, as_json=as_json, own_texts=not places)


def _say_in_words(checkpoint: Checkpoint, nats: float, characters: str) -> None:
    """Write to stderr what the loss on the run's held-out text means, if examples show it."""
    from charlstm.planner.words import in_words

    corpus = checkpoint.meta.get("corpus")
    unigram = corpus.get("unigram_nats") if isinstance(corpus, Mapping) else None
    if meaning := in_words(nats, unigram, characters):
        output.say(meaning)


def _show(reports: Sequence[Report], *, as_json: bool, own_texts: bool) -> None:
    """Print the figures of one model, or of several in one table."""
    if len(reports) > 1:
        say_comparable(reports, own_texts=own_texts)
        if as_json:
            output.json_line({"models": [{"model": r.model, **r.record()} for r in reports]})
        else:
            output.data_line(comparison(reports))
    elif as_json:
        output.json_line(reports[0].record())
    else:
        output.data_line(reports[0].table())


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


def _load(
    run: str | None, texts: Sequence[str], runs_dir: Path, how: DynamicConfig | None
) -> tuple[Path, Checkpoint, LanguageModel, Adaptive | None]:
    """A model with its checkpoint, and a reader for dynamic evaluation if it is requested."""
    from charlstm.inference.language_model import LanguageModel
    from charlstm.runs.find import load_model_checkpoint

    try:
        path, checkpoint = load_model_checkpoint(run, runs_dir, output.say)
    except CheckpointError as error:
        if run is None or run.endswith(".npz") or (texts and not is_separated()):
            raise
        advice = (
            "Before -- stand models, after it texts: charlstm eval RUN -- "
            if is_separated()
            else "To evaluate on it as a text, give the run first: charlstm eval RUN "
        )
        raise CheckpointError(f"{run} is not a checkpoint.\n{advice}{run}") from error
    with _overflow_allowed():
        model = LanguageModel.from_checkpoint(path, checkpoint)
    return path, checkpoint, model, None if how is None else dynamic_reader(model, how)
