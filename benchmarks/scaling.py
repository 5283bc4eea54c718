"""What does a second process give `charlstm train`? The same batch, shared or not."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import ROUNDS, interleave, machine, markdown
from train_overhead import precision
from whole import Shape, has_processes, sized_text, train

SIZES = "1x128,2x128,2x256,2x512,1x512@32"


def parse(size: str) -> Shape:
    """`LxH`, or `LxH@B` for batches of B windows of B characters."""
    model, _, square = size.partition("@")
    layers, hidden = map(int, model.split("x"))
    return Shape(layers, hidden, int(square or 64), int(square or 64))


def row_for(shape: Shape, rounds: int, seconds: float) -> list[str]:
    """A size's line."""
    with tempfile.TemporaryDirectory() as folder:
        text = sized_text(Path(folder) / "text.txt", shape, seconds)

        def one_round(processes: int) -> float:
            run = train(text, shape, processes)
            return run.seconds / run.chars

        contestants = {"1": lambda: one_round(1 if has_processes() else 0)}
        if has_processes():
            contestants["2"] = lambda: one_round(2)
        times = interleave(contestants, rounds, warm_up=False)
    two = times.get("2")
    return [
        f"{shape.name}, {shape.batch} x {shape.maxlen}",
        times["1"].rate(),
        two.rate() if two else "not there",
        f"{times['1'].median / two.median:.2f}x" if two else "",
    ]


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round of training")
    parser.add_argument("--sizes", default=SIZES, help="LxH or LxH@B, with commas")
    options = parser.parse_args()
    rows = [
        row_for(parse(size), options.rounds, options.seconds) for size in options.sizes.split(",")
    ]
    print(
        "## Training in one and in two processes: characters per second\n\n"
        f"`python benchmarks/scaling.py`. {machine()}, {precision()}.\n\n"
        + markdown(["model, batch x window", "one", "two", "two against one"], rows)
    )


if __name__ == "__main__":
    main()
