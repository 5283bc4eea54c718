"""How fast is text written, one stream or many, against other programs and against memory?

All draw from the softmax at temperature 1 and feed the character back. `nn.LSTM` is stepped on
a one-hot row, `softmax`, `multinomial`, with one thread and with torch's default; each of its
measurements is a process of its own, as a user's is: within one, what ran before decides whether
its large allocations are cheap. The others stay warm between interleaved rounds; each runs in
the fastest of its forms (graph, threads, unrolling).

The floor is the time in which memory could deliver the weights once, each character needing
them all: the model's bytes at the speed that one matrix-vector product of numpy's reads a matrix
of that size (which may lie in a cache), and one of 256 MB (which does not).
"""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Prepared, machine, markdown, rivals_line, serve
from contest import Entry, enter, fresh, race, rival

from charlstm.config import ModelConfig, SampleConfig
from charlstm.format.weights import weight_shapes
from charlstm.inference.engine import Engine
from charlstm.inference.generation import generate_ids, load_writer
from charlstm.inference.sampling import Sampler

VOCAB = 65
SIZES = "1x128,2x128,1x256,2x256,1x512,2x512,3x512"
STREAMS = (8, 64, 512)
ONE = {
    "charlstm": "charlstm", "fast": "charlstm[fast]", "bfloat16": "charlstm[fast], bfloat16",
    "bytes": "charlstm[fast], int8", "default": "nn.LSTM, default threads",
    "single": "nn.LSTM, 1 thread", "cell": "LSTMCell", "onnx": "onnxruntime",
    "int8": "onnxruntime, int8", "jax": "jax",
}  # fmt: skip
LOW = ("bfloat16", "bytes")


def make_engine(layers: int, hidden: int, *, compiled: bool | None = False) -> Engine:
    """An engine with random weights: speed does not depend on what was learned."""
    config = ModelConfig(num_layers=layers, hidden_size=hidden)
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.normal(size=shape) / hidden**0.5).astype(np.float32)
        for name, shape in weight_shapes(config, VOCAB).items()
    }
    return Engine(weights, config, VOCAB, compiled=compiled)


