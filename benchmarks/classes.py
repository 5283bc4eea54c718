"""How fast does training run in float32 in each class of processor?

A processor's libraries and compiled code are told to be an older one, by the variables that the
table names. Each contestant trains on random characters, 32 streams of 64, for whole steps: forward
and backward pass, gradients clipped, AdamW. They take turns; a round counts its fastest step. The
ceiling is a loop of fused multiply-adds that reads no memory, on all cores, in the same rounds.

A character costs 6 G H^2 + 6 H V floating point operations in the recurrent products and the
softmax, with G = 4 gates of an LSTM, 3 of a coupled one.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from common import interleave, machine, markdown

CLASSES = {
    "avx2": (
        "AVX2 and FMA",
        {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "NUMBA_CPU_NAME": "haswell"},
    ),
    "avx512": (
        "AVX-512 without bfloat16",
        {
            "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
            "ATEN_CPU_CAPABILITY": "avx512",
            "NUMBA_CPU_NAME": "skylake-avx512",
        },
    ),
    "native": ("this processor, float32", {}),
}
VOCAB, STREAMS, MAXLEN = 65, 32, 64
MODELS = ((384, "lstm"), (512, "lstm"), (384, "coupled"), (512, "coupled"))
SECONDS = 0.7
"""Of a contestant's steps in a round."""


def flop(hidden: int, gates: int) -> float:
    """Floating point operations for a character."""
    return 6 * gates * hidden**2 + 6 * hidden * VOCAB


def own(hidden: int, cell: str, kernel: str) -> float:
    """Seconds for a character, by charlstm's training step."""
    import torch

    from charlstm.config import Config
    from charlstm.training.speed import speed_of

    config = Config().override(
        {
            "num_layers": 1, "hidden_size": hidden, "cell": cell, "embedding": 64, "dropout": 0.0,
            "batch_size": STREAMS, "maxlen": MAXLEN, "precision": "float32", "kernel": kernel,
        }
    )  # fmt: skip
    return 1 / speed_of(config, VOCAB, torch.device("cpu"))


@functools.cache
def stock_step(hidden: int) -> Callable[[], float]:
    """A step of a plain loop over `nn.LSTM`."""
    from rivals.torch_loop import training

    return training(
        {"vocab": VOCAB, "hidden": hidden, "layers": 1, "batch": STREAMS, "maxlen": MAXLEN,
         "precision": "float32"}
    )  # fmt: skip


def stock(hidden: int) -> float:
    """Seconds for a character, by `nn.LSTM`."""
    step = stock_step(hidden)
    times: list[float] = []
    while len(times) < 3 or sum(times) < SECONDS:
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[1:]) / (STREAMS * MAXLEN)


