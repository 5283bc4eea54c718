"""charlstm info: a run's configuration and results."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.completion import complete_run
from charlstm.cli.options import GroupedCommand, common_options
from charlstm.cli.output import counted
from charlstm.errors import CheckpointError

if TYPE_CHECKING:
    from pathlib import Path

    from charlstm.config import Config
    from charlstm.format.checkpoint import Checkpoint
    from charlstm.format.progress import Progress


_LINE = 58  # characters beside the labels, in 80 columns
_LABELS = {
    "sources": "text files", "num_sources": "number of files", "skipped": "skipped files",
    "num_chars": "text length", "sha256": "text SHA-256", "kept": "text saved in run",
    "unigram_nats": "unigram entropy", "seconds": "training seconds",
}  # fmt: skip
"""Labels of facts that differ from their keys in JSON."""
_ONLY_JSON = frozenset({"folder_rules"})


@click.command("info", cls=GroupedCommand)
@click.argument("run", required=False, shell_complete=complete_run)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common_options
def command(run: str | None, as_json: bool, runs_dir: str | None) -> None:
    """Show a run's configuration, text, progress and results.

    RUN is a run's folder or name, or a checkpoint file. Default: the newest run.
    """
    from charlstm.runs.find import load_model_checkpoint, runs_dir_from

    facts = describe(*load_model_checkpoint(run, runs_dir_from(runs_dir), output.say))
    if as_json:
        output.json_line(facts)
        return
    rows = [
        [_LABELS.get(key, key.replace("_", " ")), _shown(value)]
        for key, value in _flat(facts)
        if key not in _ONLY_JSON
    ]
    output.data_line(output.table(rows))
    if meaning := _in_words(facts):
        output.say(meaning)


def _in_words(facts: dict[str, Any]) -> str:
    """What the best validation loss means; empty if that is not known."""
    from charlstm.planner.words import in_words

    progress, history = facts["progress"], facts["history"]
    nats = progress.get("best_nats_per_char")  # not that of a pseudo-likelihood
    validated = any(entry.get("val_nats") is not None for entry in history)
    if nats is None or not validated or progress["hardly_trained"]:
        return ""
    return in_words(nats, facts["text"].get("unigram_nats"), facts["characters"])


def describe(path: Path, checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint's configuration, text, progress and history.

    Raises:
        CheckpointError: it does not hold a model.
    """
    from charlstm.format.ancestry import read_ancestors
    from charlstm.format.checkpoint import Checkpoint, load_meta
    from charlstm.format.metadata import read_meta
    from charlstm.format.progress import Progress
    from charlstm.format.versions import unusable
    from charlstm.format.weights import check_weights
    from charlstm.inference.training_text import recorded_split
    from charlstm.runs.folder import Run
    from charlstm.runs.maturity import hardly_trained

    config, tokenizer = read_meta(path, checkpoint)
    run = Run(path.parent)
    meta, planned = checkpoint.meta, config
    if path == run.best and run.last.is_file():
        with contextlib.suppress(CheckpointError):  # best.npz is enough
            meta = load_meta(run.last)  # its history is longer
            planned, _ = read_meta(
                run.last, Checkpoint(meta, {})
            )  # a resume may have changed limits
    try:
        check_weights(checkpoint.part("model"), config.model, len(tokenizer))
        progress = Progress.from_json(meta.get("progress"))
        ancestors = read_ancestors(checkpoint.meta)
    except CheckpointError as error:
        raise unusable(path, checkpoint.meta, error) from error
    corpus = meta.get("corpus")
    text = dict(corpus) if isinstance(corpus, dict) else {}
    text.pop("split", None)
    separate = text.pop("separate", {})
    separate = separate if isinstance(separate, dict) else {}
    size = text.get("num_chars")
    split = recorded_split(path, meta, config.text, size) if type(size) is int else None
    return {
        "checkpoint": str(path),
        "saved_by": f"charlstm {str(meta.get('charlstm'))[:20]}",
        "weights": sum(array.size for array in checkpoint.arrays.values()),
        "vocabulary": len(tokenizer),
        "characters": tokenizer.writable,
        "ancestors": [ancestor.to_json() for ancestor in ancestors],
        "text": text,
        "separate_texts": separate,
        "held_out": None if split is None else split.to_json(),
        "config": config.to_json(),
        "progress": progress_facts(planned, progress)
        | {"hardly_trained": bool(hardly_trained(checkpoint.meta))},
        "history": progress.history,
    }


