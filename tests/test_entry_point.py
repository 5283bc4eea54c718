"""How the program ends: exit codes and messages for each kind of error."""

from __future__ import annotations

import signal
import sys
import warnings
from importlib import metadata
from typing import Any

import pytest

from charlstm import cli
from charlstm.errors import CompiledCodeWarning, RunError
from tests.conftest import Program


def run(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, *arguments: str, capsys: Any
) -> tuple[object, str]:
    """The exit code and stderr of a command that raises an error."""

    def fail(**_options: object) -> None:
        raise error

    monkeypatch.setattr(cli.main, "main", fail)
    monkeypatch.setattr(sys, "argv", ["charlstm", *arguments])
    with warnings.catch_warnings():
        code = cli._run()
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RunError("no such run."), "no such run."),
        (OSError(28, "No space left on device", "x.txt"), "No space left on device (x.txt)."),
        (OSError("it is closed"), "it is closed."),
        (MemoryError(), "out of memory. Use a smaller --batch-size"),
        (RuntimeError("can't allocate memory: 9 bytes"), "out of memory. Use a smaller"),
        (RuntimeError("a shape is wrong"), "unexpected RuntimeError: a shape is wrong\nThis is a"),
    ],
    ids=repr,
)
def test_errors_end_with_1(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    code, shown = run(error, monkeypatch, capsys=capsys)
    assert code == 1
    assert shown.startswith(f"Error: {message}")
    assert len(shown.splitlines()) <= 2
    code, shown = run(error, monkeypatch, "--debug", capsys=capsys)
    assert code == 1
    assert shown.startswith("Traceback")
    assert f"Error: {message}" in shown


def test_only_the_library_s_own_warnings_are_notices(capsys: pytest.CaptureFixture[str]) -> None:
    others: list[object] = []
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: others.append(message)
        cli._show_warnings()
        for message in (CompiledCodeWarning("slower"), DeprecationWarning("old")):
            warnings.showwarning(message, type(message), "x.py", 1)
    assert capsys.readouterr().err == "slower\n"
    assert [str(message) for message in others] == ["old"]


def test_versions_where_a_package_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    def version(package: str) -> str:
        if package == "torch":
            raise metadata.PackageNotFoundError(package)
        return "9.9"

    monkeypatch.setattr(metadata, "version", version)
    cli.main(["--version"], standalone_mode=False)
    assert b", torch not installed, numpy 9.9\n" in capsysbinary.readouterr().out


def test_ctrl_c_during_imports(program: Program) -> None:
    """The first thing that the program does is to limit the threads of numpy and torch."""
    die = ["charlstm.processors.limit_library_threads", 1, False, signal.SIGINT]
    result = program("runs", die=die)
    assert (result.returncode, result.stderr) == (130, "Error: stopped.\n")
