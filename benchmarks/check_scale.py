"""How long does `charlstm check` take, and how much memory?

The texts are those of `corpus_scale.py`, made up and just written: they come from the system's page
cache. `--no-speed-test` leaves out the measurement of the machine's speed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine, markdown
from corpus_scale import ALPHABETS, write_text


def check(path: Path) -> tuple[float, float]:
    """Seconds, and peak of resident memory in MB, of one check."""
    command = [sys.executable, "-m", "charlstm", "check", "--no-speed-test", "--json", str(path)]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{command} failed: {child.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Measure each text once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[1, 100, 1000])
    parser.add_argument("--texts", nargs="+", default=list(ALPHABETS), choices=list(ALPHABETS))
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        for name in options.texts:
            for size in options.megabytes:
                write_text(path, ALPHABETS[name], size * 1_000_000)
                seconds, peak = check(path)
                rows.append([f"{name}, {size:,} MB", f"{seconds:.1f}", f"{peak:,.0f}"])
                path.unlink()
    print("## How long does a check of a text take?\n")
    print(f"`python benchmarks/check_scale.py`. {machine()}.\n")
    print(markdown(["text", "seconds", "peak MB"], rows))


if __name__ == "__main__":
    main()
