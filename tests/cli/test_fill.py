"""`charlstm fill`, and how other commands report a model that reads both ways."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import TINY, assert_clear, run_program


@pytest.fixture(scope="session")
def both_ways(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A folder with a run that reads both ways."""
    folder = tmp_path_factory.mktemp("both")
    (folder / "play.txt").write_text(text, "utf-8")
    result = run_program(
        "train", "play.txt", *TINY, "--direction", "both", "--epochs", 2, "--json", cwd=folder
    )
    assert result.returncode == 0, result.stderr
    assert "bidirectional" in result.stderr
    assert "charlstm fill checkpoints/play" in result.stderr
    assert json.loads(result.stdout)["best_pseudo_nats_per_char"] > 0
    return folder


def test_fill(both_ways: Path) -> None:
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_program("fill", *arguments, cwd=both_ways)

    text = "The l_ght is ___."
    first = call("play", text, "--seed", 3)
    assert first.returncode == 0, first.stderr
    assert first.stdout == call(text, "--seed", 3).stdout
    assert len(first.stdout.rstrip("\n")) == len(text)
    assert first.stdout.startswith("The l")
    assert "_" not in first.stdout
    several = call(text, "-n", 3, "--json", "--temp", 1.5, "--sweeps", 2, "--blank", "_")
    records = [json.loads(line) for line in several.stdout.splitlines()]
    assert [record["index"] for record in records] == [0, 1, 2]
    assert_clear(call("play", "The light"), 2, "no blank (_)", "--blank", "goes before the text")
    assert_clear(call("play"), 2, "no blank (_)", "'play'")
    assert_clear(call("play", "--seed", 3, "--", "-x_"), 1, "does not know the character '-'")
    skipped = call("play", "Th\u2026_", "--unknown", "skip")
    assert len(skipped.stdout) == 4
    assert "1 unknown character omitted" in skipped.stderr
    piped = run_program("fill", "play", "-", "--seed", 3, cwd=both_ways, stdin=text.encode())
    assert piped.stdout == first.stdout
    assert_clear(call(), 2, "charlstm fill RUN")
    assert_clear(call("a", "b", "c"), 2, "charlstm fill RUN")
    assert_clear(call("play", "a_", "--sweeps", -1), 2, "--sweeps -1")
    assert_clear(call("nowhere", "a_"), 1, "'nowhere' is not a run")


def test_both_ways_is_reported_as_what_it_is(both_ways: Path) -> None:
    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        return run_program(*arguments, cwd=both_ways)

    assert_clear(call("sample"), 1, "bidirectional", "charlstm fill")
    assert_clear(call("eval", "--protocol", "cold"), 1, "bidirectional", "Omit it")
    result = call("eval", "--json")
    record = json.loads(result.stdout)
    assert "nats_per_char" not in record
    assert "cannot be compared" in call("eval").stderr
    info = json.loads(call("info", "--json").stdout)["progress"]
    assert info["best_pseudo_nats_per_char"] == pytest.approx(
        record["pseudo_nats_per_char"], abs=1e-5
    )
    (run,) = map(json.loads, call("runs", "--json").stdout.splitlines())
    assert run["nats_per_char"] is None
    assert run["pseudo_nats_per_char"] == info["best_pseudo_nats_per_char"]
    assert "pseudo" in call("runs").stdout


def test_fill_needs_a_model_that_reads_both_ways(trained: Path) -> None:
    result = run_program("fill", "play", "a_", cwd=trained)
    assert_clear(result, 1, "not bidirectional", "--direction both")
