"""Measurements that are kept on disk: what is kept, when, and what is believed."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from charlstm.cli import cache
from charlstm.nn.network import CharLSTM
from charlstm.text.cache import MEASURED_SUFFIX
from charlstm.training import measured
from charlstm.training.device import pick_kernel, pick_precision
from charlstm.training.load import CpuUse
from charlstm.training.measured import Measured

CPU = torch.device("cpu")
IDLE, BUSY = 0.0, 1.5  # processors that other programs use


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "charlstm"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Measured:
    use(monkeypatch, IDLE)
    return Measured(CpuUse.now())


def use(monkeypatch: pytest.MonkeyPatch, others: float) -> None:
    monkeypatch.setattr(measured, "used_by_others", lambda *_: others)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_result_is_kept(folder: Path, kept: Measured) -> None:
    assert kept.choice("kernel", ("torch", "compiled"), cell="lstm") is None
    kept.keep("compiled", "kernel", cell="lstm")
    kept.keep(1234.5, "speed", vocab_size=64)
    assert kept.choice("kernel", ("torch", "compiled"), cell="lstm") == "compiled"
    assert kept.choice("kernel", ("torch", "compiled"), cell="gru") is None
    assert kept.choice("kernel", ("torch",), cell="lstm") is None
    assert kept.speed("speed", vocab_size=64) == 1234.5
    assert kept.speed("speed", vocab_size=65) is None
    assert len(list(folder.iterdir())) == 2
    result = CliRunner().invoke(cache.command, ["--clear"])
    assert result.exit_code == 0
    assert not list(folder.iterdir())


def test_a_busy_machine(folder: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.keep(1234.5, "speed")
    kept.keep("torch", "kernel")
    use(monkeypatch, BUSY)
    assert kept.speed("speed") is None
    assert kept.choice("kernel", ("torch",)) == "torch"  # measured when nothing disturbed it
    kept.keep(5.0, "other")
    Measured(None).keep(6.0, "another")
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff" * 50, b"[" * 300, b"{}", b'{"name": "kernel"}',
        b'{"name": "other", "value": "torch"}', b'{"name": "kernel", "value": "rm -rf"}',
        b'{"name": "kernel", "value": ["torch"]}', b'{"name": "kernel", "value": null}',
    ],
)  # fmt: skip
def test_damaged_files_count_as_missing(content: bytes, folder: Path, kept: Measured) -> None:
    kept.keep("torch", "kernel")
    only_file(folder).write_bytes(content)
    assert kept.choice("kernel", ("torch", "compiled")) is None


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1.0", "0.0", "1e300", "true", '"fast"'])
def test_impossible_speeds(value: str, folder: Path, kept: Measured) -> None:
    kept.keep(1.0, "speed")
    only_file(folder).write_text(f'{{"name": "speed", "value": {value}}}')
    assert kept.speed("speed") is None


def test_old_and_irregular_files(folder: Path, kept: Measured) -> None:
    kept.keep("torch", "kernel")
    path = only_file(folder)
    for seconds in (-8 * 24 * 3600, 3600):  # too old, and from the future
        os.utime(path, (time.time() + seconds,) * 2)
        assert kept.choice("kernel", ("torch",)) is None
    if hasattr(os, "mkfifo"):
        path.unlink()
        os.mkfifo(path)
        assert kept.choice("kernel", ("torch",)) is None


def test_a_folder_that_cannot_be_written(
    tmp_path: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    kept.keep("torch", "kernel")
    assert kept.choice("kernel", ("torch",)) is None


def test_the_environment_is_part_of_the_key(
    folder: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.keep("torch", "kernel")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    measured._machine.cache_clear()
    try:
        assert kept.choice("kernel", ("torch",)) is None
        kept.keep("torch", "kernel")
        names = {path.name for path in folder.iterdir()}
        assert len(names) == 2
        assert all(name.endswith(MEASURED_SUFFIX) for name in names)
        assert json.loads(next(folder.iterdir()).read_text())["value"] == "torch"
    finally:
        measured._machine.cache_clear()


def test_probes_run_once(folder: Path, kept: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    probed = []

    def probe(networks: Mapping[Any, CharLSTM]) -> dict[Any, float]:
        probed.append(list(networks))
        return {kind: 0.5 if kind in (torch.bfloat16, "compiled") else 1.0 for kind in networks}

    monkeypatch.setattr("charlstm.training.device._has_bfloat16", lambda _device: True)
    monkeypatch.setattr("charlstm.training.device._benchmark", probe)
    monkeypatch.setattr("charlstm.training.device._compiled_error", lambda *_: None)
    for _ in range(2):
        assert pick_precision("auto", CPU, kept) == "bfloat16"
        assert pick_kernel("auto", "lstm", "bfloat16", CPU, measured=kept) == "compiled"
    assert probed == [[torch.float32, torch.bfloat16], ["torch", "compiled"]]
    assert len(list(folder.iterdir())) == 2
