"""How fast is text sampled while other programs keep the processors busy?

The other programs are endless loops in processes of their own. A fixed number of threads goes on
with it, however long the threads wait for each other; the automatic number is what
`charlstm sample` uses. When the other programs end, the automatic number has recovered after the
first half second in which it reaches 95% of its speed on an idle machine.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any

import numpy as np
from common import machine, markdown
from numpy.typing import NDArray
from sample_speed import make_engine

from charlstm.inference import fast_writer
from charlstm.inference.fast_writer import FastWriter
from charlstm.inference.generation import load_writer

BLOCK = 4096  # characters of a call, as in `charlstm.inference.generation`
SHARE, RECENT = 0.95, 0.5


class FixedWriter(FastWriter):
    """A writer that keeps its number of threads."""

    def _run(self, temperature: float, *arrays: NDArray[Any]) -> None:
        done = 0
        while done < len(arrays[1]):
            done += self._advance(temperature, *(array[done:] for array in arrays))


@contextmanager
def other_programs(count: int) -> Iterator[None]:
    """So many processes that compute without end."""
    with ExitStack() as stack:
        for _ in range(count):
            loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(loop.wait)
            stack.callback(loop.kill)
        time.sleep(0.2)
        yield


def writers(layers: int, hidden: int, precision: str) -> dict[str, FastWriter]:
    """A writer with each fixed number of threads, and the automatic one."""
    automatic, most = fast_writer._unit_threads, fast_writer._max_threads()
    found: dict[str, FastWriter] = {}
    for name in ("automatic", *map(str, range(1, most + 1))):
        session = make_engine(layers, hidden).session()
        session.step(0)
        fixed = name != "automatic"
        fast_writer._unit_threads = (lambda *_, n=int(name): n) if fixed else automatic
        found[name] = (FixedWriter if fixed else FastWriter)(session, precision)
    fast_writer._unit_threads = automatic
    return found


def block(writer: FastWriter, rng: np.random.Generator) -> None:
    """Sample some characters."""
    writer.write(rng.random((BLOCK, 1)), 1.0)


def speed(writer: FastWriter, seconds: float) -> float:
    """Characters per second."""
    rng, chars, start = np.random.default_rng(0), 0, time.perf_counter()
    while time.perf_counter() < start + seconds:
        block(writer, rng)
        chars += BLOCK
    return chars / (time.perf_counter() - start)


def recovery(writer: FastWriter, idle: float, others: int, seconds: float) -> float:
    """Seconds from the end of the other programs to full speed; inf: later than that."""
    with other_programs(others):
        speed(writer, seconds)
    rng, ends = np.random.default_rng(0), [time.perf_counter()]
    while ends[-1] < ends[0] + seconds:
        block(writer, rng)
        ends.append(time.perf_counter())
    times = np.array(ends) - ends[0]
    for first, start in enumerate(times):
        last = int(np.searchsorted(times, start + RECENT))
        if last == len(times):
            break
        if (last - first) * BLOCK / (times[last] - start) >= SHARE * idle:
            return float(start)
    return float("inf")


def rows(size: str, precision: str, rounds: int, seconds: float) -> Iterator[list[str]]:
    """Lines of the table for a model and a precision."""
    layers, hidden = map(int, size.split("x"))
    found = writers(layers, hidden, precision)
    idle = 0.0
    for others in (0, 1, 2):
        speeds: dict[str, list[float]] = {name: [] for name in found}
        with other_programs(others):
            for _ in range(rounds):
                for name, writer in found.items():
                    speeds[name].append(speed(writer, seconds))
        middle = {name: median(values) for name, values in speeds.items()}
        best = max(middle[name] for name in middle if name != "automatic")
        line = [size, precision, str(others), *(f"{middle[name]:,.0f}" for name in found)]
        line.append(f"{100 * middle['automatic'] / best:.0f}%")
        if others:
            line.append(f"{recovery(found['automatic'], idle, others, 3.0):.1f}")
        else:
            idle = middle["automatic"]
            line.append("")
        yield line


def main() -> None:
    """Print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="2x512", help="LxH,LxH,...")
    parser.add_argument("--precisions", default="float32,int8")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a round")
    options = parser.parse_args()
    lines: list[list[str]] = []
    for precision in options.precisions.split(","):
        if load_writer(precision) is None:
            sys.exit(f"no {precision} here")
        for size in options.sizes.split(","):
            lines += rows(size, precision, options.rounds, options.seconds)
    threads = [f"{n} threads" for n in range(1, fast_writer._max_threads() + 1)]
    head = [
        "model", "precision", "other programs", "automatic", *threads,
        "automatic against the best", "seconds to full speed after they end",
    ]  # fmt: skip
    print(
        "## Sampling beside other programs: characters per second\n\n"
        f"`python benchmarks/busy.py`. {machine()}.\n\n" + markdown(head, lines)
    )


if __name__ == "__main__":
    main()
