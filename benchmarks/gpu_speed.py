"""On a GPU: training against a stock cuDNN loop, and 512 streams written there and on the CPU.

Both train in this process, in bfloat16, so that their memory can be told apart: `charlstm.train`
whole, with windows, clipping, log and saves, against the bare loop of `rivals/torch_loop.py`. The
peak is what large bfloat16 products reach in the same rounds. `--device cpu` runs the same on a
CPU, to see that it works.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from common import ROUNDS, interleave, machine, markdown, timed
from rivals.torch_loop import products, training
from sample_speed import VOCAB, make_engine, writing
from train_speed import flop
from whole import Shape, sized_text, train_options

import charlstm
from charlstm.config import ModelConfig
from charlstm.nn.network import CharLSTM

STREAMS = 512


class Bench:
    """One device, and how long a round is."""

    def __init__(self, device: str, seconds: float, rounds: int) -> None:
        self.device = device
        self.seconds = seconds
        self.rounds = rounds
        self.peaks: dict[str, float] = {}  # MB

    def own(self, text: Path, shape: Shape) -> float:
        """Seconds a character that `charlstm.train` reports."""
        with tempfile.TemporaryDirectory() as folder:
            run = charlstm.train(
                text, runs_dir=folder, device=self.device, **train_options(shape, "bfloat16")
            )
        return run.seconds / (run.step * shape.batch * shape.maxlen)

    def repeated(self, work: Callable[[], float]) -> float:
        """Seconds a unit of some work, over about a round."""

        def some() -> None:
            units.extend(work() for _ in range(8))
            if self.device == "cuda":
                torch.cuda.synchronize()

        units: list[float] = []
        spent = 0.0
        while spent < self.seconds:
            spent += timed(some)
        return spent / sum(units)

    def watched(self, name: str, work: Callable[[], float]) -> float:
        """Run some work, and take down how much of the GPU's memory it takes."""
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        taken = work()
        if self.device == "cuda":
            self.peaks[name] = torch.cuda.max_memory_allocated() / 1e6
        return taken

    def training_row(self, shape: Shape) -> list[str]:
        """A line of the first table."""
        stock_arguments = {
            "vocab": VOCAB, "layers": shape.layers, "hidden": shape.hidden,
            "batch": shape.batch, "maxlen": shape.maxlen, "precision": "bfloat16",
        }  # fmt: skip
        with torch.device(self.device):
            stock, ceiling = training(stock_arguments), products(stock_arguments)
        with tempfile.TemporaryDirectory() as folder:
            text = sized_text(Path(folder) / "text.txt", shape, self.seconds)
            times = interleave(
                {
                    "own": lambda: self.watched("own", lambda: self.own(text, shape)),
                    "stock": lambda: self.watched("stock", lambda: self.repeated(stock)),
                    "ceiling": lambda: self.repeated(ceiling),
                },
                self.rounds,
            )
        own, other = times["own"], times["stock"]
        share = flop(shape) / own.median * times["ceiling"].median
        return [
            f"{shape.name}, {shape.batch} x {shape.maxlen}", own.rate(), other.rate(),
            f"{other.median / own.median:.2f}x", f"{100 * share:.0f}%",
            *(f"{self.peaks.get(name, 0.0):,.0f}" for name in ("own", "stock")),
        ]  # fmt: skip

    def writing_row(self, shape: Shape) -> list[str]:
        """A line of the second."""
        session = make_engine(shape.layers, shape.hidden).session(STREAMS)
        by_engine, by_network = writing(session, STREAMS), self.stepping(shape)
        times = interleave(
            {
                "engine": lambda: self.repeated(by_engine) / STREAMS,
                "network": lambda: self.repeated(by_network),
            },
            self.rounds,
        )
        engine, network = times["engine"], times["network"]
        ratio = f"{engine.median / network.median:.2f}x"
        return [shape.name, network.rate(), engine.rate(), ratio]

    def stepping(self, shape: Shape) -> Callable[[], float]:
        """A character of each of many streams by the network itself."""
        config = ModelConfig(num_layers=shape.layers, hidden_size=shape.hidden)
        network = CharLSTM(config, VOCAB, dtype=torch.bfloat16)
        network.to(self.device).eval()
        state = network.initial_state(STREAMS)
        ids = torch.zeros(1, STREAMS, dtype=torch.int64, device=self.device)

        def step() -> float:
            nonlocal state, ids
            with torch.inference_mode():
                logits, state = network(ids, state)
                ids = torch.multinomial(torch.softmax(logits[0], 1), 1).T
            return float(STREAMS)

        return step


def main() -> None:
    """Print the tables, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a round")
    parser.add_argument("--sizes", default="2x512,3x1024", help="LxH,LxH,...")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("## On a GPU\n\nThis machine has none.")
        return
    name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    bench = Bench(options.device, options.seconds, options.rounds)
    shapes = [Shape(*map(int, size.split("x"))) for size in options.sizes.split(",")]
    head = [
        "model, batch x window", "charlstm.train, chars/s", "stock loop", "ratio",
        "share of the peak", "peak MB", "peak MB, stock",
    ]  # fmt: skip
    print(
        f"## On a GPU: {name}\n\n`python benchmarks/gpu_speed.py`. {machine()}.\n\n"
        + markdown(head, [bench.training_row(shape) for shape in shapes])
        + f"\n\n{STREAMS} streams written, characters per second in all:\n\n"
        + markdown(
            ["model", "network, here", "engine, on the CPU", "ratio"],
            [bench.writing_row(shape) for shape in shapes],
        )
    )


if __name__ == "__main__":
    main()
