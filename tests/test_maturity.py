"""When a model counts as hardly trained, and who is told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.format.progress import Progress
from charlstm.runs.maturity import FEW_STEPS, hardly_trained
from charlstm.text.entropy import unigram_nats
from charlstm.text.parts import Part
from tests.conftest import TINY, Program


def meta(step: int, best: float | None, unigram: float | None = 3.0, **more: Any) -> dict[str, Any]:
    corpus = {} if unigram is None else {"unigram_nats": unigram}
    progress = {"step": step, "best_nats": best, "epoch_nats": 0.0, "epoch_chars": 0, **more}
    assert progress.keys() <= Progress().to_json().keys()
    return {"progress": progress, "corpus": corpus, "tokenizer": {"characters": "abcdefghij"}}


@pytest.mark.parametrize(
    ("contents", "words"),
    [
        (meta(0, None), ["0 steps"]),
        (meta(1, 1.0), ["1 step "]),
        (meta(FEW_STEPS - 1, 1.0), [f"{FEW_STEPS - 1} steps"]),
        (meta(1000, 4.1), ["1,000 steps", "4.10", "3.00"]),
        (meta(1000, 2.95), ["2.95"]),
        (meta(1000, None, epoch_nats=400.0, epoch_chars=100), ["4.00"]),
        (meta(1000, 0.2, 0.0), ["0.20"]),
        (meta(1000, 2.3, None), ["2.30", "equal"]),  # of an older version
    ],
)
def test_hardly_trained(contents: dict[str, Any], words: list[str]) -> None:
    for word in words:
        assert word in hardly_trained(contents)


@pytest.mark.parametrize(
    "contents",
    [
        meta(FEW_STEPS, 2.8),
        meta(1000, None),
        meta(1000, None, epoch_nats=250.0, epoch_chars=100),
        meta(1000, 0.01, 0.0),
        meta(1000, 2.1, None),
        {},
        {"progress": None},
        {"progress": {"step": "x"}},
        {"progress": {"step": 1000, "best_nats": math.nan, "epoch_nats": "x", "epoch_chars": 3}},
        {"progress": {"step": 1000, "best_nats": 1.0}, "corpus": {"unigram_nats": "x"}},
    ],
    ids=str,
)
def test_trained_or_unknown(contents: dict[str, Any]) -> None:
    assert hardly_trained(contents) == ""


def test_unigram_nats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("charlstm.text.entropy._CHUNK", 3)
    assert unigram_nats(Part.whole(np.array([0, 1, 1, 0], dtype=np.uint8)), 5) == pytest.approx(
        math.log(2)
    )
    assert unigram_nats(Part.whole(np.array([2, 2], dtype=np.uint16)), 3) == 0
    assert unigram_nats(Part.whole(np.array([], dtype=np.uint8)), 3) == 0


@pytest.mark.parametrize("options", [["--minutes", 0.0001], ["--epochs", 1, "--maxlen", 1500]])
def test_a_run_of_no_or_few_steps(
    program: Program, corpus_file: Path, tmp_path: Path, options: list[Any]
) -> None:
    corpus_file.write_text(corpus_file.read_text("utf-8")[:2000], "utf-8")
    done = program("train", corpus_file.name, *TINY, *options, "--grow", 0, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["step"] < FEW_STEPS
    assert summary["hardly_trained"] is True
    assert "hardly trained" in done.stderr
    assert "charlstm sample" not in done.stderr
    assert "--resume checkpoints/play --more-minutes 5" in done.stderr
    assert (tmp_path / "checkpoints" / "play" / "best.npz").exists() == (summary["step"] > 0)
    sample = program("sample", "--length", 5)
    assert sample.returncode == 0
    assert len(sample.stdout) == 5
    assert "hardly trained" in sample.stderr
    assert "charlstm train --resume checkpoints/play --more-minutes 5" in sample.stderr
    assert json.loads(program("info", "--json").stdout)["progress"]["hardly_trained"] is True


def test_a_trained_run_is_not_warned_of(program: Program, trained: Path) -> None:
    sample = program("sample", trained / "checkpoints" / "play", "--length", 5)
    assert sample.stderr == ""
