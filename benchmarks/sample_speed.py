"""How fast is one stream of text, against a plain `nn.LSTM` that is stepped?

Both sides draw from the softmax at temperature 1 and feed the character back; the rival does it
as the usual program does: `nn.LSTM` on a one-hot row, `softmax`, `multinomial`. It runs with one
thread and with torch's default. Every measurement is a process of its own, as a user's is:
within one, what ran before decides whether `nn.LSTM`'s large allocations are cheap.
"""

from __future__ import annotations

import functools
import itertools
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from common import interleave, machine, markdown
from torch import nn

from charlstm.config import ModelConfig, SampleConfig
from charlstm.inference.engine import Engine
from charlstm.inference.sampling import Sampler, generate_ids, load_writer
from charlstm.inference.weights import weight_shapes

VOCAB = 65
SIZES = [(1, 128), (2, 128), (1, 256), (2, 256), (1, 512), (2, 512), (3, 512)]
STREAMS = (8, 64, 512)


def make_engine(layers: int, hidden: int, *, compiled: bool = False) -> Engine:
    """An engine with random weights: speed does not depend on what was learned."""
    config = ModelConfig(num_layers=layers, hidden_size=hidden)
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.normal(size=shape) / hidden**0.5).astype(np.float32)
        for name, shape in weight_shapes(config, VOCAB).items()
    }
    return Engine(weights, config, VOCAB, compiled=compiled)


def engine_seconds(layers: int, hidden: int, streams: int, *, compiled: bool = False) -> float:
    """Seconds a character of each stream, by the engine."""
    session = make_engine(layers, hidden, compiled=compiled).session(streams)
    logits = session.step(0 if streams == 1 else np.zeros(streams, dtype=np.int64))
    sampler = Sampler(SampleConfig(temperature=1.0), streams, seed=1)
    ids = generate_ids(session, logits, sampler)
    # Whole blocks of what compiled code writes at a time, the first of which loads it.
    chars = max(64, 3200 // streams)
    for _ in itertools.islice(ids, 64):
        pass
    start = time.perf_counter()
    for _ in itertools.islice(ids, chars):
        pass
    return (time.perf_counter() - start) / chars


def compiled_seconds(layers: int, hidden: int, _unused: int) -> float:
    """The same by compiled code, for one stream.

    Raises:
        SystemExit: the extra `charlstm[fast]` is not installed.
    """
    if load_writer() is None:
        raise SystemExit("this needs numba and scipy: pip install '.[fast]'")
    return engine_seconds(layers, hidden, 1, compiled=True)


def rival_seconds(layers: int, hidden: int, threads: int) -> float:
    """Seconds a character, by stepping `nn.LSTM`; 0 threads are torch's default."""
    if threads:
        torch.set_num_threads(threads)
    lstm, head = nn.LSTM(VOCAB, hidden, layers), nn.Linear(hidden, VOCAB)
    one_hot = torch.eye(VOCAB)
    char_id, state = 0, None
    chars = 300
    with torch.inference_mode():
        for step in range(chars + 50):
            if step == 50:
                start = time.perf_counter()
            out, state = lstm(one_hot[char_id].view(1, 1, -1), state)
            char_id = int(torch.multinomial(torch.softmax(head(out[0, 0]), 0), 1))
    return (time.perf_counter() - start) / chars


def products_seconds(layers: int, hidden: int, _unused: int) -> float:
    """Seconds a character that the engine's matrix-vector products take by themselves."""
    engine = make_engine(layers, hidden)
    h = np.ones(hidden + 1, dtype=np.float32)  # biases, too
    products = engine.product_columns
    outs = [np.empty(product.shape[1], dtype=np.float32) for product in products]
    for turn in range(1100):
        if turn == 100:
            start = time.perf_counter()
        for product, out in zip(products, outs, strict=True):
            np.dot(h, product, out=out)
    return (time.perf_counter() - start) / 1000


WORKERS: dict[str, Callable[[int, int, int], float]] = {
    "engine": engine_seconds,
    "compiled": compiled_seconds,
    "rival": rival_seconds,
    "products": products_seconds,
}


def in_a_process(worker: str, layers: int, hidden: int, extra: int) -> float:
    """Have a fresh process measure."""
    command = [sys.executable, __file__, worker, str(layers), str(hidden), str(extra)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def run() -> str:
    """The tables, in Markdown."""
    rows, many_rows = [], []
    for layers, hidden in SIZES:
        measure = functools.partial(in_a_process, layers=layers, hidden=hidden)
        times = interleave(
            {
                "engine": functools.partial(measure, "engine", extra=1),
                "compiled": functools.partial(measure, "compiled", extra=0),
                "one thread": functools.partial(measure, "rival", extra=1),
                "default threads": functools.partial(measure, "rival", extra=0),
                "products": functools.partial(measure, "products", extra=0),
                **{str(n): functools.partial(measure, "engine", extra=n) for n in STREAMS},
            }
        )
        mine, plain = times["engine"], times["default threads"]
        best = min(times["one thread"].median, plain.median)
        rows.append(
            [
                f"{layers}x{hidden}",
                f"{1e6 * mine.median:.1f} ({mine.spread})",
                f"{1 / mine.median:,.0f}",
                f"{1e6 * times['compiled'].median:.1f}",
                f"{1e6 * plain.median:.0f} ({plain.spread})",
                f"{1e6 * times['one thread'].median:.0f}",
                f"{plain.median / mine.median:.1f}x",
                f"{best / mine.median:.1f}x",
                f"{1e6 * times['products'].median:.1f}",
            ]
        )
        many_rows.append(
            [f"{layers}x{hidden}", f"{1 / mine.median:,.0f}"]
            + [f"{n / times[str(n)].median:,.0f}" for n in STREAMS]
            + [f"{64 * mine.median / times['64'].median:.1f}x"]
        )
    head = [
        "model", "charlstm", "chars/s", "with charlstm[fast]", "nn.LSTM, default threads",
        "nn.LSTM, 1 thread", "ratio to default", "ratio to the faster", "charlstm's products alone",
    ]  # fmt: skip
    return "\n\n".join(
        [
            "## Sampling, one stream: microseconds per character",
            f"`python benchmarks/sample_speed.py`. {machine()}.",
            markdown(head, rows),
            "## Sampling, many streams: characters per second in all",
            markdown(["model", "1", *map(str, STREAMS), "64 against 1"], many_rows),
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(WORKERS[sys.argv[1]](*map(int, sys.argv[2:])))
    else:
        print(run())
