"""Run a command until it shows a first sign, and measure: seconds until then, and peak memory.

`python until.py '{"command": [...], "sign": SIGN, "folder": "RUNS" or null}'` waits for the first
byte on stdout and lets the command finish (`output`); or it waits for the first byte on stderr
(`message`), or for the first line of metrics.jsonl in a run below the folder (`step`), and ends the
command by SIGTERM. It prints JSON. A process of its own, and a small
one: what the system calls a child's peak is never less than its parent's size.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Seen:
    """What was measured.

    Attributes:
        seconds: until the first sign.
        whole: until the end of the process.
        peak_mb: the most memory it had, in MB; the process itself, not its children.
    """

    seconds: float
    whole: float
    peak_mb: float


def until(command: list[str], sign: str = "output", folder: Path | None = None) -> Seen:
    """Have a fresh, small process run the command."""
    path = str(folder) if folder else None
    arguments = json.dumps({"command": command, "sign": sign, "folder": path})
    result = subprocess.run(
        [sys.executable, "-S", __file__, arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return Seen(**json.loads(result.stdout))


def has_line(folder: Path) -> bool:
    """Whether a run has logged a step."""
    return any(path.stat().st_size > 0 for path in folder.glob("*/metrics.jsonl"))


def main() -> None:
    """Run, watch, and print."""
    arguments = json.loads(sys.argv[1])
    sign = arguments["sign"]
    start = time.perf_counter()
    process = subprocess.Popen(
        arguments["command"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if sign == "message" else subprocess.DEVNULL,
    )
    assert process.stdout is not None
    if sign == "step":
        folder = Path(arguments["folder"])
        while process.poll() is None and not has_line(folder):
            time.sleep(0.002)
        seconds = time.perf_counter() - start
        if process.returncode is not None:
            sys.exit(f"{arguments['command']} ended with {process.returncode}")
        process.terminate()
    elif process.stderr is not None:
        os.read(process.stderr.fileno(), 1)
        seconds = time.perf_counter() - start
        process.terminate()
        process.stderr.read()
    else:
        os.read(process.stdout.fileno(), 1)
        seconds = time.perf_counter() - start
    process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    unit = 1e6 if sys.platform == "darwin" else 1e6 / 1024  # bytes there, KiB elsewhere
    whole = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "whole": whole, "peak_mb": usage.ru_maxrss / unit}))


if __name__ == "__main__":
    main()
