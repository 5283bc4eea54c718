"""`charlstm check` on large texts: bounded memory, progress, Ctrl-C."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import peak_memory

COMMAND = [sys.executable, "-m", "charlstm", "check", "--no-speed-test"]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text of 150 MB whose lines all differ, Latin letters with accents."""
    path = tmp_path_factory.mktemp("large") / "large.txt"
    draw = random.Random(0)
    words = [
        "".join(draw.choices("aeiou\u00e9\u00fcbcdfgh", k=draw.randint(2, 9))) for _ in range(5000)
    ]
    with path.open("w", encoding="utf-8") as file:
        while file.tell() < 150_000_000:
            lines = (" ".join(draw.choices(words, k=9)) for _ in range(20_000))
            file.write("\n".join(lines) + "\n")
    return path


def peak_of(path: Path) -> int:
    """The peak of resident memory of a check, in bytes."""
    return peak_memory([*COMMAND, path])[0]


def test_memory_does_not_grow_with_the_text(large: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.txt"
    with large.open("rb") as file:
        part.write_bytes(file.read(30_000_000).rpartition(b"\n")[0])
    small, whole = peak_of(part), peak_of(large)
    assert whole < 500_000_000
    assert whole < small + 120_000_000  # the table of lines is not full yet in the part


def test_one_line_of_many_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "line.txt"
    path.write_text("word " * 20_000_000)
    assert peak_of(path) < 500_000_000


def test_ctrl_c_stops_it(large: Path) -> None:
    child = subprocess.Popen(
        [*COMMAND, large, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    child.stdin.write(b"text\n" * 100)  # it waits for more
    child.stdin.flush()
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(2)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, b"")
    assert b"stopped" in err
