"""How fast does each cell train and write, against its readable form and against `nn.LSTM`?

A training step is forward, backward and AdamW over one window of one batch, dropout off. The
readable form is the same network in float32 with each cell's `step` in a Python loop under
autograd; `nn.LSTM` is torch's module on one-hot rows in float32, as most programs have it.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable

import torch
from common import interleave, machine, markdown
from torch import Tensor, nn

from charlstm.cells import CELLS
from charlstm.config import ModelConfig, SampleConfig, TrainConfig
from charlstm.inference.engine import Engine
from charlstm.inference.generation import generate_ids
from charlstm.inference.sampling import Sampler
from charlstm.nn.cell import Cell, one_hot
from charlstm.nn.network import CharLSTM
from charlstm.training.device import pick_precision, product_type
from charlstm.training.optim import make_optimizer

VOCAB, BATCH, MAXLEN = 65, 64, 64
SIZES = [(2, 128), (2, 512)]


def readable(network: CharLSTM, ids: Tensor) -> Tensor:
    """Logits of a window, by the equations."""
    xs = one_hot(ids, network.vocab_size, torch.float32)
    for cell, state in zip(network.cells, network.initial_state(ids.shape[1]), strict=True):
        assert isinstance(cell, Cell)
        xs, _ = cell.step_window(xs, state)
    logits: Tensor = network.head(xs)
    return logits


class Stock(nn.Module):
    """`nn.LSTM` between one-hot rows and a linear layer."""

    def __init__(self, layers: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(VOCAB, hidden, layers)
        self.head = nn.Linear(hidden, VOCAB)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of a window."""
        outputs, _ = self.lstm(nn.functional.one_hot(ids, VOCAB).float())
        logits: Tensor = self.head(outputs)
        return logits


def seconds(network: nn.Module, forward: Callable[[Tensor], Tensor]) -> float:
    """Seconds of a training step."""
    optimizer = make_optimizer(network, TrainConfig())
    ids = torch.randint(VOCAB, (MAXLEN + 1, BATCH))
    steps = 3
    start = time.perf_counter()
    for _ in range(steps):
        loss = nn.functional.cross_entropy(forward(ids[:-1]).flatten(0, 1), ids[1:].flatten())
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return (time.perf_counter() - start) / steps


def contestants(layers: int, hidden: int, precision: torch.dtype) -> dict[str, Callable[[], float]]:
    """Each cell, each cell's readable form, and `nn.LSTM`."""
    found: dict[str, Callable[[], float]] = {}
    for cell in CELLS:
        config = ModelConfig(cell=cell, num_layers=layers, hidden_size=hidden, dropout=0.0)
        fast = CharLSTM(config, VOCAB, dtype=precision)
        slow = CharLSTM(config, VOCAB)

        def whole(ids: Tensor, network: CharLSTM = fast) -> Tensor:
            logits: Tensor = network(ids, network.initial_state(BATCH))[0]
            return logits

        found[cell] = functools.partial(seconds, fast, whole)
        found[f"{cell}, readable"] = functools.partial(
            seconds, slow, functools.partial(readable, slow)
        )
    stock = Stock(layers, hidden)
    found["nn.LSTM"] = functools.partial(seconds, stock, stock.forward)
    return found


def writing_seconds(cell: str, layers: int, hidden: int) -> float:
    """Seconds a character of one stream."""
    config = ModelConfig(cell=cell, num_layers=layers, hidden_size=hidden)
    network = CharLSTM(config, VOCAB)
    weights = {name: p.detach().numpy() for name, p in network.named_parameters()}
    session = Engine(weights, config, VOCAB).session()
    ids = generate_ids(session, session.step(0), Sampler(SampleConfig(temperature=1.0), 1, 1))
    chars = 3000
    for _ in itertools.islice(ids, 100):
        pass
    start = time.perf_counter()
    for _ in itertools.islice(ids, chars):
        pass
    return (time.perf_counter() - start) / chars


def run() -> str:
    """The table, in Markdown."""
    precision = product_type(pick_precision("auto", torch.device("cpu")))
    rows = []
    for layers, hidden in SIZES:
        times = interleave(contestants(layers, hidden, precision))
        writing = interleave(
            {cell: functools.partial(writing_seconds, cell, layers, hidden) for cell in CELLS}
        )
        speed = {name: BATCH * MAXLEN / timing.median for name, timing in times.items()}
        for cell in CELLS:
            rows.append(
                [
                    f"{cell} {layers}x{hidden}",
                    f"{speed[cell]:,.0f} ({times[cell].spread})",
                    f"{speed[cell] / speed['lstm']:.2f}",
                    f"{speed[cell] / speed[f'{cell}, readable']:.1f}x",
                    f"{speed[cell] / speed['nn.LSTM']:.1f}x",
                    f"{1e6 * writing[cell].median:.1f} ({writing[cell].spread})",
                ]
            )
    header = [
        "cell", "training, chars/s", "against lstm", "against its readable form",
        "against nn.LSTM, float32", "writing, us/char",
    ]  # fmt: skip
    kind = str(precision).removeprefix("torch.")
    return (
        f"## Cells: batch {BATCH} x {MAXLEN}\n\n`python benchmarks/cells.py`. {machine()}, "
        f"{torch.get_num_threads()} threads, {kind}.\n\n" + markdown(header, rows)
    )


if __name__ == "__main__":
    print(run())
