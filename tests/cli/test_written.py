"""How texts and records are written."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.cli import output
from tests.conftest import Program, assert_clear, read_terminal, run_program
from tests.models import make_model, save_model

# What is written


def test_texts_into_a_pipe(run: Program) -> None:
    def texts(*arguments: object) -> str:
        result = run("sample", "play", "--length", 30, "--seed", 4, "--no-prompt", *arguments)
        assert result.stderr == ""
        return str(result.stdout)

    lines = texts("-n", 20, "--stop", "\n").splitlines()
    assert len(lines) == 20
    records = [json.loads(line) for line in texts("-n", 3, "--json").splitlines()]
    plain = [record["text"] for record in records]
    assert texts("-n", 3) == "".join(f"{text}\n" for text in plain)
    assert texts("-n", 3, "--separator", "%%") == "".join(f"{text}%%" for text in plain)
    zeros = texts("-n", 3, "--separator", r"\0", "--escapes")
    assert zeros.split("\0") == [*plain, ""]
    assert texts("-n", 3, "--separator", "") == "".join(plain)
    # One text is followed by nothing, unless a number of texts or a separator was given.
    assert texts() == plain[0]
    assert texts("-n", 1) == plain[0] + "\n"
    assert texts("--separator", "%") == plain[0] + "%"
    assert_clear(run("sample", "play", "--json", "--separator", "x"), 2, "--separator", "--json")


def test_texts_on_a_terminal_have_headings(place: Path) -> None:
    script = "from charlstm.__main__ import main; main()"
    arguments = [sys.executable, "-c", script, "sample", "play", "-n", "2", "--length", "9"]
    primary, secondary = pty.openpty()
    with subprocess.Popen(arguments, stdout=secondary, stderr=secondary, cwd=place) as process:
        os.close(secondary)
        shown = read_terminal(primary).decode()
    assert process.returncode == 0
    assert "--- 1 of 2 ---" in shown
    assert "--- 2 of 2 ---" in shown


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(st.characters(codec=None) | st.sampled_from("\u2028\u2029\x85\x9b\x1b\ud800\u061c\n"))
)
def test_a_json_record_is_one_safe_line_of_utf8(
    capfdbinary: pytest.CaptureFixture[bytes], text: str
) -> None:
    output.json_line({"text": text})
    output.flush()
    line = capfdbinary.readouterr().out.decode("utf-8")
    assert json.loads(line) == {"text": text}
    assert len(line.splitlines()) == 1
    # Already safe for a terminal, where nothing has to be escaped that would not be JSON.
    assert output.escape(line) == line


def test_json_is_readable(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    text = "\u05e9\u05dc\u05d5\u05dd\u200f caf\u00e9 \U0001f600"
    output.json_line({"text": text})
    output.flush()
    assert capfdbinary.readouterr().out.decode() == f'{{"text": "{text}"}}\n'


def test_escape_leaves_marks_that_take_part_in_shaping() -> None:
    kept = "a\u200c\u200d\u200e\u200fb"
    assert output.escape(kept) == kept
    assert output.escape("\u061c\u202e\u2066\u2069") == "\\u061c\\u202e\\u2066\\u2069"


def test_json_of_a_model_that_writes_other_scripts(place: Path) -> None:
    save_model(place / "scripts", make_model("\n ab\u05d0\u2028\ud800\U0001f600"))
    arguments = ("sample", "scripts", "--temp", 100, "--length", 300, "--seed", 1, "--json")
    result = run_program(*arguments, cwd=place)
    assert result.stdout.count("\n") == len(result.stdout.splitlines()) == 1
    for written in ("\u05d0", "\U0001f600", "\\u2028", "\\ud800"):
        assert written in result.stdout
    assert len(json.loads(result.stdout)["text"]) == 300
