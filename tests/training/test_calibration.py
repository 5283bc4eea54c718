"""How sure a network is, fitted on text that it does not learn from."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from charlstm.checkpoint import load_checkpoint
from charlstm.config import Config, ModelConfig
from charlstm.inference.language_model import LanguageModel
from charlstm.nn.network import CharLSTM
from charlstm.text.tokenizer import Ids
from charlstm.training.calibration import fit_scale, scaled
from charlstm.training.events import Stopped
from charlstm.training.setup import new_run, resume_run
from charlstm.training.trainer import Trainer
from charlstm.training.validation import validate
from tests.conftest import PLAY

SMALL = {
    "hidden_size": 24, "num_layers": 1, "maxlen": 16, "batch_size": 8, "lr": 0.02, "warmup": 0,
    "precision": "float32", "kernel": "torch", "threads": 1, "sample_every": 0, "dropout": 0.0,
}  # fmt: skip


def never() -> bool:
    return False


def network_and_text(direction: str = "forward") -> tuple[CharLSTM, Ids]:
    """A network that says something definite, and a text that it knows nothing of."""
    config = ModelConfig(num_layers=1, hidden_size=8, direction=direction, dropout=0.0)
    network = CharLSTM(config, 5, seed=3)
    with torch.no_grad():
        network.head.weight.mul_(3.0)
        network.head.bias.normal_(generator=torch.Generator().manual_seed(1))
    ids = np.random.default_rng(2).choice(5, 900, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    return network, ids.astype(np.uint8)


@pytest.mark.parametrize("direction", ["forward", "both"])
def test_no_other_scale_is_better(direction: str) -> None:
    network, ids = network_and_text(direction)
    with torch.no_grad():  # its bias is what the text is like, said twice as surely as is right
        counts = torch.from_numpy(np.bincount(ids, minlength=5))
        network.head.bias.copy_(2.0 * counts.log())
        network.head.weight.mul_(0.05)
    scale = fit_scale(network, ids, never)
    assert scale is not None
    assert scale == pytest.approx(0.5, abs=0.02)
    with torch.no_grad():
        network.head.bias.mul_(0.6)  # 1.2 times what is right
    scale = fit_scale(network, ids, never)
    assert scale is not None

    def nats(scale: float) -> float:
        with scaled(network, scale):
            return validate(network, ids, never) or math.nan

    assert nats(scale) < min(nats(scale - 0.05), nats(scale + 0.05), nats(1.0))


def test_scaling_leaves_no_trace() -> None:
    network, ids = network_and_text()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    plain = validate(network, ids, never)
    with scaled(network, 0.7):
        assert validate(network, ids, never) != plain
    with pytest.raises(KeyError), scaled(network, 0.7):
        raise KeyError
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert validate(network, ids, never) == plain


def test_who_is_asked_to_stop_fits_nothing() -> None:
    assert fit_scale(*network_and_text(), lambda: True) is None


def trained(folder: Path, **options: object) -> Trainer:
    text = folder / "play.txt"
    text.write_text(PLAY.read_text("utf-8")[:12_000], "utf-8")
    config = Config().override({**SMALL, **options})
    trainer = new_run(
        [str(text)], config, runs_dir=folder, name="x", notice=lambda _text: None
    )  # fmt: skip
    for event in trainer.train():
        last = event
    assert isinstance(last, Stopped)
    return trainer


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_the_best_is_as_sure_as_the_calibration_part_bears_out(
    tmp_path: Path, average: float
) -> None:
    """Learnt by heart and too sure: what is written and scored with is less so."""
    trainer = trained(
        tmp_path, calibration_fraction=0.1, epochs=40, hidden_size=64, average=average
    )
    progress, corpus = trainer.progress, trainer.corpus
    assert len(corpus.calibration) == 1_200
    assert len(corpus.train) + len(corpus.calibration) + len(corpus.val) == len(corpus)
    assert 0.5 <= progress.best_scale < 1
    model = LanguageModel.load(trainer.run.best)
    score = model.score_ids(corpus.val)
    assert score.nats_per_char == pytest.approx(progress.best_nats, abs=1e-5)
    weights = dict(model.weights)
    for name in ("head.weight", "head.bias"):
        weights[name] = weights[name] / np.float32(progress.best_scale)
    surer = LanguageModel(weights, model.config, model.tokenizer)
    assert surer.score_ids(corpus.val).nats_per_char > progress.best_nats + 0.005


def test_what_goes_on_learning_is_not_scaled(tmp_path: Path) -> None:
    """Evaluations leave the run's own weights as they were: with and without, the same."""
    ends = []
    for eval_every in (0, 3):
        folder = tmp_path / str(eval_every)
        folder.mkdir()
        trainer = trained(folder, calibration_fraction=0.1, epochs=3, eval_every=eval_every)
        ends.append(load_checkpoint(trainer.run.last).part("model"))
        assert trainer.progress.best_scale != 1
        assert not np.array_equal(
            load_checkpoint(trainer.run.best).part("model")["head.weight"], ends[-1]["head.weight"]
        )
    for name, array in ends[0].items():
        np.testing.assert_array_equal(array, ends[1][name])


def test_without_a_validation_part_the_scale_is_fitted_too(tmp_path: Path) -> None:
    trainer = trained(tmp_path, calibration_fraction=0.1, val_fraction=0.0, epochs=2)
    assert trainer.progress.best_scale != 1
    again = resume_run(trainer.run, {"epochs": 3}, [], notice=lambda _text: None)
    assert len(again.corpus.calibration) == 1_200
    assert again.progress.best_scale == trainer.progress.best_scale
