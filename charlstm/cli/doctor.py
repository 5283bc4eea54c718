"""charlstm doctor: what this machine offers, and what could be better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from charlstm.cli import output
from charlstm.cli.options import GroupedCommand, common_options

if TYPE_CHECKING:
    from charlstm.doctor.report import Report
    from charlstm.doctor.speeds import Speed


@click.command("doctor", cls=GroupedCommand)
@click.option(
    "--speed-test/--no-speed-test",
    default=True,
    show_default=True,
    help="Train a model of 512 units for a second, and compare the speed with known machines.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@common_options
def command(speed_test: bool, as_json: bool, runs_dir: str | None) -> None:
    """Check this machine: processors, memory, versions, compiled code, folders, GPU and speed.

    For everything that could be better, it shows what to do. Start a bug report with its output.
    """
    from charlstm.doctor.report import examine
    from charlstm.runs.find import runs_dir_from

    folder = runs_dir_from(runs_dir)
    if speed_test:
        output.say("examining this machine; the speed test takes a few seconds")
    report = examine(folder, _measure if speed_test else None)
    if as_json:
        findings = [finding._asdict() for finding in report.findings]
        output.json_line({**report.facts, "findings": findings})
        return
    output.data_line(output.table(_rows(report)))
    output.data_line("")
    if not report.findings:
        output.data_line("Nothing to do.")
    for finding in report.findings:
        output.data_line(output.escape(f"- {finding.what}\n  {finding.advice}".replace("\t", " ")))


def _measure() -> Speed:
    from charlstm.cli.progress import CompileView
    from charlstm.training.speed_test import measure_speed

    return measure_speed(CompileView(False, lambda: None).show)


def _rows(report: Report) -> list[list[str]]:
    """The report's facts, a line for each section."""
    from charlstm.doctor.report import PACKAGES

    facts = report.facts
    versions, cores, memory = facts["versions"], facts["cores"], facts["memory"]
    quota = "no CPU quota" if cores["quota"] is None else f"a CPU quota of {cores['quota']:g}"
    rows = [
        ["charlstm", f"{versions['charlstm']}, Python {versions['python']}, {versions['system']}"],
        ["packages", ", ".join(f"{name} {versions[name] or 'missing'}" for name in PACKAGES)],
        [
            "processor",
            " ".join([f"{facts['processor']['model']};", *facts["processor"]["features"]]),
        ],
        ["cores", f"{cores['usable']} of {cores['count']} can be used ({quota})"],
        ["memory", f"{_size(memory['available'])} of {_size(memory['total'])} available"],
        ["compiled code", _kernels(facts["kernels"])],
    ]
    for name, title in (("runs", "runs"), ("cache", "cache of texts"), ("compiled", "code cache")):
        place = facts["folders"][name]
        state = "can be written" if place["writable"] else "CANNOT be written"
        rows.append([title, "none" if place["path"] is None else f"{place['path']} ({state})"])
    rows.append(["GPU", ", ".join(facts["gpu"]["devices"]) or "none"])
    if speed := facts.get("speed"):
        rows += _speed_rows(speed)
    return [[key, output.escape(value, newlines=False)] for key, value in rows]


def _kernels(why: dict[str, str | None]) -> str:
    """For which precisions there is compiled code."""
    there = [precision for precision, reason in why.items() if reason is None]
    missing = [precision for precision, reason in why.items() if reason is not None]
    parts = [f"for {', '.join(there)}"] if there else []
    parts += [f"not for {', '.join(missing)}"] if missing else []
    return "; ".join(parts)


def _speed_rows(speed: dict[str, Any]) -> list[list[str]]:
    compiled = " compiled" if speed["kernel"] == "compiled" else ""
    threads = output.counted(speed["threads"], "thread")
    rows = [
        [
            "training speed",
            f"{speed['chars_per_second']:,.0f} characters/s (coupled 1x512, "
            f"{speed['precision']}{compiled}, {threads})",
        ]
    ]
    for machine in speed["known_machines"]:
        compiled = " compiled" if machine["kernel"] == "compiled" else ""
        rows.append(
            [
                "  compare",
                f"{machine['speed']:,.0f} on {machine['name']} ({machine['precision']}{compiled})",
            ]
        )
    return rows


def _size(count: int | None) -> str:
    return "an unknown size" if count is None else f"{count / 1e9:.1f} GB"
