"""What a training does not load, and what it shows before it has loaded anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from charlstm.config import ModelConfig, TrainConfig
from charlstm.nn.network import CharLSTM
from charlstm.training.optim import make_optimizer, take_step
from tests.test_architecture import ROOT

WITHOUT_DYNAMO = """
import sys
from charlstm import train
run = train(sys.argv[1], hidden_size=8, layers=1, epochs=1, maxlen=8, batch_size=4, sample_every=0,
            precision="float32", kernel="torch", optimizer=sys.argv[2], runs_dir=sys.argv[3])
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_training_does_not_import_dynamo(optimizer: str, corpus_file: Path, tmp_path: Path) -> None:
    runs = str(tmp_path / "runs")
    command = [sys.executable, "-c", WITHOUT_DYNAMO, str(corpus_file), optimizer, runs]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    assert result.stdout == "False\n"


@pytest.mark.parametrize("name", ["adamw", "adam", "rmsprop", "sgd"])
def test_steps_are_those_of_torch(name: str) -> None:
    """Weights and states of three steps have the same bits."""
    config = TrainConfig(optimizer=name, lr=0.01)
    networks = [CharLSTM(ModelConfig(hidden_size=6), 5, seed=1) for _ in range(2)]
    optimizers = [make_optimizer(network, config) for network in networks]
    for number in range(3):
        for network, optimizer, ours in zip(networks, optimizers, (True, False), strict=True):
            ids = torch.arange(12).reshape(6, 2) % 5
            logits, _ = network(ids, network.initial_state(2))
            torch.autograd.backward(logits.square().mean() * (number + 1))
            if ours:
                take_step(optimizer)
            else:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    for one, other in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(one, other)
    states = [optimizer.state_dict()["state"] for optimizer in optimizers]
    assert str(states[0]) == str(states[1])
