"""`charlstm check`: the same doors as `train`, the screen, JSON, and exit codes."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import charlstm
from charlstm.cli import main
from charlstm.errors import ArgumentTypeError, ConfigError, CorpusError, SourceError
from tests.conftest import TINY, Program, assert_clear

QUICK = ["--no-speed-test"]
BAD = "a line\twith a soft\u00adhyphen\n"


def check(program: Program, *arguments: object, **options: Any) -> dict[str, Any]:
    result = program("check", *arguments, "--json", *QUICK, **options)
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_clean_text(program: Program, corpus_file: Path, text: str) -> None:
    result = program("check", corpus_file.name, "--strict", *QUICK)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) < 40
    assert f"{len(text):,} characters" in lines[0]
    assert lines[-1] == "Nothing to mend."
    for word in ("lines", "characters", "rare", "repeated", "held out", "entropy", "compressed"):
        assert any(line.startswith(word) for line in lines)
    assert sum("coupled 1x" in line for line in lines) == 3
    assert "is assumed" in result.stdout


def test_findings_and_strict(program: Program, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text + BAD, "utf-8")
    result = program("check", "x.txt", *QUICK)
    assert result.returncode == 0
    assert f"U+00AD once from x.txt:{text.count(chr(10)) + 1}" in result.stdout
    assert "dict.fromkeys([0xad])" in result.stdout
    strict = program("check", "x.txt", "--strict", *QUICK)
    assert (strict.returncode, strict.stdout) == (3, result.stdout)
    in_json = program("check", "x.txt", "--strict", "--json", *QUICK)
    assert in_json.returncode == 3
    (finding,) = json.loads(in_json.stdout)["findings"]
    assert set(finding) == {"kind", "what", "mend", "file", "line"}
    assert (finding["kind"], finding["file"]) == ("invisible", "x.txt")


def test_json(program: Program, corpus_file: Path, text: str) -> None:
    found = check(program, corpus_file.name)
    assert found["num_chars"] == len(text)
    assert found["distinct"] == len(set(text))
    assert [plan["minutes"] for plan in found["plans"]] == [1, 5, 20]
    assert found["expected"]["low"] < found["expected"]["expected"] < found["expected"]["high"]
    assert len(found["entropies"]) == 6
    assert set(found["compressed"]) == {"gzip", "bzip2", "xz"}
    assert all(set(one) >= {"code_point", "name", "count", "line"} for one in found["rare"])
    assert sum(kind["characters"] for kind in found["scripts"].values()) == len(text)
    (plan,) = check(program, corpus_file.name, "--minutes", 3)["plans"]
    assert plan["minutes"] == 3
    assert 0 < plan["seconds"] <= 180


def test_the_same_doors_as_train(program: Program, tmp_path: Path, text: str) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text(text[:1000])
    (notes / "b.md").write_text(text[1000:2000])
    (notes / "draft.txt").write_text(BAD)
    (tmp_path / "more.gz").write_bytes(gzip.compress(text[2000:3000].encode()))
    arguments = ["notes", "more.gz", "-", "--glob", "*.md", "--glob", "*.txt"]
    found = check(program, *arguments, "--exclude", "draft*", stdin=text[3000:4000].encode())
    assert found["num_files"] == 4
    assert 4000 <= found["num_chars"] <= 4004
    assert found["findings"] == []
    all_of_it = check(program, *arguments, stdin=text[3000:4000].encode())
    assert [finding["kind"] for finding in all_of_it["findings"]] == ["invisible"]
    assert all_of_it["findings"][0]["file"] == "notes/draft.txt"
    (tmp_path / "w.txt").write_bytes((text + "\u00e9\n").encode("cp1252"))
    assert check(program, "w.txt", "--encoding", "cp1252")["distinct"] == len(set(text)) + 1
    assert check(program, "w.txt", "--encoding-errors", "ignore")["num_chars"] == len(text) + 1
    assert check(program, "w.txt", "--encoding", "cp1252", "--lowercase")["vocab_size"] < 50
    shown = program("check", "notes", "--exclude", "nothing", *QUICK)
    assert "notes: 2 files; 1 skipped" in shown.stderr
    assert "--exclude nothing has no effect" in shown.stderr


def test_documents(program: Program, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = check(program, "x.txt", "--documents", "line")
    assert found["documents"] == {
        "count": len(lines),
        "chars": sum(len(line) + 1 for line in lines),
        "shortest": min(map(len, lines)),
        "longest": max(map(len, lines)),
        "empty": sum(not line.strip() for line in text.splitlines()),
    }
    assert found["split"] == "documents"
    shown = program("check", "x.txt", "--documents", "line", *QUICK).stdout
    assert f"{len(lines):,}, of " in shown
    assert_clear(program("check", "x.txt", "--documents", "@@", *QUICK), 1, "never occurs")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no text in x.txt"),
        (b"\n\0\n", "NUL"),
        ("\u00e9".encode("latin-1"), "--encoding"),
        (gzip.compress(b"text " * 500)[:30], "ends too early"),
        (b"%PDF-1.7\n1 0 obj\n", "pdftotext"),
    ],
)
def test_a_text_that_cannot_be_read(
    program: Program, tmp_path: Path, content: bytes, words: str
) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    assert_clear(program("check", "x.txt", *QUICK), 1, words)
    assert_clear(program("check", "x.txt", "--strict", "--json", *QUICK), 1, words)


def test_wrong_usage(program: Program, tmp_path: Path) -> None:
    assert_clear(program("check"), 2, "charlstm check corpus.txt")
    assert_clear(program("check", "none.txt"), 1, "none.txt")
    (tmp_path / "x.txt").write_text("abc\n")
    for minutes in ("-1", "0"):  # a training of no time has no plan
        assert_clear(program("check", "x.txt", "--minutes", minutes), 2, "--minutes")
    assert_clear(program("check", "x.txt", "--encoding", "martian"), 2, "--encoding")
    assert_clear(program("check", "x.txt", "--min-count", 9), 2, "--min-count")


@pytest.mark.parametrize(
    "content", ["a", "\n", "\r\n", "ab", "\ufeff", "a" * 5000, "\u4e2d\n" * 99]
)
def test_tiny_and_odd_texts(program: Program, tmp_path: Path, content: str) -> None:
    (tmp_path / "x.txt").write_text(content, "utf-8", newline="")
    for options in ([], ["--documents", "file", "--val-fraction", "0"], ["--keep-newlines"]):
        result = program("check", "x.txt", *options, *QUICK)
        if result.returncode:  # no text, or one document
            assert_clear(result, 1, "text")
            assert options[:1] == ["--documents"] or content == "\ufeff"
        else:
            assert "Nothing to mend" in result.stdout or "\n- " in result.stdout


def test_what_a_text_has_does_not_control_the_terminal(program: Program, tmp_path: Path) -> None:
    name = "x\x1b[31m.txt"
    (tmp_path / name).write_text("\x1b[2Jtext\n" * 5)
    result = program("check", name, *QUICK)
    assert "\x1b" not in result.stdout
    assert json.loads(program("check", name, "--json", *QUICK).stdout)["findings"]


def test_a_speed_test_is_for_the_text(
    corpus_file: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from charlstm.doctor.speeds import Speed

    asked: list[int] = []

    def measure(_on_compile: object, vocab_size: int) -> Speed:
        asked.append(vocab_size)
        return Speed("float32", "compiled", 2, 1e6)

    monkeypatch.setattr("charlstm.training.speed_test.measure_speed", measure)
    shown = CliRunner().invoke(main, ["check", str(corpus_file), "--json"])
    assert shown.exit_code == 0
    assert asked == [len(set(text))]
    found = json.loads(shown.stdout)
    assert found["speed"] == {"chars_per_second": 1e6, "compiled": True, "machine": ""}


def test_train_names_the_check_where_it_warns(program: Program, tmp_path: Path, text: str) -> None:
    (tmp_path / "x.txt").write_text(f"<html><body>{text[:900]}</body></html>")
    (tmp_path / "y.txt").write_text(text[:900])
    for name, count in (("x.txt", 1), ("y.txt", 0)):
        shown = program("train", name, *TINY, "--epochs", 1)
        assert shown.returncode == 0, shown.stderr
        assert shown.stderr.count(f"more about the text: charlstm check {name}") == count


# --- From Python ---


def test_from_python(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_text(text)
    seen: list[tuple[str, int]] = []
    with caplog.at_level(logging.INFO, "charlstm"):
        found = charlstm.check(tmp_path, on_progress=lambda what, done: seen.append((what, done)))
    assert "1 file" in caplog.text
    assert seen == [("checking", len(text))]
    assert found.findings == []
    same = charlstm.check(text=text)
    assert same.entropies == found.entropies
    assert json.loads(json.dumps(same.to_json()))["num_chars"] == len(text)
    assert charlstm.check(text="a\r\nb\rc\n").line_ends == {"CRLF": 1, "CR": 1, "LF": 1}
    kept = charlstm.check(text="a\r\nb\rc\n", keep_newlines=True)
    assert (kept.num_chars, kept.vocab_size) == (7, 5)
    assert charlstm.check(text="a\r\nb\rc\n").num_chars == 6


def test_errors_from_python(tmp_path: Path) -> None:
    with pytest.raises(ArgumentTypeError, match="no option 'unknown'"):
        charlstm.check("x.txt", unknown="skip")  # of separate parts, which a check-up has not
    with pytest.raises(ArgumentTypeError, match="no option"):
        charlstm.check(text="a", colour=3)
    with pytest.raises(ArgumentTypeError, match="text"):
        charlstm.check(text=3)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="not both"):
        charlstm.check("a.txt", text="a")
    with pytest.raises(ConfigError, match="give a text"):
        charlstm.check()
    with pytest.raises(SourceError, match=r"none\.txt"):
        charlstm.check("none.txt")
    with pytest.raises(CorpusError, match="no text"):
        charlstm.check(text="")
