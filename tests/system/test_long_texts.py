"""`eval` of texts that are longer than an excerpt: memory does not grow with the text."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.conftest import peak_memory
from tests.models import make_model, save_model

MEGABYTES = (9, 20)


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
        command = [sys.executable, "-m", "charlstm", "eval", "--json", "model.npz", path, *options]
        peak, printed = peak_memory(command, tmp_path)
        peaks.append(peak)
        facts = json.loads(printed)
        losses.append(facts["nats_per_char"])
        assert facts["bytes"] > size * 10**6 * 0.98
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    assert peaks[1] - peaks[0] < 20_000_000, peaks
