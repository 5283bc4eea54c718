"""`eval` of texts that are longer than an excerpt: memory does not grow with the text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.models import make_model, save_model

MEGABYTES = (9, 20)


def peak_of(*arguments: object, cwd: Path) -> tuple[float, Any]:
    """The peak memory of `charlstm eval ARGUMENTS --json` in MB, and what it prints."""
    command = [sys.executable, "-m", "charlstm", "eval", "--json", *map(str, arguments)]
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    with process.stdout:
        printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1024, json.loads(printed)


@pytest.mark.parametrize("options", [[], ["--protocol", "cold", "--window", 1000]])
@pytest.mark.parametrize("documents", ["none", "line"])
def test_memory_does_not_grow_with_the_text(
    tmp_path: Path, text: str, options: list[object], documents: str
) -> None:
    line = "the light is low and the wind is from the north, é\n"
    characters = ("\0" if documents == "line" else "") + line + text
    model = make_model(characters, documents=documents)
    if documents == "line":
        model.tokenizer.boundary = True
    save_model(tmp_path / "model.npz", model)
    peaks, losses = [], []
    for size in MEGABYTES:
        path = tmp_path / f"{size}.txt"
        path.write_text(line * (size * 10**6 // len(line)), "utf-8")
        peak, facts = peak_of("model.npz", path, *options, cwd=tmp_path)
        peaks.append(peak)
        losses.append(facts["nats_per_char"])
        assert facts["bytes"] > size * 10**6 * 0.98
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert peaks[1] - peaks[0] < 20, peaks
