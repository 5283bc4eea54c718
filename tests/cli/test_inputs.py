"""Texts given to `sample`, `fill` and `eval`, and how texts are written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from charlstm.cli import inputs
from charlstm.errors import ConfigError
from tests.conftest import Program, assert_clear

SHORT = ("--length", 25, "--seed", 4)


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
    run: Program, place: Path, data: bytes, options: list[str]
) -> None:
    expected = run("sample", "play", "--prompt", "The light\nis", *SHORT).stdout
    (place / "prompt").write_bytes(data)
    for file, stdin in (("prompt", None), ("-", data)):
        result = run("sample", "play", "--prompt-file", file, *options, *SHORT, stdin=stdin)
        assert (result.stdout, result.stderr) == (expected, "")


def test_line_ends_and_case_of_options(run: Program) -> None:
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


def test_dynamic_reads_the_prompt_by_the_same_rules(run: Program) -> None:
    arguments = ("sample", "lower", "--dynamic", *SHORT, "--prompt")
    result = run(*arguments, "MARTHA:\r\nThe light")
    assert result.returncode == 0, result.stderr
    assert result.stdout == run(*arguments, "martha:\nthe light").stdout


def test_eval_reads_by_the_same_rules(run: Program, place: Path) -> None:
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
    run: Program, option: str, value: str
) -> None:
    assert_clear(run("eval", "play", option, value), 2, option, "TEXTS")


def test_a_missing_text_to_fill_in_is_told_from_a_wrong_model(run: Program, place: Path) -> None:
    assert_clear(run("fill", "play"), 2, "no blank (_)", "'play'")
    assert_clear(run("fill", "play", "The_"), 1, "play", "not bidirectional")
    assert_clear(run("sample", "both"), 1, "both", "charlstm fill")


def test_a_position_in_a_text_to_fill_in_counts_from_its_beginning(run: Program) -> None:
    for unknown in ("error", "map"):
        result = run("fill", "both", "The_l_\u65e5", "--unknown", unknown)
        assert_clear(result, 1, "U+65E5", "position 6")


def test_escapes_of_a_blank(run: Program) -> None:
    result = run("fill", "both", r"the\tend", "--blank", r"\t", "--escapes", "--seed", 1)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout) == len("the_end\n")


def test_a_final_newline(run: Program) -> None:
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


def test_an_encoding_is_for_a_file(run: Program) -> None:
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


def test_escapes_of_a_model_without_a_backslash(run: Program) -> None:
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


def test_escapes_of_a_model_with_a_backslash(run: Program) -> None:
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


# Characters that the model does not know


def test_unknown_map(run: Program, place: Path) -> None:
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


def test_stop_texts_are_mapped(run: Program) -> None:
    arguments = ("sample", "play", "--length", 200, "--seed", 4)
    failed = run(*arguments, "--stop", "\u2019", "--unknown", "skip")
    assert_clear(failed, 2, "--stop '\u2019'", "cannot write", "--unknown map")
    result = run(*arguments, "--stop", "\u2019", "--unknown", "map")
    assert result.stdout == run(*arguments, "--stop", "'").stdout
    assert "'\u2019' as" in result.stderr
