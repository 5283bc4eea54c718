"""What does all of `charlstm train` cost beside the bare loop over its model?

The command runs whole, in this process: reading the text, windows, clipping, the optimizer, the
schedule, the log, progress on stderr, saving. Evaluation is kept aside by a validation part of
a few characters; previews are off. The bare loop runs forward, backward and the optimizer's step
over the same network, as many steps, on one batch made before.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
from common import ROOT, interleave, machine, markdown

from charlstm.cli import main
from charlstm.config import ModelConfig, TrainConfig
from charlstm.nn.network import CharLSTM
from charlstm.training.device import pick_precision, product_type
from charlstm.training.optim import make_optimizer

PLAY = ROOT / "corpora" / "lighthouse.txt"
SIZES = [(1, 128, 64, 64), (2, 128, 64, 64), (2, 256, 64, 64), (1, 512, 32, 32)]
COPIES = 5  # of the play, so that an epoch is as long as that of a usual text
DROPOUT = 0.2


def command_seconds(text: Path, layers: int, hidden: int, batch: int, maxlen: int) -> float:
    """Seconds of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            "train", text, "--runs-dir", folder, "--layers", layers, "--hidden-size", hidden,
            "--batch-size", batch, "--maxlen", maxlen, "--epochs", 1, "--dropout", DROPOUT,
            "--split", "tail", "--val-fraction", "0.0002", "--sample-every", 0,
            "--precision", precision(),
        ]  # fmt: skip
        start = time.perf_counter()
        with contextlib.redirect_stderr(io.StringIO()):
            main.main([str(a) for a in arguments], standalone_mode=False)
        return time.perf_counter() - start


@functools.cache
def precision() -> str:
    """What `--precision auto` takes here; probed once, beforehand."""
    return pick_precision("auto", torch.device("cpu"))


def bare_seconds(layers: int, hidden: int, batch: int, maxlen: int, steps: int) -> float:
    """Seconds of as many steps of the bare loop."""
    dtype = product_type(precision())
    network = CharLSTM(
        ModelConfig(num_layers=layers, hidden_size=hidden, dropout=DROPOUT), 61, dtype=dtype
    )
    optimizer = make_optimizer(network, TrainConfig())
    ids = torch.randint(61, (maxlen + 1, batch))
    state = network.initial_state(batch)
    start = time.perf_counter()
    for _ in range(steps):
        logits, state = network(ids[:-1], state)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[1:].flatten())
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state = [tuple(part.detach() for part in layer) for layer in state]
    return time.perf_counter() - start


def run() -> str:
    """The table, in Markdown."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "text.txt"
        text.write_text(PLAY.read_text("utf-8") * COPIES, "utf-8")
        chars = text.stat().st_size
        for layers, hidden, batch, maxlen in SIZES:
            steps = (chars - batch * maxlen // 2) // (batch * maxlen)
            shape = (layers, hidden, batch, maxlen)
            times = interleave(
                {
                    "command": functools.partial(command_seconds, text, *shape),
                    "bare": functools.partial(bare_seconds, *shape, steps),
                }
            )
            speed = {name: steps * batch * maxlen / t.median for name, t in times.items()}
            rows.append(
                [
                    f"{layers}x{hidden}, {batch} x {maxlen}",
                    f"{speed['command']:,.0f} ({times['command'].spread})",
                    f"{speed['bare']:,.0f} ({times['bare'].spread})",
                    f"{100 * speed['command'] / speed['bare']:.0f}%",
                ]
            )
    return (
        "## Training: the whole command against the bare loop, characters per second\n\n"
        f"`python benchmarks/train_overhead.py`. {machine()}, {precision()}.\n\n"
        + markdown(["model, batch x window", "charlstm train", "bare loop", "share"], rows)
    )


if __name__ == "__main__":
    os.chdir(Path(tempfile.gettempdir()))
    print(run())
    sys.exit(0)
