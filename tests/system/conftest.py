"""What the system tests share.

Each test states one promise of `docs/explanation/reliability.md`.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_train import assert_same_run
from tests.conftest import TINY
from tests.zygote import CUTS, Zygote

Count = Callable[[str, int, int], int]
Record = Callable[[int, str], None]
_MARK = "<!-- written by make test-long -->\n"
_ROWS = pytest.StashKey[dict[int, list[str]]]()
SHAPE = [
    "--hidden-size", "16", "--maxlen", "8", "--batch-size", "4", "--sample-every", "0",
    "--precision", "float32", "--kernel", "torch",
]  # fmt: skip
MANY_STEPS = [*TINY, "--batch-size", "4"]
"""A tiny model, in steps enough to be stopped between any two."""


def begin(folder: Path, *arguments: object, **keywords: Any) -> subprocess.Popen[bytes]:
    """Start the program as a shell does, not as a fork of the tests' process."""
    return subprocess.Popen(
        [sys.executable, "-m", "charlstm", *map(str, arguments)],
        cwd=folder,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **keywords,
    )


def check_kills_change_nothing(zygote: Zygote, folder: Path, command: list[str], seed: int) -> None:
    """A new run that is killed again and again, every second time inside a save, ends as another.

    Args:
        zygote: runs the program.
        folder: where it runs.
        command: `train` and its options, without `--name`.
        seed: of the moments of kills.
    """
    chance = random.Random(seed)
    begun = time.monotonic()
    child = zygote.start(*command, "--name", "whole", cwd=folder)
    assert child.wait() == 0, child.errors
    usual, kills = min(1.5, time.monotonic() - begun), 0
    run = folder / "checkpoints" / "killed"
    while True:
        resume = ["train", "--resume", str(run), "--quiet"]
        words = resume if (run / "last.npz").exists() else [*command, "--name", "killed"]
        die = [chance.choice(CUTS), 1 + kills, chance.random() < 0.5, signal.SIGKILL]
        child = zygote.start(*words, cwd=folder, **({"die": die} if kills % 2 == 0 else {}))
        if kills % 2:
            time.sleep(chance.uniform(0.02, usual))
            child.signal(signal.SIGKILL)
        if child.wait() == 0:
            break
        assert child.code == -signal.SIGKILL, child.errors
        kills += 1
    assert kills > 2
    assert_same_run(folder / "checkpoints" / "whole", run)


@pytest.fixture(scope="session")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zygote]:
    """Runs the program without its starting time."""
    with Zygote(tmp_path_factory.mktemp("zygote")) as process:
        yield process


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Count:
    """`count("kills", short, long)`: how often; `--counts kills=7` overrides both."""
    given = dict(
        part.split("=") for part in request.config.getoption("--counts").split(",") if part
    )

    def choose(name: str, short: int, long: int) -> int:
        return int(given.get(name, long if request.config.getoption("--long") else short))

    return choose


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Iterator[Record]:
    """`record(4, "10,000 files")`: a figure for a promise's line of the table."""
    start = time.monotonic()
    rows = request.config.stash.setdefault(_ROWS, {})
    added: list[tuple[int, str]] = []
    yield lambda promise, figure: added.append((promise, figure))
    for promise, figure in added:
        rows.setdefault(promise, []).append(f"{figure}; {time.monotonic() - start:.0f} s")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table; lines of promises that were not tried, or failed, stay as they were."""
    path = session.config.getoption("--report")
    new = session.config.stash.get(_ROWS, {})
    if not path or not new:
        return
    report = Path(path)
    text, _, table = report.read_text("utf-8").partition(_MARK) if report.exists() else ("", "", "")
    rows = {int(n): figure for n, figure in re.findall(r"^\| (\d+) \| (.*) \|$", table, re.M)}
    rows |= {n: "<br>".join(figures) for n, figures in new.items()}
    lines = ["| # | what was done, and how long it took |", "| --- | --- |"]
    lines += [f"| {n} | {rows[n]} |" for n in sorted(rows)]
    report.write_text(text + _MARK + "\n".join(lines) + "\n", "utf-8")


@pytest.fixture
def folder(tmp_path: Path, text: str) -> Path:
    """A folder with `play.txt` in it."""
    (tmp_path / "play.txt").write_text(text, "utf-8")
    return tmp_path


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`tmpfs(bytes)` mounts a file system of that size; for root, where the system allows it."""

    mounted: list[Path] = []

    def mount(size: int, *, options: str = "") -> Path:
        target = tmp_path / f"mount-{len(mounted)}"
        target.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}{options}", "tmpfs", str(target)]
        if (
            os.geteuid() != 0
            or subprocess.run(command, check=False, capture_output=True).returncode
        ):
            pytest.skip("only root, where it may mount, can make a small file system")
        mounted.append(target)
        return target

    yield mount
    for target in mounted:
        subprocess.run(["umount", str(target)], check=True)


def lively(**extra: Any) -> list[str]:
    """Options of a run that saves and logs often."""
    options = {"epochs": 3, "save-every": 20, "log-every": 10} | {
        name.replace("_", "-"): value for name, value in extra.items()
    }
    return [
        *SHAPE,
        *(str(part) for name, value in options.items() for part in (f"--{name}", value)),
    ]
