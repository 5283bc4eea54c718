"""Texts given to `sample`, `fill` and `eval`, and how texts are written."""

from __future__ import annotations

import functools
import gzip
import itertools
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charlstm.cli import evaluate, inputs, main, output
from charlstm.cli import progress as progress_module
from charlstm.cli.dynamic import after_reading
from charlstm.cli.progress import counting, reading, reading_prompt
from charlstm.config import DynamicConfig
from charlstm.errors import ConfigError
from tests.conftest import assert_clear, read_terminal, run_program
from tests.models import make_model, save_model

Run = Callable[..., subprocess.CompletedProcess[str]]
SHORT = ("--length", 25, "--seed", 4)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """Models: play; lower, in lower case; code, with backslashes; both, for `fill`."""
    folder = tmp_path_factory.mktemp("inputs")
    save_model(folder / "play", make_model(text))
    save_model(folder / "lower", make_model(text, lowercase=True))
    save_model(folder / "code", make_model('puts("a\\n");\n\tgo();\n'))
    save_model(folder / "both", make_model(text, "both", lowercase=True))
    return folder


@pytest.fixture
def run(place: Path) -> Run:
    def call(*arguments: object, **keywords: Any) -> subprocess.CompletedProcess[str]:
        return run_program(*arguments, cwd=place, **keywords)

    return call


# Files and line ends


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("The light\nis".encode("utf-16"), []),
        ("The light\nis".encode("utf-16-le"), ["--encoding", "utf-16-le"]),
        (b"\xef\xbb\xbfThe light\nis", []),
        (b"The light\r\nis", []),
        (b"The light\ris", []),
        (gzip.compress(b"The light\r\nis", mtime=0), []),
        (b"The light\n\xffis", ["--encoding-errors", "ignore"]),
    ],
    ids=str,
)
def test_prompts_are_read_as_texts_are(
    run: Run, place: Path, data: bytes, options: list[str]
) -> None:
    expected = run("sample", "play", "--prompt", "The light\nis", *SHORT).stdout
    (place / "prompt").write_bytes(data)
    for file, stdin in (("prompt", None), ("-", data)):
        result = run("sample", "play", "--prompt-file", file, *options, *SHORT, stdin=stdin)
        assert (result.stdout, result.stderr) == (expected, "")


def test_line_ends_and_case_of_options(run: Run) -> None:
    expected = run("sample", "play", "--prompt", "so\nit", *SHORT).stdout
    assert run("sample", "play", "--prompt", "so\r\nit", *SHORT).stdout == expected
    lower = run("sample", "lower", "--prompt", "martha:", *SHORT).stdout
    result = run("sample", "lower", "--prompt", "MARTHA:", *SHORT)
    assert (result.stdout, result.stderr) == (lower, "")
    stop = lower[12:14]
    cut = run("sample", "lower", "--prompt", "martha:", *SHORT, "--stop", stop.upper()).stdout
    assert cut == lower[: lower.index(stop, 7)]
    filled = run("fill", "both", "MAR_HA\r\n_", "--seed", 1)
    assert filled.stdout == run("fill", "both", "mar_ha\n_", "--seed", 1).stdout
    assert filled.stdout.startswith("mar")


def test_dynamic_reads_the_prompt_by_the_same_rules(run: Run) -> None:
    arguments = ("sample", "lower", "--dynamic", *SHORT, "--prompt")
    result = run(*arguments, "MARTHA:\r\nThe light")
    assert result.returncode == 0, result.stderr
    assert result.stdout == run(*arguments, "martha:\nthe light").stdout


def test_eval_reads_by_the_same_rules(run: Run, place: Path) -> None:
    records = []
    for data in (b"the light\nis low\n", b"THE Light\r\nis low\r\n"):
        (place / "other").write_bytes(data)
        (place / "other.gz").write_bytes(gzip.compress(data))
        for name in ("other", "other.gz"):
            record = json.loads(run("eval", "lower", name, "--json").stdout)
            records.append((record["characters"], record["nats_per_char"]))
    assert len(set(records)) == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--encoding", "cp1252"),
        ("--encoding-errors", "ignore"),
        ("--glob", "*.md"),
        ("--exclude", "draft*"),
        ("--unknown", "error"),
        ("--unknown", "wrong"),
    ],
)
def test_eval_of_the_run_s_own_text_has_no_options_of_reading(
    run: Run, option: str, value: str
) -> None:
    assert_clear(run("eval", "play", option, value), 2, option, "TEXTS")


def test_a_missing_text_to_fill_in_is_told_from_a_wrong_model(run: Run, place: Path) -> None:
    assert_clear(run("fill", "play"), 2, "no blank (_)", "'play'")
    assert_clear(run("fill", "play", "The_"), 1, "play", "not bidirectional")
    assert_clear(run("sample", "both"), 1, "both", "charlstm fill")


def test_a_position_in_a_text_to_fill_in_counts_from_its_beginning(run: Run) -> None:
    for unknown in ("error", "map"):
        result = run("fill", "both", "The_l_\u65e5", "--unknown", unknown)
        assert_clear(result, 1, "U+65E5", "position 6")