@functools.cache
def multiply_adds() -> Callable[[int], float]:
    """A function from a number of threads to seconds for a floating point operation."""
    from numba import njit, types

    from charlstm.kernels.llvm import I64, cgutils, intrinsic, ir
    from charlstm.kernels.matmul import CLASS

    count = CLASS.rows * CLASS.vectors
    vector = ir.VectorType(ir.FloatType(), CLASS.lanes)

    @intrinsic  # type: ignore[untyped-decorator]
    def add(_: Any, steps: Any) -> Any:
        def generate(context: Any, b: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.FunctionType(vector, [vector] * 3)
            fused = cgutils.get_or_insert_function(b.module, kind, f"llvm.fma.v{CLASS.lanes}f32")
            seed = b.bitcast(b.trunc(arguments[0], ir.IntType(32)), ir.FloatType())
            factor: Any = ir.Constant(vector, ir.Undefined)
            for lane in range(CLASS.lanes):
                factor = b.insert_element(factor, seed, ir.Constant(ir.IntType(32), lane))
            before = b.basic_block
            loop, after = b.append_basic_block("loop"), b.append_basic_block("done")
            b.branch(loop)
            b.position_at_end(loop)
            n = b.phi(I64)
            sums = [b.phi(vector) for _ in range(count)]
            results = [b.call(fused, [factor, factor, one]) for one in sums]
            left = b.add(n, ir.Constant(I64, -1))
            n.add_incoming(arguments[0], before)
            n.add_incoming(left, loop)
            for number, (one, result) in enumerate(zip(sums, results, strict=True)):
                start = ir.Constant(vector, [float(number)] * CLASS.lanes)
                one.add_incoming(start, before)
                one.add_incoming(result, loop)
            b.cbranch(b.icmp_signed(">", left, ir.Constant(I64, 0)), loop, after)
            b.position_at_end(after)
            total = results[0]
            for result in results[1:]:
                total = b.fadd(total, result)
            return b.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return types.float32(types.int64), generate

    @njit(nogil=True)
    def run(steps):  # type: ignore[no-untyped-def]
        return add(steps)

    steps = 20_000_000
    run(1)

    def seconds(threads: int) -> float:
        with ThreadPoolExecutor(threads) as pool:
            start = time.perf_counter()
            list(pool.map(run, [steps] * threads))
            return (time.perf_counter() - start) / (2 * count * CLASS.lanes * steps * threads)

    return seconds


def table(rounds: int) -> str:
    """The table of the class that this process is in."""
    import torch

    from charlstm.training.memory import keep_freed_memory

    keep_freed_memory()
    contestants: dict[str, Callable[[], float]] = {
        "ceiling": lambda: min(multiply_adds()(torch.get_num_threads()) for _ in range(2))
    }
    for hidden, cell in MODELS:
        for kernel in ("compiled", "torch"):
            contestants[f"1x{hidden} {cell}, {kernel}"] = functools.partial(
                own, hidden, cell, kernel
            )
    for hidden in sorted({hidden for hidden, _ in MODELS}):
        contestants[f"nn.LSTM {hidden}"] = functools.partial(stock, hidden)
    times = interleave(contestants, rounds)
    ceiling = 1 / times["ceiling"].median
    rows = []
    for hidden, cell in MODELS:
        best, core = (times[f"1x{hidden} {cell}, {kernel}"] for kernel in ("compiled", "torch"))
        other = times[f"nn.LSTM {hidden}"]
        used = flop(hidden, 4 if cell == "lstm" else 3) / best.median
        rows.append(
            [
                f"1x{hidden} {cell}", best.rate(), core.rate(), other.rate(),
                f"{core.median / best.median:.2f}x", f"{other.median / best.median:.2f}x",
                f"{used / 1e9:.0f}", f"{100 * used / ceiling:.0f}%",
            ]
        )  # fmt: skip
    header = [
        "model", "compiled, chars/s", "without numba", "nn.LSTM", "faster than without numba",
        "faster than nn.LSTM", "GFLOP/s", "share of the ceiling",
    ]  # fmt: skip
    return f"Ceiling: {ceiling / 1e9:.0f} GFLOP/s.\n\n{markdown(header, rows)}"


def main() -> None:
    """Print a table for each class, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--classes", default=",".join(CLASSES), help="names, with commas")
    parser.add_argument("--here", action="store_true", help="of this process's own class")
    options = parser.parse_args()
    if options.here:
        print(table(options.rounds))
        return
    print(
        "## How fast is training in float32 in each class of processor?\n\n"
        f"{machine()}. `python benchmarks/classes.py`, batches of 32 windows of 64; one table "
        "alone with `--classes NAME`. Characters per second of whole steps, optimizer included."
    )
    for name in options.classes.split(","):
        title, mask = CLASSES[name]
        result = subprocess.run(
            [sys.executable, __file__, "--here", "--rounds", str(options.rounds)],
            env=os.environ | mask, check=True, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        words = " ".join(f"{key}={value}" for key, value in mask.items())
        print(f"\n### {title} (`{name}`)\n\n{f'`{words}`. ' if words else ''}{result.stdout}")


if __name__ == "__main__":
    main()