def writing(session: Any, streams: int, precision: str = "float32") -> Callable[[], float]:
    """Some characters of each stream; the unit is a character of one stream."""
    logits = session.step(0 if streams == 1 else np.zeros(streams, dtype=np.int64))
    config = SampleConfig(temperature=1.0, precision=precision)
    ids = generate_ids(session, logits, Sampler(config, streams, seed=1))
    chars = min(256, max(32, 4096 // streams))  # compiled code writes so many at a time

    def work() -> float:
        for _ in itertools.islice(ids, chars):
            pass
        return float(chars)

    return work


def engine_seconds(layers: int, hidden: int, streams: int) -> Callable[[], float]:
    """By numpy."""
    return writing(make_engine(layers, hidden).session(streams), streams)


def compiled_seconds(
    layers: int, hidden: int, streams: int, precision: str = "float32"
) -> Callable[[], float]:
    """By compiled code.

    Raises:
        SystemExit: the extra `charlstm[fast]` does not work here, or not with such products.
    """
    if load_writer(precision) is None:
        raise SystemExit(f"no {precision} here")
    session = make_engine(layers, hidden, compiled=True).session(streams)
    return writing(session, streams, precision)


def reading(layers: int, hidden: int, _streams: int, size: int = 0) -> Callable[[], float]:
    """A matrix-vector product over as many bytes as the model, or `size`; the unit is a byte."""
    columns = 8192 if size else hidden
    rows = max(1, (size or model_bytes(layers, hidden)) // 4 // columns)
    matrix, vector = np.ones((rows, columns), np.float32), np.ones(columns, np.float32)
    out = np.empty(rows, np.float32)

    def work() -> float:
        np.dot(matrix, vector, out=out)
        return float(matrix.nbytes)

    return work


def large_reading(layers: int, hidden: int, streams: int) -> Callable[[], float]:
    """The same over 256 MB."""
    return reading(layers, hidden, streams, 256 << 20)


def model_bytes(layers: int, hidden: int) -> int:
    """What a character has to read: all weights, but of the first layer's input one row."""
    return 4 * ((2 * layers - 1) * 4 * hidden**2 + hidden * VOCAB + 4 * hidden)


JOBS: dict[str, Callable[[int, int, int], Callable[[], float]]] = {
    "engine": engine_seconds, "fast": compiled_seconds,
    "bfloat16": functools.partial(compiled_seconds, precision="bfloat16"),
    "bytes": functools.partial(compiled_seconds, precision="int8"),
    "reading": reading, "large": large_reading,
}  # fmt: skip


def prepare(arguments: dict[str, Any]) -> Prepared:
    """A worker's job."""
    job = JOBS[arguments["job"]]
    work = job(arguments["layers"], arguments["hidden"], arguments["streams"])
    return Prepared(work, seconds=arguments["seconds"])


def has_fast() -> bool:
    """Whether the extra `charlstm[fast]` is installed."""
    from importlib.util import find_spec

    return bool(find_spec("numba"))


def entries(
    layers: int, hidden: int, streams: int, seconds: float, wanted: set[str]
) -> dict[str, Entry]:
    """Those of the wanted who can write so many streams."""
    base = {
        "vocab": VOCAB, "layers": layers, "hidden": hidden, "streams": streams,
        "seconds": seconds,
    }  # fmt: skip

    def own(job: str) -> Entry:
        return enter(Path(__file__), {"": {**base, "job": job}})

    def onnx(int8: bool) -> Entry:
        forms = [[graph, threads] for graph in ("gates", "lstm") for threads in (1, 2)]
        arguments = {**base, "forms": forms, "int8": int8}
        return enter(rival("onnx_step.py"), {"": arguments}, needs=("onnxruntime",))

    jax = {"": {**base, "job": "write", "flat": True, "unrolls": [1, 4, 16]}}
    made: dict[str, Callable[[], Entry]] = {
        "charlstm": lambda: own("engine"),
        "onnx": lambda: onnx(int8=False),
        "jax": lambda: enter(rival("jax_scan.py"), jax, needs=("jax",)),
    }
    for name in ("fast", *LOW):
        made[name] = functools.partial(own, name) if has_fast() else (
            lambda: Entry(None, "not installed")
        )  # fmt: skip
    if streams == 1:
        torch = rival("torch_loop.py")
        cells = {f"{n} threads": {**base, "job": "cell", "threads": n, "warm": 20} for n in (1, 2)}
        made["int8"] = lambda: onnx(int8=True)
        made["reading"], made["large"] = lambda: own("reading"), lambda: own("large")
        made["cell"] = lambda: enter(torch, cells)
        for name, threads in (("single", 1), ("default", 0)):
            arguments = {**base, "job": "lstm", "threads": threads, "warm": 20}
            made[name] = functools.partial(fresh, torch, arguments)
    return {name: make() for name, make in made.items() if name in wanted}


def main() -> None:
    """Print the tables, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of many streams, two less")
    parser.add_argument("--seconds", type=float, default=0.2, help="of a round")
    parser.add_argument("--sizes", default=SIZES, help="LxH,LxH,...")
    parser.add_argument("--streams", default=",".join(map(str, STREAMS)), help="N,N,...")
    parser.add_argument("--contestants", default=",".join(ONE), help=f"of {', '.join(ONE)}")
    options = parser.parse_args()
    wanted = {"charlstm", "reading", "large", *options.contestants.split(",")}
    columns = {name: label for name, label in ONE.items() if name in wanted}
    streams = [int(n) for n in options.streams.split(",") if n]
    one_rows, many_rows, floor_rows = [], [], []
    for size in options.sizes.split(","):
        layers, hidden = map(int, size.split("x"))
        found = entries(layers, hidden, 1, options.seconds, wanted)
        times = race(found, options.rounds)
        mine = times["charlstm"].median
        best = min(times[name].median for name in ("charlstm", "fast") if name in times)
        one = [size]
        for name in columns:
            timing, note = times.get(name), found[name].note
            if timing is None:
                one.append(note)
                continue
            form = f", {note}" if note else ""
            one.append(f"{1e6 * timing.median:.1f} ({timing.spread}){form}")
        one_rows.append(one)
        amount = model_bytes(layers, hidden)
        floor = [size, f"{amount / 1e6:.2f}"]
        for name in ("reading", "large"):
            needed = times[name].median * amount
            floor += [
                f"{1e-9 / times[name].median:.1f}", f"{1e6 * needed:.1f}",
                f"{100 * needed / mine:.0f}% / {100 * needed / best:.0f}%",
            ]  # fmt: skip
        floor_rows.append(floor)
        speeds: dict[str, list[float]] = {
            name: [1 / times[name].median] if name in times else []
            for name in ("charlstm", "fast", *LOW, "jax", "onnx") if name in wanted
        }  # fmt: skip
        for count in streams:
            many = entries(layers, hidden, count, options.seconds, wanted)
            for name, timing in race(many, max(1, options.rounds - 2)).items():
                speeds[name].append(count / timing.median)
        for name, values in speeds.items():
            note = "" if values else found[name].note
            cells = [f"{value:,.0f}" for value in values] or [note] * (1 + len(streams))
            gain = (
                f"{values[1 + streams.index(64)] / values[0]:.1f}x"
                if 64 in streams and len(values) == 1 + len(streams)
                else ""
            )
            many_rows.append([size, ONE[name], *cells, gain])
    floor_head = [
        "model", "MB/char", "GB/s, own size", "floor, us", "share reached",
        "GB/s, 256 MB", "floor, us", "share reached",
    ]  # fmt: skip
    print(
        "## Sampling, one stream: microseconds per character\n\n"
        f"`python benchmarks/sample_speed.py`. {machine()}. {rivals_line()}.\n\n"
        + markdown(["model", *columns.values()], one_rows)
        + "\n\n## Sampling, many streams: characters per second in all\n\n"
        + markdown(["model", "program", "1", *map(str, streams), "64 against 1"], many_rows)
        + "\n\n## Sampling, one stream: against reading the weights from memory\n\n"
        "Shares are those of charlstm / of the faster of it and charlstm[fast].\n\n"
        + markdown(floor_head, floor_rows)
    )


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1].startswith("{"):
        serve(prepare)
    else:
        main()
