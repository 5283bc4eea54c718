"""`charlstm eval --by`: a row for each line, document or file."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from charlstm.inference.language_model import LanguageModel
from tests.conftest import TINY, Program, assert_clear
from tests.models import make_model, save_model

LINES = ["ab", "cab c", "", "a" * 300, "b"]
TEXT = "\n".join(LINES) + "\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("by")
    for name, direction in (("plain", "forward"), ("both", "both")):
        save_model(folder / name, make_model("abc \n", direction))
    return folder


@pytest.fixture
def place(models: Path, tmp_path: Path) -> Path:
    for name in ("plain", "both"):
        (tmp_path / name).symlink_to(models / name)
    (tmp_path / "x.log").write_text(TEXT, "utf-8")
    (tmp_path / "odd.log").write_text("ab\naXb\n", "utf-8")
    return tmp_path


def records(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_lines_in_their_order(place: Path, program: Program) -> None:
    found = records(program("eval", "plain", "x.log", "--by", "line", "--json"))
    assert [(r["file"], r["line"], r["text"]) for r in found] == [
        ("x.log", n, line) for n, line in enumerate(LINES, 1) if line
    ]
    model = LanguageModel.load(place / "plain")
    for record, score in zip(found, model.score_each(filter(None, LINES)), strict=True):
        assert record["characters"] == len(record["text"]) + 1
        assert record["nats"] == pytest.approx(score.nats, rel=1e-6)
        assert record["bits_per_char"] == pytest.approx(score.bits_per_char, rel=1e-6)
        assert record["peak_bits"] == pytest.approx(score.peak_bits, rel=1e-5)
        assert record["highest_bits"] == pytest.approx(score.highest_bits, rel=1e-5)
        assert record["highest_column"] == score.column
        assert record["highest_character"] == (score.character or None)
        assert record["unknown_characters"] == 0


def test_a_table(place: Path, program: Program) -> None:
    result = program("eval", "plain", "x.log", "--by", "line")
    head, *rows = result.stdout.splitlines()
    assert head.split() == [
        "peaks", "highest", "bits/char", "characters", "nats", "at", "line",
    ]  # fmt: skip
    assert [row.rpartition("x.log:")[2] for row in rows] == [
        "1: ab", "2: cab c", f"4: {'a' * 200}...", "5: b",
    ]  # fmt: skip
    model = LanguageModel.load(place / "plain")
    score = next(model.score_each(["ab"]))
    shown = repr(score.character) if score.character else "end"
    assert rows[0].split()[:7] == [
        f"{score.peak_bits:.2f}", f"{score.highest_bits:.2f}", f"{score.bits_per_char:.4f}", "3",
        f"{score.nats:.2f}", f"{score.column}", shown,
    ]  # fmt: skip
    assert "left out: 1 blank line" in result.stderr


@pytest.mark.parametrize("kind", ["peaks", "highest", "mean", "total"])
def test_top_sort_and_min_bits(place: Path, program: Program, kind: str) -> None:
    def bits(record: dict[str, Any]) -> float:
        total: float = record["nats"] / math.log(2)
        names = {"peaks": "peak_bits", "highest": "highest_bits", "mean": "bits_per_char"}
        return total if kind == "total" else float(record[names[kind]])

    def call(*options: object) -> list[dict[str, Any]]:
        command = ["eval", "plain", "x.log", "--by", "line", "--json", "--score", kind]
        return records(program(*command, *options))

    everything = call("--sort")
    assert everything == sorted(everything, key=lambda record: -bits(record))
    assert call("--top", 2) == everything[:2]
    border = bits(everything[1])
    assert sorted(call("--min-bits", border), key=lambda r: -bits(r)) == everything[:2]
    assert call("--min-bits", border, "--top", 1) == everything[:1]
    assert call("--min-bits", 1e6) == []


def test_documents_and_files(place: Path, program: Program) -> None:
    (place / "docs").mkdir()
    (place / "docs" / "one.txt").write_text("a\nb\n\n\nc\n", "utf-8")
    (place / "docs" / "two.txt").write_text("cc\n", "utf-8")
    by_document = records(program("eval", "plain", "docs", "--by", "document", "--json"))
    assert [(Path(r["file"]).name, r["document"], r["text"]) for r in by_document] == [
        ("one.txt", 1, "a\nb"), ("one.txt", 2, "c"), ("two.txt", 1, "cc"),
    ]  # fmt: skip
    by_file = program("eval", "plain", "docs", "--by", "file", "--json")
    found = records(by_file)
    assert [(Path(r["file"]).name, r["characters"], "text" in r) for r in found] == [
        ("one.txt", 8, False), ("two.txt", 3, False),
    ]  # fmt: skip
    model = LanguageModel.load(place / "plain")
    assert found[0]["nats"] == pytest.approx(model.score("\na\nb\n\n\nc\n").nats, rel=1e-5)
    assert {"highest_line", "highest_column"} <= set(found[0])
    table = program("eval", "plain", "docs", "--by", "file", "--top", 1).stdout
    assert len(table.splitlines()) == 2


def test_a_model_of_documents(trained: Path, tmp_path: Path, program: Program) -> None:
    names = "Anna Li\nBob Ott\nIda Fox\n" * 30
    (tmp_path / "names.txt").write_text(names, "utf-8")
    how = [*TINY, "--documents", "line", "--epochs", "1", "--name", "n"]
    assert program("train", "names.txt", *how).returncode == 0
    whole = json.loads(program("eval", "n", "names.txt", "--json").stdout)
    (file,) = records(program("eval", "n", "names.txt", "--by", "file", "--json"))
    assert file["characters"] == whole["characters"]
    assert file["nats"] / file["characters"] == pytest.approx(whole["nats_per_char"], rel=1e-5)
    assert file["highest_document"] >= 1
    lines = records(program("eval", "n", "names.txt", "--by", "line", "--json"))
    assert sum(r["nats"] for r in lines) == pytest.approx(file["nats"], rel=1e-5)
    documents = records(program("eval", "n", "names.txt", "--by", "document", "--json"))
    assert [r["nats"] for r in documents] == [r["nats"] for r in lines]


def test_a_bidirectional_model(place: Path, program: Program) -> None:
    result = program("eval", "both", "x.log", "--by", "line", "--json")
    assert {"pseudo_nats", "pseudo_bits_per_char", "pseudo_peak_bits"} <= set(records(result)[0])
    assert "cannot be compared" in result.stderr


def test_unknown_characters(place: Path, program: Program) -> None:
    command = ["eval", "plain", "odd.log", "--by", "line", "--json"]
    assert_clear(program(*command), 1, "'X'", "position 1 of odd.log:2", "--unknown")
    result = program(*command, "--unknown", "skip", "--top", 1)
    (record,) = records(result)
    assert (record["line"], record["text"], record["unknown_characters"]) == (2, "aXb", 1)
    assert record["highest_bits"] == pytest.approx(math.log2(154_998))
    assert record["highest_column"] == 2
    assert "1 unknown character omitted: 'X'" in result.stderr


def test_standard_input(place: Path, program: Program) -> None:
    found = records(program("eval", "plain", "-", "--by", "line", "--json", stdin=TEXT.encode()))
    assert [(r["file"], r["line"]) for r in found] == [("standard input", n) for n in (1, 2, 4, 5)]


def start(place: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "charlstm", "eval", "plain", "-", "--by", "line", *arguments],
        cwd=place, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_lines_are_scored_while_they_are_written_until_ctrl_c(place: Path) -> None:
    process = start(place, "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    for line in ("ab", "cab c"):
        process.stdin.write(f"{line}\n".encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["text"] == line  # before the end of the input
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (output, process.returncode) == (b"", 130)
    assert errors.decode().strip() == "Error: stopped."


def test_a_closed_pipe_ends_quietly(place: Path) -> None:
    (place / "long.log").write_text(TEXT * 3000, "utf-8")
    shell = (
        f"set -o pipefail; {sys.executable} -m charlstm eval plain long.log --by line | head -n 2"
    )
    result = subprocess.run(
        ["bash", "-c", shell], cwd=place, capture_output=True, check=False, timeout=60
    )
    assert len(result.stdout.splitlines()) == 2
    assert (result.stderr, result.returncode) == (b"", 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--by", "word"], ["--by 'word'", "line, document, file"]),
        (["--top", 3], ["--top requires --by"]),
        (["--sort"], ["--sort requires --by"]),
        (["--min-bits", 0], ["--min-bits requires --by"]),
        (["--score", "mean"], ["--score requires --by"]),
        (["--by", "line", "--score", "mean"], ["--score requires --top, --sort or --min-bits"]),
        (["--by", "line", "--score", "x", "--sort"], ["--score 'x'", "peaks, highest"]),
        (["--by", "line", "--top", 0], ["--top 0", "1 <= x"]),
        (["--by", "line", "--min-bits", -1], ["--min-bits -1", "0 <= x"]),
        (["--by", "line", "--protocol", "cold"], ["--by does not support --protocol cold"]),
        (["--by", "line", "--dynamic"], ["--by does not support --dynamic"]),
        (["--by", "line", "--split", "val"], ["--by does not support --split"]),
    ],
)
def test_options_that_contradict(
    place: Path, program: Program, arguments: list[object], words: list[str]
) -> None:
    assert_clear(program("eval", "plain", "x.log", *arguments), 2, *words)


def test_nothing_to_score(place: Path, program: Program) -> None:
    assert_clear(program("eval", "plain", "--by", "line"), 2, "--by requires TEXTS")
    (place / "blank.log").write_text("\n \n", "utf-8")
    result = program("eval", "plain", "blank.log", "--by", "line")
    assert_clear(result, 1, "no line to score")
    assert_clear(program("eval", "plain", "none.log", "--by", "line"), 1, "none.log")
    os.remove(place / "blank.log")
