"""charlstm runs: list all runs, grouped by text."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.options import GroupedCommand, common_options
from charlstm.cli.output import duration
from charlstm.errors import CharlstmError, CheckpointError, RunError

if TYPE_CHECKING:
    from charlstm.runs.folder import Run

_NO_LIMIT = 2**31 - 1  # epochs of a run with a time budget


@click.command("runs", cls=GroupedCommand)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per run.")
@common_options
def command(as_json: bool, runs_dir: str | None) -> None:
    """List all runs, grouped by text, newest first.

    Losses on different texts cannot be compared.
    """
    from charlstm.runs.find import list_runs, runs_dir_from

    folder = runs_dir_from(runs_dir)
    groups: dict[str, list[dict[str, Any]]] = {}  # by text, that of the newest run first
    runs = list_runs(folder)
    for run in runs:
        try:
            record = _summary(run)
        except (CheckpointError, RunError) as error:
            output.say(f"{run.name} is skipped: {error}")
            continue
        groups.setdefault(record["text_sha256"] or record["text"], []).append(record)
    records = [record for group in groups.values() for record in group]
    if as_json:
        for record in records:
            output.json_line(record)
        return
    if not records:
        if not runs:
            output.say(f"no runs in {folder}. Train one: charlstm train corpus.txt")
        return
    heading = ["run", "nats/char", "bits/char", "model", "epochs", "time", "saved", "size", "text"]
    output.data_line(output.table([heading, *map(_row, records)]))


def _summary(run: Run) -> dict[str, Any]:
    """A run's entry as a JSON object, from the metadata of its newest readable checkpoint.

    Raises:
        CheckpointError: no checkpoint is readable.
        RunError: the run's folder is not readable.
    """
    from charlstm.cli.info import progress_facts
    from charlstm.config import Config
    from charlstm.format.checkpoint import load_meta
    from charlstm.format.progress import Progress
    from charlstm.format.versions import unusable
    from charlstm.runs.find import first_readable
    from charlstm.runs.manage import contents

    path, meta = first_readable([*run.checkpoints(), run.best], load_meta, output.say)
    try:
        config = Config.from_json(meta.get("config"))
        progress = progress_facts(config, Progress.from_json(meta.get("progress")))
    except CharlstmError as error:
        raise unusable(path, meta, error, damaged=True) from error
    model, corpus = config.model, meta.get("corpus")
    text: dict[str, Any] = corpus if isinstance(corpus, dict) else {}
    sources, num_chars = text.get("sources"), text.get("num_chars")
    cell = f"{model.cell} bidirectional" if model.direction == "both" else model.cell
    saved = datetime.datetime.fromtimestamp(run.saved_at() or 0).astimezone()
    return {
        "name": run.name,
        "nats_per_char": progress.get("best_nats_per_char"),
        "bits_per_char": progress.get("best_bits_per_char"),
        "pseudo_nats_per_char": progress.get("best_pseudo_nats_per_char"),
        "model": f"{cell} {model.num_layers}x{model.hidden_size}",
        "epoch": progress["epoch"],
        "epochs": progress["epochs"],
        "seconds": progress["seconds"],
        "saved": saved.isoformat(timespec="seconds"),
        "bytes": contents(run).num_bytes,
        "text": ", ".join(map(str, sources)) if isinstance(sources, list) else "",
        "num_chars": num_chars if isinstance(num_chars, int) else None,
        "text_sha256": str(text.get("sha256") or ""),
    }


def _row(record: dict[str, Any]) -> list[str]:
    pseudo, num_chars = record["pseudo_nats_per_char"], record["num_chars"]
    epochs = "" if record["epochs"] == _NO_LIMIT else f"/{record['epochs']}"
    text = record["text"][:60] + ("" if num_chars is None else f" ({num_chars:,})")
    return [
        output.escape(record["name"], newlines=False),
        _shown(record["nats_per_char"]) if pseudo is None else f"{pseudo:.4f} pseudo",
        _shown(record["bits_per_char"]),
        record["model"],
        f"{record['epoch']}{epochs}",
        duration(record["seconds"]),
        record["saved"][:16].replace("T", " "),
        output.megabytes(record["bytes"]),
        output.escape(text, newlines=False),
    ]


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.4f}"
