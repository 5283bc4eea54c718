"""`charlstm doctor`: the report, and machines where something is missing."""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from charlstm.cli.doctor import command
from charlstm.doctor import report as doctor
from charlstm.doctor.report import Report, examine
from charlstm.doctor.speeds import KNOWN_MACHINES, Speed, nearest
from charlstm.errors import CompiledCodeError, ProcessorError
from tests.conftest import Program

SECTIONS = ["versions", "processor", "cores", "memory", "kernels", "folders", "gpu"]


def advice_on(report: Report, word: str) -> str:
    """The advice of the only finding with that word."""
    (finding,) = [finding for finding in report.findings if word in finding.what]
    return finding.advice


def test_the_report(program: Program) -> None:
    result = program("doctor", "--no-speed-test")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) < 40
    assert max(map(len, lines[:3])) < 200
    for word in ("charlstm", "torch", "cores", "memory", "compiled code", "GPU"):
        assert any(word in line for line in lines)
    assert "training speed" not in result.stdout


def test_json(program: Program, tmp_path: Path) -> None:
    result = program("doctor", "--no-speed-test", "--json", "--runs-dir", "here")
    facts = json.loads(result.stdout)
    assert list(facts) == [*SECTIONS, "findings"]
    assert facts["cores"]["usable"] <= facts["cores"]["count"]
    assert facts["folders"]["runs"] == {"path": "here", "writable": True}
    assert not (tmp_path / "here").exists()
    assert all(set(finding) == {"what", "advice"} for finding in facts["findings"])


def test_the_speed_is_shown_beside_known_machines(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    speed = Speed("float32", "torch", 1, 1234.5)
    report = examine(tmp_path, lambda: speed)
    asked: list[Path] = []

    def find(folder: Path, speed_test: object) -> Report:
        asked.append(folder)
        assert speed_test is not None
        return report._replace(findings=found)

    monkeypatch.setattr(doctor, "examine", find)
    found = [doctor.Finding("a tab\tis here", "Remove it.")]
    shown = CliRunner().invoke(command, ["--runs-dir", "here"])
    assert shown.exit_code == 0
    assert shown.stderr == "examining this machine; the speed test takes a few seconds\n"
    lines = shown.stdout.splitlines()
    first = next(n for n, line in enumerate(lines) if line.startswith("training speed"))
    assert lines[first].endswith("1,234 characters/s (coupled 1x512, float32, 1 thread)")
    for line, machine in zip(lines[first + 1 :], KNOWN_MACHINES, strict=False):
        end = f"{machine.speed:,.0f} on {machine.name} ({machine.precision} compiled)"
        assert line.split(maxsplit=1) == ["compare", end]
    assert lines[-2:] == ["- a tab is here", "  Remove it."]
    found = []
    shown = CliRunner().invoke(command, ["--runs-dir", "here"])
    assert shown.stdout.splitlines()[-1] == "Nothing to do."
    assert asked == [Path("here")] * 2


def test_the_speed_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from charlstm.training import speed_test

    monkeypatch.setattr(speed_test, "pick_precision", lambda *_: "float32")
    monkeypatch.setattr(speed_test, "pick_kernel", lambda *_, **__: "torch")
    monkeypatch.setattr("charlstm.training.speed._MEASURE_SECONDS", 0.01)
    report = examine(tmp_path, speed_test.measure_speed)
    speed = report.facts["speed"]
    assert (speed["precision"], speed["kernel"]) == ("float32", "torch")
    assert speed["chars_per_second"] > 0


def test_a_slow_machine(tmp_path: Path) -> None:
    known = min(KNOWN_MACHINES, key=lambda machine: machine.speed)
    slow = Speed(known.precision, known.kernel, known.threads, known.speed / 3)
    assert nearest(slow) == known
    assert advice_on(examine(tmp_path, lambda: slow), "half as fast")
    fast = slow._replace(chars_per_second=known.speed)
    assert not any("half" in f.what for f in examine(tmp_path, lambda: fast).findings)
    assert nearest(slow._replace(precision="float16")) is None
    assert nearest(slow._replace(threads=1)) is None


def test_a_speed_test_that_fails(tmp_path: Path) -> None:
    def fail() -> Speed:
        raise RuntimeError("no such operator\nmore")

    report = examine(tmp_path, fail)
    assert report.facts["speed"] is None
    assert "Reinstall torch" in advice_on(report, "RuntimeError: no such operator")


def test_missing_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package in ("numba", "llvmlite", "torch"):
            raise PackageNotFoundError(package)
        return "1.0"

    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}", name=name)

    monkeypatch.setattr("charlstm.doctor.report.metadata.version", version)
    monkeypatch.setattr(doctor, "import_module", missing)
    monkeypatch.setattr(doctor, "unavailable", lambda _: ModuleNotFoundError("no numba"))
    report = examine(tmp_path)
    assert report.facts["versions"]["numba"] is None
    assert report.facts["kernels"] == dict.fromkeys(doctor.PRECISIONS, "no numba")
    assert report.facts["gpu"]["error"] == "No module named 'torch'"
    assert report.facts["folders"]["compiled"] == {"path": None, "writable": None}
    assert advice_on(report, "numba is not installed") == "pip install 'charlstm[fast]'"
    assert len([f for f in report.findings if "numba" in f.what]) == 1


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (ProcessorError("no such products"), "Nothing to do"),
        (CompiledCodeError("turned off (NUMBA_DISABLE_JIT)."), "Unset"),
        (SystemError("initialization failed"), "pip install --upgrade"),
    ],
)
def test_kernels_that_do_not_work(
    error: Exception, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_precision: str) -> Exception:
        if isinstance(error, SystemError):
            raise error
        return error

    monkeypatch.setattr(doctor, "unavailable", fail)
    report = examine(tmp_path)
    assert set(report.facts["kernels"].values()) == {str(error)}
    assert advice_on(report, "no compiled code for float32, bfloat16, int8").startswith(advice)


def test_folders_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    report = examine(tmp_path / "file" / "runs")
    folders = report.facts["folders"]
    assert not folders["cache"]["writable"]
    assert not folders["runs"]["writable"]
    assert "XDG_CACHE_HOME" in advice_on(report, str(tmp_path / "file" / "charlstm"))
    assert "--runs-dir" in advice_on(report, str(tmp_path / "file" / "runs"))


def test_a_user_without_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cache_folder", lambda: None)
    assert "XDG_CACHE_HOME" in advice_on(examine(tmp_path), "no home folder")


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "affinity", lambda: 8)
    monkeypatch.setattr(doctor, "available_processors", lambda: 3)
    monkeypatch.setattr(doctor, "cpu_quota", lambda: 3.5)
    monkeypatch.setattr(doctor, "available_memory", lambda: 500_000_000)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    report = examine(tmp_path)
    assert "docker run --cpus" in advice_on(report, "quota")
    assert "--hidden-size" in advice_on(report, "0.5 GB")
    assert "--threads" in advice_on(report, "OMP_NUM_THREADS=1")


def test_known_machines() -> None:
    speeds = [machine.speed for machine in KNOWN_MACHINES]
    assert speeds == sorted(speeds, reverse=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes to read-only folders"
)
def test_a_read_only_home(tmp_path: Path, program: Program) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o500)
    result = program("doctor", "--no-speed-test", env={"HOME": str(home), "XDG_CACHE_HOME": ""})
    assert result.returncode == 0
    assert "CANNOT be written" in result.stdout
