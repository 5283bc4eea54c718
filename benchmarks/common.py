"""What the benchmarks share: interleaved rounds, medians, workers, and a word on the machine."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROUNDS = 5
HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RIVALS = HERE / "rivals"


@dataclass(frozen=True)
class Timing:
    """Seconds of several rounds."""

    seconds: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> str:
        """How far the fastest and slowest lie from the middle, in percent."""
        low, high = min(self.seconds) / self.median - 1, max(self.seconds) / self.median - 1
        return f"{100 * low:+.0f}% {100 * high:+.0f}%"

    def rate(self, amount: float = 1.0) -> str:
        """`amount` in a second, with how far the slowest and the fastest round lie from it."""
        slow, fast = self.median / max(self.seconds) - 1, self.median / min(self.seconds) - 1
        return f"{amount / self.median:,.0f} ({100 * slow:+.0f}% {100 * fast:+.0f}%)"


def interleave(
    contestants: Mapping[str, Callable[[], float]], rounds: int = ROUNDS, *, warm_up: bool = True
) -> dict[str, Timing]:
    """Let each contestant run once a round; each returns its own seconds.

    Interleaved, whatever slows the machine down for a while slows all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for contestant in contestants.values() if warm_up else ():
        contestant()
    for _ in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(contestant())
    return {name: Timing(seconds) for name, seconds in times.items()}


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> str:
    """Processor, cores, versions, and today's date: the results belong to both."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [n for n in cpuinfo.read_text().splitlines() if n.startswith("model name")]
        if names:
            model = names[0].partition(":")[2].strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))
    return (
        f"{model}, {os.cpu_count()} cores, {platform.system()}, "
        f"Python {platform.python_version()}, {packages}, "
        f"{datetime.datetime.now(datetime.UTC).date().isoformat()}"
    )


class WorkerError(Exception):
    """A worker ended before its time; the text is the end of its stderr."""


class Worker:
    """A process that has prepared something, and times one round of it on demand.

    It stays warm while others have their rounds. The other side is `serve`.

    Args:
        script: a Python file that calls `serve`.
        arguments: what its `prepare` gets, as JSON.
        python: the interpreter; this one unless given.
        environment: variables beside this process's own.

    Raises:
        WorkerError: it failed before it was ready.
    """

    def __init__(
        self,
        script: Path,
        arguments: Mapping[str, Any],
        *,
        python: str = sys.executable,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115 - open as long as the worker
            "w+", encoding="utf-8", errors="replace"
        )
        # A rival's script imports `serve` from here.
        path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [python, str(script), json.dumps(arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            env={**os.environ, "PYTHONPATH": path, **(environment or {})},
        )  # fmt: skip
        ready = self._answer()
        self.compile_seconds = float(ready["compile_seconds"])
        self.note = str(ready["note"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return dict(json.loads(line))
        self._process.wait()
        self._errors.seek(0)
        tail = "".join(self._errors.readlines()[-15:])
        self.close()
        raise WorkerError(tail or f"exit code {self._process.returncode}")

    def seconds(self) -> float:
        """Seconds for one unit (a character, say), by one round.

        Raises:
            WorkerError: it ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the missing answer tells
            self._process.stdin.write("round\n")
            self._process.stdin.flush()
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._errors.close()


@dataclass(frozen=True)
class Prepared:
    """What a worker offers.

    Attributes:
        work: does some units of work, and returns how many.
        compile_seconds: what the first call took, if it compiled.
        seconds: about how long a round shall take.
        note: which of its forms it found to be the fastest.
    """

    work: Callable[[], float]
    compile_seconds: float = 0.0
    seconds: float = 2.0
    note: str = ""


def serve(prepare: Callable[[dict[str, Any]], Prepared]) -> None:
    """A worker's side: prepare, say so, then a timed round for each line of stdin.

    A round repeats `work` for about the seconds wished; the answer is seconds per unit.
    """
    # What libraries print on stdout shall not disturb the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepared = prepare(json.loads(sys.argv[1]))
    work = prepared.work
    work()
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < prepared.seconds / 4 or calls == 0:
        work()
        calls += 1
    repeats = max(1, round(calls * prepared.seconds / (time.perf_counter() - start)))
    ready = {
        "ready": True, "compile_seconds": prepared.compile_seconds, "note": prepared.note,
    }  # fmt: skip
    print(json.dumps(ready), file=answers, flush=True)
    for _line in sys.stdin:
        start = time.perf_counter()
        units = sum(work() for _ in range(repeats))
        spent = time.perf_counter() - start
        print(json.dumps({"seconds": spent / units}), file=answers, flush=True)


def rivals_python() -> str:
    """The interpreter that has the rivals: CHARLSTM_RIVALS, or what `make rivals` made."""
    return os.environ.get("CHARLSTM_RIVALS") or str(HERE / ".venv" / "bin" / "python")


@functools.cache
def rival_versions() -> dict[str, str]:
    """The rivals that are installed, with their versions."""
    code = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"
    )
    try:
        found = subprocess.run(
            [rivals_python(), "-c", code], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    all_versions: dict[str, str] = json.loads(found)
    names = ("jax", "keras", "tensorflow", "tensorflow-cpu", "tensorflow_cpu", "onnxruntime")
    return {
        name.replace("_", "-").removesuffix("-cpu"): all_versions[name]
        for name in names
        if name in all_versions
    }


def rivals_line() -> str:
    """The rivals' versions, for a table's head."""
    versions = rival_versions()
    if not versions:
        return "No rivals are installed (`make rivals`)"
    return "Rivals: " + ", ".join(f"{name} {number}" for name, number in versions.items())


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
