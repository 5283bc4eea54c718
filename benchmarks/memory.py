"""How long does each cell remember? It shows why gates exist.

A text is a key of 5 random letters, then 10, 50, 100 or 200 letters of noise, then a sign, and
then the key again. Only the letters after the sign count. A batch has one distance, drawn anew
each step, and every cell sees the same batches for as many steps. What is reported is how many
of the key's letters the network's likeliest letters get right, on texts made for the test; by
chance it would be one in eight.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from common import machine, markdown
from numpy.typing import NDArray
from torch import nn

from charlstm.cells import CELLS
from charlstm.config import ModelConfig, TrainConfig
from charlstm.nn.network import CharLSTM
from charlstm.training.optim import make_optimizer

KEY, LETTERS, NOISE = 5, 8, 8
SIGN = LETTERS + NOISE
VOCAB = SIGN + 1
DISTANCES = (10, 50, 100, 200)
BATCH, HIDDEN = 64, 128


def texts(rng: np.random.Generator, distance: int, count: int) -> NDArray[np.int64]:
    """Ids (T, N): key, noise, sign, key."""
    key = rng.integers(LETTERS, size=(KEY, count))
    noise = rng.integers(LETTERS, SIGN, size=(distance, count))
    return np.concatenate([key, noise, np.full((1, count), SIGN), key])


def recall(network: CharLSTM, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (5, N, V) at the letters to be recalled, and those letters."""
    logits, _ = network(ids[:-1], network.initial_state(ids.shape[1]))
    return logits[-KEY:], ids[-KEY:]


def accuracy(network: CharLSTM, distance: int) -> float:
    """The share of letters that are right."""
    ids = torch.from_numpy(texts(np.random.default_rng([9, distance]), distance, 512))
    with torch.inference_mode():
        logits, key = recall(network, ids)
    return float((logits.argmax(dim=2) == key).float().mean())


def learn(cell: str, checks: list[int], seed: int) -> list[list[float]]:
    """Accuracies by distance, at each of the steps in `checks`."""
    config = ModelConfig(cell=cell, num_layers=1, hidden_size=HIDDEN, dropout=0.0)
    network = CharLSTM(config, VOCAB, seed=seed)
    optimizer = make_optimizer(network, TrainConfig(lr=3e-3, weight_decay=0.0))
    rng = np.random.default_rng(seed)
    found = []
    for step in range(1, checks[-1] + 1):
        ids = torch.from_numpy(texts(rng, int(rng.choice(DISTANCES)), BATCH))
        logits, key = recall(network, ids)
        torch.autograd.backward(nn.functional.cross_entropy(logits.flatten(0, 1), key.flatten()))
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step in checks:
            found.append([accuracy(network, distance) for distance in DISTANCES])
    return found


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[500, 1000, 2000, 3000])
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rows = []
    for cell in CELLS:
        found = learn(cell, options.steps, options.seed)
        for step, shares in zip(options.steps, found, strict=True):
            rows.append([cell, str(step), *(f"{100 * share:.0f}%" for share in shares)])
    header = ["cell", "steps", *(f"{distance} apart" for distance in DISTANCES)]
    print(
        f"## Memory: letters of a key recalled, by distance\n\n`python benchmarks/memory.py`. "
        f"One layer of {HIDDEN}, batches of {BATCH}, float32, AdamW 3e-3, one seed "
        f"({options.seed}); chance is {100 / LETTERS:.0f}%. {machine()}.\n\n"
        + markdown(header, rows)
    )


if __name__ == "__main__":
    main()
