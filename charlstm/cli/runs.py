"""charlstm runs: all runs, a line each, best first."""

from __future__ import annotations

import math
from typing import Any

import click

from charlstm.cli import output
from charlstm.cli.options import GroupedCommand, common_options
from charlstm.cli.output import duration
from charlstm.errors import CheckpointError, RunError


@click.command("runs", cls=GroupedCommand)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a run.")
@common_options
def command(as_json: bool, runs_dir: str | None) -> None:
    """List all runs, a line each, the best first."""
    from charlstm.cli.info import describe
    from charlstm.runs.find import list_runs, load_model_checkpoint, runs_dir_from

    folder = runs_dir_from(runs_dir)
    records = []
    for run in list_runs(folder):
        try:
            facts = describe(*load_model_checkpoint(str(run.folder), folder, output.say))
        except (CheckpointError, RunError) as error:
            output.say(f"{run.name} is left out: {error}")
            continue
        progress, model = facts["progress"], facts["config"]["model"]
        sources = facts["text"].get("sources")
        records.append(
            {
                "name": run.name,
                "nats_per_char": progress.get("best_nats_per_char"),
                "bits_per_char": progress.get("best_bits_per_char"),
                "pseudo_nats_per_char": progress.get("best_pseudo_nats_per_char"),
                "model": f"{_cell(model)} {model['num_layers']}x{model['hidden_size']}",
                "epoch": progress["epoch"],
                "epochs": progress["epochs"],
                "seconds": progress["seconds"],
                "text": ", ".join(map(str, sources)) if isinstance(sources, list) else "",
                "num_chars": facts["text"].get("num_chars"),
            }
        )
    records.sort(key=lambda r: math.inf if r["nats_per_char"] is None else r["nats_per_char"])
    if as_json:
        for record in records:
            output.json_line(record)
        return
    if not records:
        output.say(f"there is no run in {folder} yet. Train one: charlstm train corpus.txt")
        return
    rows = [["run", "nats/char", "bits/char", "model", "epochs", "time", "text"]]
    for record in records:
        nats, bits = record["nats_per_char"], record["bits_per_char"]
        pseudo = record["pseudo_nats_per_char"]
        rows.append(
            [
                output.escape(record["name"], newlines=False),
                f"{pseudo:.4f} pseudo" if pseudo is not None else _shown(nats),
                _shown(bits),
                record["model"],
                f"{record['epoch']}/{record['epochs']}",
                duration(record["seconds"]),
                output.escape(record["text"][:60], newlines=False),
            ]
        )
    output.data_line(output.table(rows))


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.4f}"


def _cell(model: dict[str, Any]) -> str:
    return f"{model['cell']} both ways" if model["direction"] == "both" else str(model["cell"])
