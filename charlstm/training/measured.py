"""What was measured of this machine, kept on disk for later runs.

A new run measures which number format and which kernel are faster here, and how fast the reference
model trains. That takes a second, and other programs disturb it. A result is therefore kept in the
user's cache folder for a week, in a file whose name is a digest of everything that it depends on:
what was measured, versions, source files, the processor and its features, the number of threads,
and the environment variables that numerical libraries read.

Only measurements of an idle machine are kept. What a file holds is checked before it is used; a
missing, damaged or unexpected one means that the machine is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import stat
import time
from collections.abc import Collection
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, Any

import torch

import charlstm
from charlstm.format.files import replace_file
from charlstm.text.cache import MEASURED_SUFFIX, cache_folder
from charlstm.training.load import CpuUse, used_by_others

_SECONDS = 7 * 24 * 3600.0
_IDLE = 0.25  # processors that other programs use
_MOST_BYTES = 200
# Prefixes of variables that change what numerical libraries compute with.
_VARIABLES = (
    "ATEN_", "DNNL_", "GOMP_", "KMP_", "MKL_", "NUMBA_", "OMP_", "ONEDNN_", "OPENBLAS_", "PYTORCH_",
    "TORCH_",
)  # fmt: skip
_FASTEST = 1e12  # characters per second; more is not believed


class Measured:
    """Measurements of this machine's processors, kept on disk.

    Args:
        cpu_use: processor time when the command began, which tells whether the machine is idle;
            None: nothing is kept, and no speed is recalled.
    """

    def __init__(self, cpu_use: CpuUse | None) -> None:
        self._cpu_use = cpu_use

    def choice(self, name: str, choices: Collection[str], **details: Any) -> str | None:
        """The kept result of a comparison, if it is one of the choices; otherwise None.

        Args:
            name: what was compared.
            choices: the possible results.
            details: what the result depends on, beside the machine.
        """
        value = _read(name, details)
        return value if isinstance(value, str) and value in choices else None

    def speed(self, name: str, **details: Any) -> float | None:
        """A kept speed, in characters per second; None if there is none, or the machine is busy."""
        value = _read(name, details) if self._is_idle() else None
        if isinstance(value, float) and 0 < value < _FASTEST:  # nan is neither
            return value
        return None

    def keep(self, value: str | float, name: str, **details: Any) -> None:
        """Keep a result, unless the machine is busy or the cache folder cannot be written."""
        path = _path(name, details)
        if path is None or not self._is_idle():
            return
        content = json.dumps({"name": name, "value": value}).encode()

        def write(file: IO[bytes]) -> None:
            file.write(content)

        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, write)

    def _is_idle(self) -> bool:
        if self._cpu_use is None:
            return False
        others = used_by_others(self._cpu_use, CpuUse.now())
        return others is not None and others < _IDLE


def _read(name: str, details: dict[str, Any]) -> object:
    """A kept value; None if there is none, or it is too old or damaged."""
    path = _path(name, details)
    try:
        if path is None:
            return None
        facts = path.stat()
        # To open a pipe would wait for a writer.
        if not (stat.S_ISREG(facts.st_mode) and 0 <= time.time() - facts.st_mtime < _SECONDS):
            return None
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
        return content["value"] if content["name"] == name else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _path(name: str, details: dict[str, Any]) -> Path | None:
    folder = cache_folder()
    if folder is None:
        return None
    key = json.dumps([name, details, torch.get_num_threads(), _machine()], sort_keys=True)
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}{MEASURED_SUFFIX}"


@cache
def _machine() -> list[Any]:
    """Everything that a measurement depends on, except what was measured."""
    versions = {}
    for package in ("torch", "numba", "llvmlite", "numpy"):
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    variables = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_VARIABLES) and not name.endswith("_CACHE_DIR")
    }
    return [charlstm.__version__, _sources(), versions, variables, _processor()]


def _sources() -> list[tuple[str, int, int]]:
    """Names, sizes and times of the source files that are measured."""
    package = Path(charlstm.__file__).parent
    found = []
    for folder in ("kernels", "nn", "training"):
        for path in sorted((package / folder).glob("*.py")):
            facts = path.stat()
            found.append((f"{folder}/{path.name}", facts.st_size, facts.st_mtime_ns))
    return found


def _processor() -> list[str]:
    """The processor's model and features, and how many this process may use."""
    allowed = str(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ""
    facts = [platform.machine(), str(os.cpu_count()), allowed]
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return [*facts, platform.processor()]
    # x86 has `model name` and `flags`; ARM has `CPU part` and `Features`.
    wanted = ("model name", "flags", "CPU implementer", "CPU part", "Features", "cache size")
    return facts + sorted({line for line in lines if line.startswith(wanted)})
