"""The library under `np.seterr(all="raise")`: what is meant to underflow does not raise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from charlstm.config import Config
from charlstm.format.weights import weight_shapes
from charlstm.inference import generation
from charlstm.inference.language_model import LanguageModel
from charlstm.text.tokenizer import CharTokenizer

TEXT = "to be, or not to be: that is the question.\n" * 3
MODELS: list[dict[str, Any]] = [
    {"cell": "lstm"},
    {"cell": "coupled", "num_layers": 2, "embedding": 5, "logit_scale": 0.5},
    {"cell": "peephole", "zoneout": 0.1},
    {"cell": "gru", "residual": True, "num_layers": 2},
    {"cell": "rnn", "layer_norm": True, "dense_output": True, "num_layers": 2},
    {"cell": "coupled", "direction": "both"},
]
SAMPLING: list[dict[str, Any]] = [
    {"temperature": 0.01}, {"temperature": 0.0}, {"temperature": 5.0}, {"top_k": 3}, {"top_p": 0.5},
    {"min_p": 0.1}, {"temperature": 0.002, "top_p": 0.9},
]  # fmt: skip


def make_model(scale: float, *, compiled: bool | None = None, **options: Any) -> LanguageModel:
    """A model with weights of about that size: large ones saturate, small ones underflow."""
    tokenizer = CharTokenizer("".join(sorted(set(TEXT))))
    config = Config().override({"hidden_size": 12, **options})
    rng = np.random.default_rng(1)
    weights = {
        name: (scale * rng.normal(size=shape)).astype(np.float32)
        for name, shape in weight_shapes(config.model, len(tokenizer)).items()
    }
    return LanguageModel(weights, config, tokenizer, compiled=compiled)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 60.0])
@pytest.mark.parametrize("options", MODELS, ids=lambda options: str(options["cell"]))
def test_everything_public(options: dict[str, Any], scale: float) -> None:
    with np.errstate(all="raise"):
        model = make_model(scale, **options)
        assert np.isfinite(model.score(TEXT).nats)
        if model.is_bidirectional:
            assert len(model.fill("to b_, or n_t", 3, temperature=0.01, sweeps=2, seed=1)) == 3
            return
        assert np.isfinite(model.score_ids(model.tokenizer.encode(TEXT), cold_window=8).nats)
        for how in SAMPLING:
            text = "".join(model.generate("to be", length=30, seed=1, **how))
            samples = model.samples(3, "to be", length=30, seed=1, **how)
            assert (len(text), len(samples[2].text)) == (30, 30)
        # The state is the caller's own between two characters, and afterwards.
        for _ in model.generate(length=3, seed=1):
            assert np.geterr()["under"] == "raise"
        assert np.geterr()["under"] == "raise"


@pytest.mark.parametrize("scale", [1e-30, 60.0])
def test_compiled_code(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    monkeypatch.setattr(generation, "WORTH_COMPILING", 40)
    with np.errstate(all="raise"):
        model = make_model(scale, cell="lstm", compiled=True)
        for how in SAMPLING:
            assert len("".join(model.generate(TEXT, length=50, seed=1, **how))) == 50
            assert len(model.samples(3, TEXT, length=50, seed=1, **how)) == 3