def progress_facts(config: Config, progress: Progress) -> dict[str, Any]:
    """A run's progress and best result."""
    best = None if math.isinf(progress.best_nats) else progress.best_nats
    kind = "best_" if config.model.direction == "forward" else "best_pseudo_"
    return {
        "step": progress.step,
        "epoch": progress.epoch,
        "epochs": config.train.epochs,
        "seconds": round(progress.seconds, 1),
        f"{kind}nats_per_char": best,
        f"{kind}bits_per_char": best / math.log(2) if best is not None else None,
        "best_step": progress.best_step,
    }


def _flat(facts: dict[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in facts.items():
        if key == "config":
            for section, fields in value.items():
                rows += ((section, line) for line in _lines(fields))
        elif key == "ancestors":
            rows += (("started from", _ancestor(ancestor)) for ancestor in value)
        elif key == "held_out":
            rows += _held_out(value)
        elif key == "separate_texts":
            rows += _separate(value)
        elif key == "history":
            losses = [entry.get("val_nats") or entry.get("train_nats") for entry in value[-12:]]
            numbers = [loss for loss in losses if isinstance(loss, float)]
            rows.append(("last evaluations", "  ".join(f"{loss:.4f}" for loss in numbers)))
        elif isinstance(value, dict):
            rows += value.items()
        else:
            rows.append((key, value))
    return rows


def _separate(texts: dict[str, Any]) -> list[tuple[str, Any]]:
    """The separate texts of parts: their files, digests and unknown characters."""
    from charlstm.text.separate import NAMES

    facts = (("sources", ""), ("sha256", " SHA-256"), ("unknown", ", unknown"))
    return [
        (f"{name} text{label}", texts[part].get(key))
        for part, name in NAMES.items()
        if isinstance(texts.get(part), dict)
        for key, label in facts
    ]


def _ancestor(record: dict[str, Any]) -> str:
    """A model that a run started from: loss, digests and alphabet."""
    nats, text = record["nats_per_char"], record["text_sha256"]
    parts = [f"{record['run']}, {counted(record['step'], 'step')}"]
    parts += [] if nats is None else [f"{nats:.4f} nats per char"]
    parts += [f"file {record['sha256'][:16]}"]
    parts += [] if text is None else [f"text {text[:16]}"]
    copied = counted(len(record["copied"]), "character")
    parts += [f"{copied} copied, {len(record['new'])} new, {len(record['dropped'])} dropped"]
    return "; ".join(parts)


def _held_out(split: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """The held-out characters: the method, and the ranges of each part."""
    if split is None:
        return []
    rows: list[tuple[str, Any]] = [("split", split["method"])]
    if split["method"] == "documents":
        rows.append(("documents", split["documents"]))
        for name, part in (("validation part", "val"), ("test part", "test")):
            documents = counted(split[part], "document")
            characters = counted(split[f"{part}_chars"], "character")
            rows.append((name, f"{documents}, {characters}" if split[part] else "none"))
        return rows
    for name, part in (("validation part", "val"), ("test part", "test")):
        size = sum(stop - start for start, stop in split[part])
        ranges = ", ".join(f"{start:,} to {stop:,}" for start, stop in split[part])
        rows.append((name, f"{counted(size, 'character')}: {ranges}" if size else "none"))
    return rows


def _lines(fields: dict[str, Any]) -> list[str]:
    """Options as lines that fit a narrow terminal beside their section's name."""
    lines: list[str] = []
    for key, value in fields.items():
        part = f"{key}={value}"
        if lines and len(lines[-1]) + len(part) < _LINE:
            lines[-1] += f"  {part}"
        else:
            lines.append(part)
    return lines


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        value = [f"{count} {key}" for key, count in value.items()] or "none"
    if isinstance(value, list):
        value = ", ".join(map(str, value))
    text = output.escape(str(value), newlines=False)
    return text if len(text) <= 400 else text[:400] + " ..."
