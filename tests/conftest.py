"""Real parts for the tests: a small text, a small trained run, and the program itself."""

from __future__ import annotations

import importlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.zygote import Child, Zygote

PLAY = Path(__file__).parent.parent / "corpora" / "lighthouse.txt"
TINY = ["--hidden-size", "16", "--maxlen", "8", "--batch-size", "16", "--sample-every", "0"]
TINY += ["--dropout", "0.2", "--lr", "0.008"]
NO_PROBES = ["--precision", "float32", "--kernel", "torch"]
"""What else probes choose, by the machine's load: they take a second, and numba compiles first."""
TINY += NO_PROBES
"""Options of a model that trains in a moment."""

Program = Callable[..., subprocess.CompletedProcess[str]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-long` gives these: how often the hard things are done, and where to report it."""
    group = parser.getgroup("system tests")
    group.addoption("--long", action="store_true", help="The long form of tests/system.")
    group.addoption("--counts", default="", help="Counts of its parts: kills=50,damaged=1000")
    group.addoption("--report", default="", help="Write its table of figures to this file.")


def pytest_configure() -> None:
    # Runs go where a test says, whatever the shell that started the tests has set.
    os.environ.pop("CHARLSTM_RUNS_DIR", None)
    # Tiny models gain nothing from threads, and lose much where other programs run, too.
    os.environ["OMP_NUM_THREADS"] = "1"
    # What is measured and cached here does not go to the user's folder.
    Programs.cache = tempfile.mkdtemp(prefix="charlstm-tests-cache-")
    os.environ["XDG_CACHE_HOME"] = Programs.cache


@pytest.fixture(scope="session")
def text() -> str:
    """A few thousand characters of the project's play."""
    return PLAY.read_text("utf-8")[:6000].rpartition("\n")[0] + "\n"


@pytest.fixture
def corpus_file(tmp_path: Path, text: str) -> Path:
    """The same, as a file."""
    path = tmp_path / "play.txt"
    path.write_text(text, "utf-8")
    return path


class Programs:
    """Runs the program, in forks of a process that has imported everything."""

    zygote: Zygote | None = None
    cache = ""


def start_program(*arguments: object, cwd: Path, **options: Any) -> Child:
    """Start `charlstm ARGUMENTS` in a process of its own; warnings are errors there, too.

    Args:
        arguments: the command line.
        cwd: the working directory.
        **options: those of `Zygote.start`.
    """
    if Programs.zygote is None:
        Programs.zygote = Zygote(Path(tempfile.mkdtemp(prefix="charlstm-tests-")))
    return Programs.zygote.start(*arguments, cwd=cwd, **options)


def run_program(
    *arguments: object, cwd: Path, stdin: bytes | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run `charlstm ARGUMENTS` to its end, with `stdin` as standard input."""
    with tempfile.NamedTemporaryFile() as file:
        if stdin is not None:
            file.write(stdin)
            file.flush()
            options["stdin"] = file.name
        child = start_program(*arguments, cwd=cwd, **options)
        child.wait()
    assert child.code is not None
    return subprocess.CompletedProcess(
        list(map(str, arguments)), child.code, child.output.decode(), child.errors
    )


def pytest_unconfigure() -> None:
    """End the process, and leave nothing behind."""
    if Programs.zygote is not None:
        Programs.zygote.__exit__(None, None, None)
        shutil.rmtree(Programs.zygote.folder)
        Programs.zygote = None
    shutil.rmtree(Programs.cache, ignore_errors=True)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """`program("train", "x.txt")` runs the command in the test's folder."""

    def call(*arguments: object, **keywords: object) -> subprocess.CompletedProcess[str]:
        return run_program(*arguments, cwd=tmp_path, **keywords)  # type: ignore[arg-type]

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, text: str) -> Path:
    """A folder with `play.txt` and `checkpoints/play`, a tiny model of it. Not to be changed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "play.txt").write_text(text, "utf-8")
    result = run_program("train", "play.txt", *TINY, "--layers", "2", "--epochs", "2", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def import_script(folder: Path, name: str) -> ModuleType:
    """A script of a folder that is not a package, as a module."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def peak_memory(command: Sequence[object], folder: Path | None = None) -> tuple[int, bytes]:
    """The peak of resident memory of a command in bytes, and what it prints.

    A small process starts it: the system counts the memory of the process that starts a command as
    part of the command's peak.
    """
    script = (
        "import resource, subprocess, sys; "
        "done = subprocess.run(sys.argv[1:], check=True, stdout=subprocess.PIPE); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, flush=True); "
        "sys.stdout.buffer.write(done.stdout)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", script, *map(str, command)],
        check=True, capture_output=True, cwd=folder,
    )  # fmt: skip
    peak, _, printed = done.stdout.partition(b"\n")
    return int(peak), printed


def read_terminal(primary: int, until: bytes | None = None) -> bytes:
    """All that is shown on a terminal until some bytes, or the end of the last program there."""
    shown, deadline = b"", time.monotonic() + 60
    while until is None or until not in shown:
        assert time.monotonic() < deadline, shown
        if not select.select([primary], [], [], 1)[0]:
            continue
        try:
            data = os.read(primary, 65536)
        except OSError:  # how Linux reports the end
            return shown
        if not data:
            return shown
        shown += data
    return shown


def assert_clear(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """The command failed with one or two clear lines that hold the words."""
    assert result.returncode == code, result.stderr
    lines = result.stderr.strip().splitlines()
    errors = lines[next(i for i, line in enumerate(lines) if line.startswith("Error:")) :]
    assert 1 <= len(errors) <= 2, result.stderr
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in "\n".join(errors), result.stderr


def names(paths: Sequence[Path]) -> list[str]:
    """The files' names, sorted."""
    return sorted(path.name for path in paths)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Torch uses two threads, which wait as usual after the test."""
    import torch

    from charlstm.nn.openmp import sleep_while_waiting

    usual = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    sleep_while_waiting(False)
    torch.set_num_threads(usual)
