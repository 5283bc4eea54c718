"""--documents on the command line: what is trained, written, scored and shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from charlstm.config import TextConfig
from charlstm.text.hints import hints
from charlstm.text.sources import Source
from charlstm.text.tokenizer import CharTokenizer
from tests.conftest import TINY, Program

NAMES = [f"{a} {b}" for a in ("Anna", "Bob", "Ida") for b in ("Li", "Fox", "Ott", "Weber")] * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with texts of documents."""
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n\n\n")
    paragraphs = "\n\n".join(f"{name}\nis here" for name in NAMES)
    (tmp_path / "poems.txt").write_text(paragraphs)
    (tmp_path / "cookies.txt").write_text("\n%\n".join(NAMES))
    return tmp_path


def train(program: Program, text: str, kind: str, name: str) -> str:
    result = program("train", text, "--documents", kind, "--name", name, "--epochs", "1", *TINY)
    assert result.returncode == 0, result.stderr
    return result.stderr


def test_lines(program: Program, folder: Path) -> None:
    said = train(program, "names.txt", "line", "x")
    assert "36 documents, 3 held out for validation; 2 empty ones omitted." in said
    result = program("sample", "x", "-n", "5", "--seed", "1", "--length", "12")
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == result.stdout.count("\n") == 5
    assert "\0" not in result.stdout
    records = [
        json.loads(line)
        for line in program(
            "sample", "x", "-n", "30", "--seed", "1", "--length", "12", "--json", "--temp", "3"
        ).stdout.splitlines()
    ]
    assert {record["finish"] for record in records} == {"end", "length"}
    for record in records:
        assert (len(record["text"]) == 12) or record["finish"] == "end"
    shown = program("info", "x").stdout
    assert "36" in next(line for line in shown.splitlines() if line.startswith("documents"))
    assert "\0" not in shown
    facts = json.loads(program("info", "x", "--json").stdout)
    assert facts["held_out"]["documents"] == 36
    assert facts["held_out"]["val"] == 3
    assert "\0" not in facts["characters"]


def test_eval_scores_documents_of_any_text(program: Program, folder: Path) -> None:
    train(program, "names.txt", "line", "x")
    (folder / "two.txt").write_text("\nAnna Li\n\nBob Ott")
    facts = json.loads(program("eval", "x", "two.txt", "--json").stdout)
    assert (facts["documents"], facts["characters"]) == (2, 16)
    table = program("eval", "x").stdout
    assert "3, each from its beginning, ends count" in table
    parts = {
        part: json.loads(program("eval", "x", "--split", part, "--json").stdout)
        for part in ("val", "train")
    }
    whole = json.loads(program("eval", "x", "names.txt", "--json").stdout)
    assert sum(part["documents"] for part in parts.values()) == whole["documents"] == 36
    nats = sum(part["nats_per_char"] * part["characters"] for part in parts.values())
    assert whole["nats_per_char"] * whole["characters"] == pytest.approx(nats, rel=1e-5)
    unknown = program("eval", "x", "two.txt", "--unknown", "map", "--json")
    assert json.loads(unknown.stdout)["nats_per_char"] == pytest.approx(facts["nats_per_char"])
    (folder / "none.txt").write_text("\n \n")
    result = program("eval", "x", "none.txt")
    assert result.returncode == 1
    assert "no document" in result.stderr
    (folder / "bad.txt").write_text("Anna Li\nBob @tt\n")
    result = program("eval", "x", "bad.txt")
    assert result.returncode == 1
    assert "'@'" in result.stderr


def test_blank_lines_separators_and_dynamic(program: Program, folder: Path) -> None:
    train(program, "poems.txt", "blank-line", "x")
    result = program("sample", "x", "-n", "3", "--seed", "1", "--length", "5")
    assert result.stdout.endswith("\n\n")
    train(program, "cookies.txt", r"%\n", "y")
    result = program("sample", "y", "--prompt", "An", "--dynamic", "--seed", "1", "--length", "9")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("An")
    dynamic = json.loads(program("eval", "y", "--dynamic", "--json").stdout)
    assert dynamic["documents"] == 3
    assert dynamic["dynamic_nats_per_char"] > 0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("@@", "--documents @@: this separator never occurs"),
        ("file", "one document"),
        ("", "empty"),
    ],
)
def test_errors(program: Program, folder: Path, kind: str, message: str) -> None:
    result = program("train", "names.txt", "--documents", kind, "--name", "x", *TINY)
    assert result.returncode in (1, 2)
    begun, _, error = result.stderr.rpartition("Error: ")
    assert message in error
    assert len(error.strip().splitlines()) <= 2
    assert begun in ("", "starting: loading PyTorch\n")
    assert not (folder / "checkpoints").exists()


def suggested(folder: Path, text: str, kind: str = "auto") -> str:
    (folder / "t.txt").write_text(text)
    sources = [Source("t.txt", folder / "t.txt")]
    return " ".join(hints(sources, CharTokenizer.from_text(text), TextConfig(documents=kind)))


def test_a_list_of_lines_is_reported_and_prose_is_not(folder: Path) -> None:
    names = "".join(f"{name}{number}\n" for number in range(20) for name in NAMES[:12])
    said = suggested(folder, names)
    assert "240 short documents, one per line. --documents line" in said
    for kind in ("none", "line", "blank-line"):
        assert not suggested(folder, names, kind)
    prose = "the light is low and the wind, which is from the north, has come\n" * 300
    code = "def f():\n    return 1\n\n\n" * 200
    verse = "the light is low\nand the wind is from the north\n\n" * 200
    for text in (prose, code, verse, names[:1000]):
        assert not suggested(folder, text)