def test_escapes_of_a_blank(run: Run) -> None:
    result = run("fill", "both", r"the\tend", "--blank", r"\t", "--escapes", "--seed", 1)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout) == len("the_end\n")


def test_a_final_newline(run: Run) -> None:
    def prompt_of(data: bytes) -> tuple[str, str]:
        arguments = ("sample", "play", "--prompt-file", "-", "--json", "--length", 1)
        result = run(*arguments, stdin=data)
        return json.loads(result.stdout)["prompt"], result.stderr

    assert prompt_of(b"The light \n") == ("The light ", "")
    assert prompt_of(b"The light \r\n") == ("The light ", "")
    assert prompt_of(b"The light") == ("The light", "")
    assert prompt_of(b"The\nlight") == ("The\nlight", "")
    assert prompt_of(b"\n") == ("", "")
    prompt, notice = prompt_of(b"The\nlight\n")
    assert prompt == "The\nlight\n"
    assert "final newline is kept" in notice
    filled = run("fill", "both", "-", "--seed", 1, stdin=b"the _ight\n")
    assert len(filled.stdout) == len("the _ight\n")


def test_an_encoding_is_for_a_file(run: Run) -> None:
    arguments = ("--encoding", "utf-16")
    assert_clear(run("sample", "play", *arguments), 2, "--encoding", "--prompt-file")
    assert_clear(run("fill", "both", "a_", *arguments), 2, "--encoding", "standard input")
    assert_clear(run("sample", "play", "--prompt-file", ".", *arguments), 1, "is a folder")


