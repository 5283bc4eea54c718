"""charlstm eval: how well a model predicts a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.options import UNKNOWN_HELP, GroupedCommand, common_options
from charlstm.config import TextConfig
from charlstm.errors import ConfigError, RunError, UnknownCharacterError

if TYPE_CHECKING:
    from charlstm.inference.language_model import LanguageModel
    from charlstm.text.tokenizer import Ids


@click.command("eval", cls=GroupedCommand)
@click.argument("run", required=False)
@click.argument("texts", nargs=-1)
@click.option(
    "--split",
    default=None,
    metavar="val|test|train",
    help="Without TEXTS: which part of the run's own text  [default: val]",
)
@click.option("--unknown", default="error", metavar="error|skip|replace", help=UNKNOWN_HELP)
@click.option(
    "--encoding", default="utf-8", metavar="TEXT", help="Encoding of TEXTS  [default: utf-8]"
)
@click.option(
    "--glob",
    default="**/*.txt",
    metavar="TEXT",
    help="Files taken from a folder  [default: **/*.txt]",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@common_options
def command(
    run: str | None,
    texts: tuple[str, ...],
    split: str | None,
    unknown: str,
    encoding: str,
    glob: str,
    as_json: bool,
    runs_dir: str | None,
) -> None:
    """Measure how well a model predicts a text: nats and bits per character, perplexity.

    RUN is a run's folder or name, or a checkpoint file; without it, the newest run. TEXTS are
    files, folders or - for stdin; without them, the validation part of the run's own text is
    used. The state is carried over the whole text; its first character is read, not predicted.
    """
    if split not in (None, "val", "test", "train"):
        raise ConfigError(f"--split {split!r} is unknown; choose from: val, test, train.")
    if split is not None and texts:
        raise ConfigError("--split chooses a part of the run's own text: leave out TEXTS.")

    from charlstm.inference.language_model import LanguageModel
    from charlstm.inference.scoring import score_ids
    from charlstm.runs import find_checkpoint, runs_dir_from

    path = find_checkpoint(run, runs_dir_from(runs_dir))
    model = LanguageModel.from_file(path)
    left_out: dict[str, int] = {}
    if texts:
        what = ", ".join(texts)
        config = TextConfig(glob=glob, encoding=encoding)
        ids, left_out = _encode(model, texts, config, unknown)
    else:
        split = split or "val"
        what = f"{split} part of the run's text"
        ids = _own_text(path, split)
    score = score_ids(model.engine, ids)
    record = {
        "checkpoint": str(path),
        "text": what,
        "characters": score.count,
        "nats_per_char": score.nats_per_char,
        "bits_per_char": score.bits_per_char,
        "perplexity": score.perplexity,
        "unknown_characters": sum(left_out.values()),
    }
    if left_out:
        shown = " ".join(repr(c) for c in list(left_out)[:10])
        doing = {"skip": "left out", "replace": "replaced"}[unknown]
        output.say(
            f"{sum(left_out.values()):,} characters the model does not know were {doing}: {shown}"
        )
    if as_json:
        import json

        output.data_line(json.dumps(record))
        return
    rows = [
        ["text", output.escape(what, newlines=False)],
        ["characters", f"{score.count:,}"],
        ["nats per character", f"{score.nats_per_char:.4f}"],
        ["bits per character", f"{score.bits_per_char:.4f}"],
        ["perplexity", f"{score.perplexity:.3f}"],
    ]
    output.data_line(output.table(rows))


def _encode(
    model: LanguageModel, texts: Sequence[str], config: TextConfig, unknown: str
) -> tuple[Ids, dict[str, int]]:
    """Ids of texts, and the unknown characters in them."""
    import numpy as np

    from charlstm.text.sources import find_sources, read_text

    parts, unknown_counts, position = [], dict[str, int](), 0
    for chunk in read_text(find_sources(texts, config.glob), config):
        try:
            parts.append(model.tokenizer.encode(chunk, unknown))
        except UnknownCharacterError as error:
            raise UnknownCharacterError(error.character, position + error.position) from error
        if unknown != "error":
            for character, count in model.tokenizer.unknown_characters(chunk).items():
                unknown_counts[character] = unknown_counts.get(character, 0) + count
        position += len(chunk)
    empty: Any = np.empty(0, dtype=model.tokenizer.id_dtype)
    return np.concatenate([empty, *parts]), unknown_counts


def _own_text(path: Path, split: str) -> Ids:
    """A part of the text that the checkpoint's run was trained on, if it is still there."""
    from charlstm.checkpoint import load_checkpoint
    from charlstm.inference.language_model import read_meta
    from charlstm.runs import Run
    from charlstm.text.corpus import load_corpus
    from charlstm.text.sources import find_sources

    run = Run(path.parent)
    source = run.last if run.last.is_file() else path
    checkpoint = load_checkpoint(source, kinds=frozenset())
    config, tokenizer = read_meta(source, checkpoint)
    paths = checkpoint.meta.get("paths") or []
    text_config = config.text
    if not paths and run.kept_text.is_file():
        paths = [str(run.kept_text)]
        text_config = replace(text_config, encoding="utf-8", keep_newlines=True)
    corpus_meta = checkpoint.meta.get("corpus")
    if not isinstance(paths, list) or not paths or not isinstance(corpus_meta, dict):
        raise RunError(f"{source} does not say where its text lies; name a text to score.")
    corpus = load_corpus(
        find_sources([str(p) for p in paths], text_config.glob), text_config, tokenizer=tokenizer
    )
    if corpus.sha256 != corpus_meta.get("sha256"):
        raise RunError("the run's text has changed since; name a text to score.")
    part: Ids = getattr(corpus, split)
    if len(part) < 2:
        raise RunError(f"the run has no {split} part; name a text to score.")
    return part
