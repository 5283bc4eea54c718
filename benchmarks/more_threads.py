"""What does a window cost one thread that has a part of the streams, or a part of the units?

More cores than a machine has cannot be measured, but what each of their threads would do can. Today
n threads take 1/n of the streams each through the window, and each reads all recurrent weights at
every step. With units divided instead, each would read 1/n of the weights for all streams, and wait
for the others at every step. One thread runs both here; the products alone, for the second.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from common import machine, markdown, timed
from numpy.typing import NDArray

from charlstm.kernels import lstm_windows
from charlstm.kernels.matmul import empty_panels, multiply, pack

HIDDEN, STREAMS, STEPS, GATES = 512, 32, 64, 4
THREADS = (1, 2, 4, 8, 16)
ROUNDS = 7


def _bfloat16(*shape: int) -> NDArray[Any]:
    """Small numbers."""
    numbers = np.random.default_rng(1).normal(0, 0.05, shape).astype(np.float32)
    return np.ascontiguousarray((numbers.view(np.uint32) >> 16).astype(np.uint16))


def _window() -> list[float]:
    """Seconds of both passes over a window, for each number of threads: the fastest rounds."""
    rows = GATES * HIDDEN
    table, places = _bfloat16(61, rows), np.zeros((STEPS, STREAMS), np.int64)
    weight = _bfloat16(HIDDEN, rows)
    ahead, back = empty_panels(HIDDEN, rows, weight), empty_panels(rows, HIDDEN, weight)
    pack(weight, ahead, 0, len(ahead))
    pack(np.ascontiguousarray(weight.T), back, 0, len(back))
    hs, cs = _bfloat16(STEPS + 1, STREAMS, HIDDEN), np.zeros((STEPS + 1, STREAMS, HIDDEN), "f4")
    acts = _bfloat16(STEPS, STREAMS, GATES + 1, HIDDEN)
    das, d_outputs = _bfloat16(STEPS, STREAMS, rows), _bfloat16(STEPS, STREAMS, HIDDEN)
    dh, dc = np.zeros((2, STREAMS, HIDDEN), np.float32)
    bias, starts = np.zeros(rows, np.float32), np.zeros((0, 0), np.bool_)

    def both(streams: int) -> None:
        lstm_windows.forward(table, places, bias, ahead, hs, cs, acts, starts, 0, streams)
        lstm_windows.backward(d_outputs, back, cs, acts, dh, dc, das, starts, 0, streams)

    return _fastest([functools.partial(both, STREAMS // n) for n in THREADS])


def _products(*, units: bool) -> list[float]:
    """Seconds of a window's forward products for each number of threads."""
    works = []
    for n in THREADS:
        streams, rows = (STREAMS, GATES * HIDDEN // n) if units else (STREAMS // n, GATES * HIDDEN)
        weight, h = _bfloat16(HIDDEN, rows), _bfloat16(streams, HIDDEN)
        packed = empty_panels(HIDDEN, rows, weight)
        pack(weight, packed, 0, len(packed))
        out = np.empty((streams, len(packed) * packed.shape[2]), np.float32)
        works.append(functools.partial(_multiply, h, packed, out))
    return _fastest(works)


def _multiply(h: NDArray[Any], packed: NDArray[Any], out: NDArray[np.float32]) -> None:
    for _ in range(STEPS):
        multiply(h, packed, out)


def _fastest(works: Sequence[Callable[[], None]]) -> list[float]:
    """Seconds of each one's fastest round; they take turns."""
    for work in works:
        work()
    rounds = [[timed(work) for work in works] for _ in range(ROUNDS)]
    return [min(found) for found in zip(*rounds, strict=True)]


def main() -> None:
    """Print the section."""
    header = ["threads", "streams: window", "gain", "streams: products", "units: products"]
    window, streams, units = _window(), _products(units=False), _products(units=True)
    rows = [
        [
            str(n), f"{1e3 * window[i]:.2f}", f"{window[0] / window[i]:.2f}x",
            f"{1e3 * streams[i]:.2f}", f"{1e3 * units[i]:.2f}",
        ]
        for i, n in enumerate(THREADS)
    ]  # fmt: skip
    print(
        "## What would each of more threads do? Milliseconds of one thread\n\n"
        f"`python benchmarks/more_threads.py`. {machine()}. 1x{HIDDEN}, {STREAMS} streams, "
        f"{STEPS} steps, bfloat16.\n\n" + markdown(header, rows)
    )


if __name__ == "__main__":
    main()