# Escapes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\n\t\r\0\\n", "\n\t\r\0\\n"),
        (r"\x41\u00e9\U0001F600", "A\u00e9\U0001f600"),
        ("plain", "plain"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    assert inputs.read_escapes(text, "--stop", True) == expected
    assert inputs.read_escapes(text, "--stop", False) == text
    assert inputs.read_escapes(text, "--stop", None) == text


@pytest.mark.parametrize("text", ["\\q", "a\\", r"\x4", r"\u12", r"\U00110000"])
def test_what_is_no_escape(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--stop has .*allowed: "):
        inputs.read_escapes(text, "--stop", True)


def test_escapes_of_a_model_without_a_backslash(run: Run) -> None:
    expected = run("sample", "play", "--prompt", "so\nit", "--stop", "\n", *SHORT).stdout
    arguments = ("sample", "play", "--prompt", r"so\nit", *SHORT)
    result = run(*arguments, "--stop", r"\n", "--escapes")
    assert (result.stdout, result.stderr) == (expected, "")
    assert_clear(run(*arguments), 2, "--prompt has '\\n'", "--escapes")
    for unknown in ("error", "skip", "replace", "map"):
        failed = run("sample", "play", "--stop", r"\n", "--unknown", unknown)
        assert_clear(failed, 2, "--stop '\\n'", "cannot write", "--escapes")
    assert_clear(run("fill", "both", r"a\n_"), 2, "the text has '\\n'", "--escapes")
    filled = run("fill", "both", r"a\n_", "--escapes", "--seed", 1).stdout
    assert filled == run("fill", "both", "a\n_", "--seed", 1).stdout


def test_escapes_of_a_model_with_a_backslash(run: Run) -> None:
    arguments = ("sample", "code", "--seed", 1, "--length", 100, "--prompt", r"puts(a\n")
    noticed = run(*arguments, "--stop", r"\n")
    assert noticed.stdout.startswith(r"puts(a\n")
    assert "two characters" in noticed.stderr
    assert "--escapes" in noticed.stderr
    literal = run(*arguments, "--stop", r"\n", "--no-escapes")
    assert (literal.stdout, literal.stderr) == (noticed.stdout, "")
    assert run(*arguments).stderr == ""  # a prompt of code is full of them
    escaped = run(*arguments, "--stop", r"\n", "--escapes").stdout
    assert escaped.startswith("puts(a\n")
    assert "\n" not in escaped[7:]


# Long prompts


def test_a_long_prompt_shows_its_progress_and_can_be_stopped(place: Path) -> None:
    # A cell that compiled code does not know takes half a minute for so many characters.
    save_model(place / "gru", make_model("ab", cell="gru"))
    (place / "long").write_text("ab" * 1_500_000)
    script = "from charlstm.__main__ import main; main()"
    arguments = [sys.executable, "-c", script, "sample", "gru", "--prompt-file", "long"]
    primary, secondary = pty.openpty()
    with subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=secondary, cwd=place
    ) as process:
        os.close(secondary)
        read_terminal(primary, until=b"reading the prompt")
        process.send_signal(signal.SIGINT)
        shown = read_terminal(primary)
    assert process.returncode == 130
    assert b"stopped" in shown


def test_progress_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter(range(0, 100, 6))
    with reading_prompt(10_000, lambda: next(times)) as progress:
        for done in (2000, 4000, 6000, 8000, 10_000):
            progress(done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # ten seconds apart at least
    assert "4,000 of 10,000 characters, 0:18 left" in lines[0]


def test_progress_of_reading_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks: list[int] = []
    for quiet, expected in ((False, 2), (True, 0)):
        times = itertools.count(0, 6).__next__
        with reading(quiet, lambda: checks.append(1), times) as progress:
            for done in (2000, 4000, 6000, 8000, 10_000):
                progress("counting", done)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == expected
        assert lines[:1] == ["counting: 4,000 characters"][:expected]
    assert len(checks) == 10


@pytest.mark.parametrize(("direction", "window"), [("forward", 0), ("forward", 7), ("both", 0)])
@pytest.mark.parametrize("size", [50, 9001])
def test_scoring_reports_its_progress(direction: str, window: int, size: int) -> None:
    model = make_model("ab", direction)
    done: list[int] = []
    ids = model.texts.encode("ab" * (size // 2) + "a" * (size % 2), "error")
    score = model.score_ids(ids, cold_window=window, progress=done.append)
    assert done == sorted(done)
    assert done[-1] == score.count
    assert model.score_ids(ids, cold_window=window) == score


def test_eval_shows_the_progress_of_all_its_parts(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clock makes each report due."""
    (place / "some.txt").write_text("The light\n" * 10)
    clock = itertools.count(0, 20)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    for name in ("counting", "reading"):
        function = functools.partial(getattr(progress_module, name), clock=time.monotonic)
        monkeypatch.setattr(evaluate, name, function)
    arguments = [str(place / "play"), str(place / "some.txt"), "--dynamic"]
    evaluate.command.main(arguments, standalone_mode=False, **main.context_settings)
    shown = capsys.readouterr().err
    for words in (
        "encoding: 100 characters",
        "evaluating: 50 of",
        "evaluating with --dynamic: 33 of",
    ):
        assert words in shown


def test_time_left_does_not_count_what_comes_before_the_first_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([0, 20, 31])  # seconds; the first 20 load code
    with counting(1000, "reading", lambda: next(times)) as progress:
        progress(100)
        progress(320)
    assert capsys.readouterr().err.splitlines() == [
        "reading: 100 of 1,000 characters",
        "reading: 320 of 1,000 characters, 0:34 left",
    ]


@pytest.mark.parametrize("count", [1, 3])
def test_writing_and_filling_report_their_progress(count: int) -> None:
    done: list[int] = []
    make_model("ab").samples(count, length=5, seed=1, written=done.append)
    assert done == [count * n for n in range(1, 6)]
    done.clear()
    make_model("ab", "both").fill("a_b_", count, sweeps=2, seed=1, progress=done.append)
    assert done == [4 * count * n for n in range(1, 4)]


def test_dynamic_reports_its_progress() -> None:
    model = make_model("ab")
    done: list[int] = []
    after_reading(model, "ab" * 40, "error", DynamicConfig(), done.append)
    assert done == [33, 65, 80]


# Characters that the model does not know


def test_unknown_map(run: Run, place: Path) -> None:
    plain = run("sample", "play", "--prompt", "I'm...", *SHORT).stdout
    arguments = ("--prompt", "I\u2019m\u2026", *SHORT)
    failed = run("sample", "play", *arguments)
    assert_clear(failed, 1, "'\u2019' (U+2019) at position 1", 'its text has "\'"', "--unknown map")
    result = run("sample", "play", *arguments, "--unknown", "map")
    assert result.stdout == plain
    assert "'\u2019' as \"'\"" in result.stderr
    assert "'\u2026' as '...'" in result.stderr

    filled = run("fill", "both", "I\u2019_", "--unknown", "map", "--seed", 1)
    assert filled.stdout == run("fill", "both", "i'_", "--seed", 1).stdout
    assert "'\u2019' as" in filled.stderr

    (place / "plain.txt").write_text("I'm so...\n" * 300)
    (place / "typographic.txt").write_text("I\u2019m so\u2026\n" * 300)
    assert_clear(run("eval", "play", "typographic.txt"), 1, "position 1 of typographic.txt")
    mapped = run("eval", "play", "typographic.txt", "--unknown", "map", "--json")
    record = json.loads(mapped.stdout)
    expected = json.loads(run("eval", "play", "plain.txt", "--json").stdout)
    assert record["nats_per_char"] == expected["nats_per_char"]
    assert record["unknown_characters"] == 600
    assert "600 unknown characters" in mapped.stderr


def test_stop_texts_are_mapped(run: Run) -> None:
    arguments = ("sample", "play", "--length", 200, "--seed", 4)
    failed = run(*arguments, "--stop", "\u2019", "--unknown", "skip")
    assert_clear(failed, 2, "--stop '\u2019'", "cannot write", "--unknown map")
    result = run(*arguments, "--stop", "\u2019", "--unknown", "map")
    assert result.stdout == run(*arguments, "--stop", "'").stdout
    assert "'\u2019' as" in result.stderr


# What is written


def test_texts_into_a_pipe(run: Run) -> None:
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
