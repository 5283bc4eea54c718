"""The estimate of a training's memory, and the error where it cannot fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from charlstm.config import Config
from charlstm.errors import MemoryLimitError
from charlstm.training import footprint
from charlstm.training.footprint import check_memory, training_bytes
from charlstm.training.process_group import ProcessGroup
from tests.test_architecture import ROOT

CPU = torch.device("cpu")
LARGE = {"num_layers": 2, "hidden_size": 2048, "batch_size": 8, "maxlen": 128}
LONG = {"num_layers": 1, "hidden_size": 128, "batch_size": 512, "maxlen": 512}


def config_of(**options: object) -> Config:
    return Config().override({"precision": "float32", "kernel": "torch", **options})


def test_the_estimate() -> None:
    """The weights of one cell by hand: 4 H (V + H + 1) + V (H + 1), in 26 bytes each."""
    options = {"num_layers": 1, "hidden_size": 10, "batch_size": 3, "maxlen": 7, "embedding": 0}
    weights, activations = training_bytes(config_of(cell="lstm", **options), 5)
    assert weights == 26 * (40 * (5 + 10 + 1) + 5 * 11)
    assert activations == 21 * (57 * 10 + 24 * 5)
    assert training_bytes(config_of(optimizer="sgd", cell="lstm", **options), 5)[0] < weights
    assert training_bytes(config_of(cell="lstm", **options), 5, processes=2)[0] == 2 * weights
    both = training_bytes(config_of(cell="lstm", direction="both", **options), 5)
    assert both[1] == 21 * (57 * 20 + 24 * 5)


def check(available: int, monkeypatch: pytest.MonkeyPatch, **options: object) -> list[str]:
    notices: list[str] = []
    monkeypatch.setattr(footprint, "available_memory", lambda: available)
    check_memory(config_of(**options), 64, CPU, ProcessGroup(), notices.append)
    return notices


def test_what_cannot_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        MemoryLimitError, match="Lower --hidden-size or --layers, then --batch"
    ) as e:
        check(500_000_000, monkeypatch, **LARGE)
    assert "0.5 GB is available" in str(e.value)
    assert "--precision bfloat16" in str(e.value)
    with pytest.raises(
        MemoryLimitError, match="Lower --batch-size or --maxlen, then --hidden"
    ) as e:
        check(500_000_000, monkeypatch, **LONG, precision="bfloat16")
    assert "--precision" not in str(e.value)


def test_what_may_not_fit_and_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = sum(training_bytes(config_of(**LARGE), 64))
    assert check(needed, monkeypatch, **LARGE) == []
    (notice,) = check(int(0.9 * needed), monkeypatch, **LARGE)
    assert "may need about" in notice


def test_gpus_and_unknown_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    for device, available in ((torch.device("cuda"), 1), (CPU, None)):
        monkeypatch.setattr(footprint, "available_memory", lambda available=available: available)
        check_memory(config_of(**LARGE), 64, device, ProcessGroup(), pytest.fail)


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of memory that Linux enforces")
def test_a_real_limit(corpus_file: Path, tmp_path: Path) -> None:
    """The same command fails before training under a limit of 2 GB; nothing is left behind."""
    import resource

    command = [
        sys.executable, "-m", "charlstm", "train", str(corpus_file), "--hidden-size", "4096",
        "--layers", "2", "--batch-size", "4", "--maxlen", "8", "--precision", "float32",
        "--kernel", "torch", "--runs-dir", str(tmp_path / "runs"), "--epochs", "1",
    ]  # fmt: skip
    limit = 2_000_000_000
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )  # fmt: skip
    assert result.returncode == 1
    assert "Error: this training needs about" in result.stderr
    assert "--hidden-size" in result.stderr
    assert not (tmp_path / "runs").exists()
