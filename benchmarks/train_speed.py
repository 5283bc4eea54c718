"""How many characters a second does each program learn from?

`charlstm train` runs whole, each round a fresh process; its seconds are those it states itself:
all of training with windows, clipping, the log and saves, without the start of the interpreter
and reading the text, as the rivals' are without theirs and without compiling. A column has the
seconds of the whole process. The rivals are bare loops over data prepared beforehand, in
`benchmarks/rivals/`, each in the fastest of its forms, kept warm in a process of its own.

A character costs (48 L - 24) H^2 + 6 H V floating point operations forward and backward; the
ceiling is what large bfloat16 products reach here, measured in the same rounds.
"""

from __future__ import annotations

import argparse
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import ROUNDS, Timing, machine, markdown, rivals_line
from contest import Entry, enter, race, rival
from train_overhead import precision
from whole import Run, Shape, sized_text, train

VOCAB = 61  # the play's
SIZES = "1x128,2x128,2x256,2x512,3x512"
# With numba, which is the extra `fast`, and without it.
MINE = {"charlstm[fast] train": "auto", "charlstm train": "torch"}
EXAMPLE = "Keras's example"
TORCH, JAX, KERAS = (rival(f"{name}.py") for name in ("torch_loop", "jax_scan", "keras_model"))


def flop(shape: Shape) -> float:
    """Floating point operations for a character."""
    return (48 * shape.layers - 24) * shape.hidden**2 + 6 * shape.hidden * VOCAB


def starters(shape: Shape, seconds: float) -> dict[str, Callable[[], Entry]]:
    """The rivals, by name; each is started when called."""
    base = {
        "vocab": VOCAB, "layers": shape.layers, "hidden": shape.hidden,
        "batch": shape.batch, "maxlen": shape.maxlen, "seconds": seconds,
    }  # fmt: skip
    # So many batches a call of Keras that it takes about a second.
    batches = min(16, max(2, round(5e10 / (flop(shape) * shape.batch * shape.maxlen))))

    def torch(job: str, **more: Any) -> Callable[[], Entry]:
        return functools.partial(enter, TORCH, {"": {**base, "job": job, **more}})

    def keras(backend: str, job: str) -> Callable[[], Entry]:
        forms = {}
        for jit in (True, False) if backend == "tensorflow" else (True,):
            forms[f"jit {'on' if jit else 'off'}"] = {
                **base, "job": job, "jit": jit, "batches": batches,
                "environment": {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
            }  # fmt: skip
        return functools.partial(enter, KERAS, forms, needs=("keras", backend))

    jax = {
        f"{kind}, {way}": {**base, "job": "train", "precision": kind, "backward": way}
        for kind, way in (
            ("float32", "autodiff"), ("float32", "collected"), ("bfloat16", "collected"),
        )
    }  # fmt: skip
    found: dict[str, Callable[[], Entry]] = {
        "nn.LSTM, bfloat16": torch("train", precision="bfloat16"),
        "nn.LSTM, float32": torch("train", precision="float32"),
        "Keras, jax": keras("jax", "same"),
        "Keras, tensorflow": keras("tensorflow", "same"),
        "jax, lax.scan": functools.partial(enter, JAX, jax, needs=("jax",)),
        "ceiling": torch("products"),
    }
    if shape.name == "1x128":
        found[f"{EXAMPLE}, jax"] = keras("jax", "example")
        found[f"{EXAMPLE}, tensorflow"] = keras("tensorflow", "example")
    return found


def own_entry(text: Path, shape: Shape, kernel: str, runs: list[Run]) -> Entry:
    """The program itself; `runs` gets what each round says."""

    def one_round() -> float:
        run = train(text, shape, kernel=kernel)
        runs.append(run)
        return run.seconds / run.chars

    return Entry(one_round)


def rows_for(shape: Shape, options: argparse.Namespace) -> list[list[str]]:
    """A size's lines."""
    runs: dict[str, list[Run]] = {name: [] for name in MINE}
    with tempfile.TemporaryDirectory() as folder:
        text = sized_text(Path(folder) / "text.txt", shape, options.seconds)
        entries = {
            name: own_entry(text, shape, kernel, runs[name]) for name, kernel in MINE.items()
        }
        for name, start in starters(shape, min(2.5, options.seconds)).items():
            if not options.only or name == "ceiling" or any(o in name for o in options.only):
                entries[name] = start()
        times = race(entries, options.rounds)
    top = times.pop("ceiling", None)
    ceiling = top and 1 / top.median / flop(shape)
    del entries["ceiling"]
    alone = times["charlstm train"].median
    best = times["charlstm[fast] train"].median
    rows = []
    for name, entry in entries.items():
        timing = times.get(name)
        if timing is None:
            rows.append([shape.name, name, entry.note, "", "", "", "", ""])
            continue
        whole = Timing([run.whole for run in runs.get(name, [])] or [0.0]).median
        # The example's windows cost something else than this model's characters.
        share = f"{100 / timing.median / ceiling:.0f}%" if ceiling and EXAMPLE not in name else ""
        rows.append(
            [
                shape.name,
                name + (f" ({entry.note})" if entry.note else ""),
                timing.rate(),
                f"{timing.median / alone:.2f}x",
                f"{timing.median / best:.2f}x",
                share,
                f"{entry.compile_seconds:.1f}" if name not in MINE else "",
                f"{whole:.1f}" if name in MINE else "",
            ]
        )
    return rows


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round of training")
    parser.add_argument("--sizes", default=SIZES, help="LxH,LxH,...")
    parser.add_argument("--only", default="", help="parts of rivals' names, with commas")
    options = parser.parse_args()
    options.only = [part for part in options.only.split(",") if part]
    rows = []
    for size in options.sizes.split(","):
        layers, hidden = map(int, size.split("x"))
        rows += rows_for(Shape(layers, hidden), options)
    header = [
        "model", "program", "chars/s", "charlstm is faster by",
        "charlstm[fast] is faster by", "share of the ceiling", "compiling, s",
        "whole process, s",
    ]  # fmt: skip
    print(
        "## Training against other programs: target characters per second, batch 64 x 64\n\n"
        f"`python benchmarks/train_speed.py`. {machine()}, {precision()}. {rivals_line()}.\n\n"
        + markdown(header, rows)
    )


if __name__ == "__main__":
    main()
