"""What this machine offers for training and sampling, and what could be better (`charlstm doctor`).

Nothing here raises an error for what is missing: each part of the report says so in its place.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

from charlstm import __version__
from charlstm.doctor.speeds import KNOWN_MACHINES, Speed, nearest
from charlstm.errors import ProcessorError
from charlstm.kernels.availability import unavailable
from charlstm.memory import available_memory, total_memory
from charlstm.processors import affinity, available_processors, cpu_quota
from charlstm.text.cache import cache_folder

PRECISIONS = ("float32", "bfloat16", "int8")
_LEAST_MEMORY = 2_000_000_000
_SLOW = 0.5  # of the speed of a known machine of that kind

# Extras of the package, and what each adds.
_EXTRAS = {
    "numba": ("fast", "training and long samples are faster with it"),
    "optuna": ("search", "`charlstm search` needs it"),
    "lxml": ("documents", "Word, EPUB, OpenDocument and HTML files need it"),
}
PACKAGES = ("torch", "numpy", "click", "tqdm", "numba", "llvmlite", "optuna", "lxml")

# Features of a processor that torch or the kernels use, by their names in /proc/cpuinfo.
_FEATURES = (
    "avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "avx_vnni", "amx_bf16", "asimd", "bf16",
)  # fmt: skip


class Finding(NamedTuple):
    """Something that can be better.

    Attributes:
        what: what was found.
        advice: what to do.
    """

    what: str
    advice: str


class Report(NamedTuple):
    """What was found.

    Attributes:
        facts: a JSON object, by section.
        findings: what could be better.
    """

    facts: dict[str, Any]
    findings: list[Finding]


def examine(runs_dir: Path, speed_test: Callable[[], Speed] | None = None) -> Report:
    """Examine this machine; takes about two seconds, most of it the import of torch.

    Args:
        runs_dir: the folder of runs.
        speed_test: measures the speed of training; None: leave it out.
    """
    findings: list[Finding] = []
    facts: dict[str, Any] = {
        "versions": _versions(findings),
        "processor": _processor(),
        "cores": _cores(findings),
        "memory": _memory(findings),
        "kernels": _kernels(findings),
        "folders": _folders(runs_dir, findings),
        "gpu": _gpu(),
    }
    if speed_test is not None:
        facts["speed"] = _speed(speed_test, findings)
    return Report(facts, findings)


def _versions(findings: list[Finding]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {
        "charlstm": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
    }
    for package in PACKAGES:
        versions[package] = None
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    for package, (extra, gain) in _EXTRAS.items():
        if versions[package] is None:
            findings.append(
                Finding(f"{package} is not installed: {gain}.", f"pip install 'charlstm[{extra}]'")
            )
    return versions


def _processor() -> dict[str, Any]:
    model, features = platform.processor() or platform.machine(), list[str]()
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                model = value.strip()
            elif name.strip() in ("flags", "Features"):
                features = [feature for feature in _FEATURES if feature in value.split()]
                break
    return {"model": model, "features": features}


def _cores(findings: list[Finding]) -> dict[str, Any]:
    count, usable = os.cpu_count() or 1, available_processors()
    quota = cpu_quota() if sys.platform == "linux" else None
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is not None and threads.isdigit() and 0 < int(threads) < usable:
        findings.append(
            Finding(
                f"OMP_NUM_THREADS={threads} limits training to {threads} of {usable} processors.",
                "Unset it, or give --threads.",
            )
        )
    if usable < affinity():
        findings.append(
            Finding(
                f"the container's CPU quota is {quota:g} of {count} processors.",
                "Raise the quota, for example with docker run --cpus.",
            )
        )
    return {
        "count": count, "affinity": affinity(), "quota": quota, "usable": usable,
        "OMP_NUM_THREADS": threads,
    }  # fmt: skip


def _memory(findings: list[Finding]) -> dict[str, int | None]:
    total, available = total_memory(), available_memory()
    if available is not None and available < _LEAST_MEMORY:
        findings.append(
            Finding(
                f"only {available / 1e9:.1f} GB of memory is available.",
                "Close other programs, or train a small model: --hidden-size 256 --batch-size 16.",
            )
        )
    return {"total": total, "available": available}


def _kernels(findings: list[Finding]) -> dict[str, str | None]:
    """For each precision, why there is no compiled code for it; None where there is."""
    why: dict[str, str | None] = {}
    advice: dict[str, str] = {}  # by reason
    for precision in PRECISIONS:
        try:
            error = unavailable(precision)
        except Exception as fault:  # any, where numba does not fit this machine
            error = fault
        why[precision] = None if error is None else _first_line(error)
        if error is not None and not isinstance(error, ImportError):
            advice.setdefault(_first_line(error), _kernel_advice(precision, error))
    for reason, what_to_do in advice.items():
        lacking = ", ".join(precision for precision in PRECISIONS if why[precision] == reason)
        findings.append(Finding(f"no compiled code for {lacking}: {reason}", what_to_do))
    return why


def _kernel_advice(precision: str, error: Exception) -> str:
    if isinstance(error, ProcessorError):
        slower = "sampling in" if precision == "int8" else "training in"
        return f"Nothing to do: torch or numpy is used instead, and {slower} {precision} is slower."
    if "NUMBA_" in str(error):
        return "Unset the variables, or set them as the message says."
    return "pip install --upgrade numba llvmlite, in versions that fit each other and numpy."


def _folders(runs_dir: Path, findings: list[Finding]) -> dict[str, dict[str, Any]]:
    texts, compiled = cache_folder(), _numba_folder()
    places = {
        "runs": (runs_dir, "Give another folder with --runs-dir or CHARLSTM_RUNS_DIR."),
        "cache": (texts, "Set XDG_CACHE_HOME to a folder that can be written."),
        "compiled": (compiled, "Set NUMBA_CACHE_DIR to a folder that can be written."),
    }
    found: dict[str, dict[str, Any]] = {}
    for name, (folder, advice) in places.items():
        if folder is None:
            found[name] = {"path": None, "writable": None}
            if name == "cache":
                findings.append(Finding("there is no home folder for the cache of texts.", advice))
            continue
        writable = _can_write(folder)
        found[name] = {"path": str(folder), "writable": writable}
        if not writable:
            findings.append(Finding(f"{folder} cannot be written.", advice))
    return found


def _numba_folder() -> Path | None:
    """The folder of compiled code; None without numba, or if it has no folder."""
    try:
        module = import_module("charlstm.kernels.elementary")
        functions = [value for value in vars(module).values() if hasattr(value, "stats")]
        return Path(functions[0].stats.cache_path)
    except Exception:  # numba is missing, or does not fit this machine: reported with the kernels
        return None


def _can_write(folder: Path) -> bool:
    """Whether a file can be made in a folder, or in the nearest parent that exists."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _gpu() -> dict[str, Any]:
    try:
        torch = import_module("torch")
        names = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
        if torch.backends.mps.is_available():
            names.append("Apple GPU (mps)")
        return {"devices": names, "built_for_cuda": torch.version.cuda}
    except Exception as error:  # torch is missing or damaged, or a driver fails
        return {"devices": [], "built_for_cuda": None, "error": _first_line(error)}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _speed(speed_test: Callable[[], Speed], findings: list[Finding]) -> dict[str, Any] | None:
    try:
        speed = speed_test()
    except Exception as error:  # any: the report is made for machines with faults
        findings.append(
            Finding(
                f"the speed test failed: {type(error).__name__}: {_first_line(error)}",
                "Reinstall torch; if that does not help, report it with this output.",
            )
        )
        return None
    like = nearest(speed)
    if like is not None and speed.chars_per_second < _SLOW * like.speed:
        findings.append(
            Finding(
                f"training is less than half as fast as on {like.name}.",
                "Close other programs; connect a laptop's power supply; unset OMP_NUM_THREADS.",
            )
        )
    return {
        **speed._asdict(),
        "known_machines": [machine._asdict() for machine in KNOWN_MACHINES],
    }
