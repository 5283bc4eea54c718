"""Standard input, output and error: closed, full, a terminal, in another encoding."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from charlstm.cli.output import escape
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import TINY, assert_clear, read_terminal


def test_a_closed_pipe_ends_quietly(trained: Path) -> None:
    shell = f"set -o pipefail; {sys.executable} -m charlstm sample --length 200000 | head -c 100"
    result = subprocess.run(
        ["bash", "-c", shell], cwd=trained, capture_output=True, check=False, timeout=60
    )
    assert len(result.stdout) == 100
    assert result.stderr == b""
    assert result.returncode == 0


@pytest.mark.parametrize("arguments", ["-h", "train -h", "--version"])
def test_help_into_a_closed_pipe(trained: Path, arguments: str) -> None:
    shell = f"set -o pipefail; {sys.executable} -m charlstm {arguments} | true"
    result = subprocess.run(["bash", "-c", shell], cwd=trained, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")


def test_a_prompt_in_another_encoding(trained: Path) -> None:
    arguments = [sys.executable, "-m", "charlstm", "sample", "--unknown", "skip", "--prompt"]
    result = subprocess.run(
        [*arguments, b"caf\xe9"], cwd=trained, capture_output=True, text=True, check=False
    )
    assert_clear(result, 1, "--prompt is not valid text")


def test_a_full_device(trained: Path) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "charlstm", "sample"], cwd=trained, stdout=full,
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert_clear(result, 1, "cannot write to standard output: No space left")


@pytest.mark.parametrize(
    ("shell", "code", "words"),
    [
        ("sample --length 9 >&-", 1, "standard output is closed"),
        ("-h >&-", 1, "standard output is closed"),
        ("sample -h >&-", 1, "standard output is closed"),
        ("runs >&-", 1, "standard output is closed"),
        ("sample --prompt-file - <&-", 1, "standard input: it is closed"),
        ("train - <&-", 1, "standard input: it is closed"),
        ("sample --length 9 2>&-", 0, ""),
        ("sample nowhere 2>&-", 1, ""),
        (f"train play.txt {shlex.join(TINY)} --epochs 1 --runs-dir closed 2>&-", 0, ""),
    ],
)
def test_closed_descriptors(trained: Path, shell: str, code: int, words: str) -> None:
    result = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m charlstm {shell}"],
        cwd=trained, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    assert words in result.stderr
    assert "fault of charlstm" not in result.stderr


def with_control_characters(trained: Path, tmp_path: Path) -> Path:
    """A model whose every second character is ESC or a line separator, whatever it has read."""
    checkpoint = load_checkpoint(trained / "checkpoints" / "play" / "best.npz")
    meta = json.loads(json.dumps(checkpoint.meta))
    characters = sorted(meta["tokenizer"]["characters"])
    characters[0:1] = []
    meta["tokenizer"]["characters"] = "".join(sorted({*characters, "\x1b"}))
    path = tmp_path / "steer.npz"
    arrays = {k: v.copy() for k, v in checkpoint.arrays.items()}
    arrays["model/head.bias"][0] = 50.0  # ESC is the first character
    save_checkpoint(path, meta, arrays)
    return path


def test_control_characters_are_shown_on_a_terminal_only(trained: Path, tmp_path: Path) -> None:
    path = with_control_characters(trained, tmp_path)
    arguments = [sys.executable, "-m", "charlstm", "sample", str(path), "--length", "20"]
    piped = subprocess.run(arguments, capture_output=True, check=True)
    assert piped.stdout == b"\x1b" * 20
    primary, secondary = pty.openpty()
    with subprocess.Popen(arguments, stdout=secondary, stderr=secondary) as process:
        os.close(secondary)
        shown = read_terminal(primary)
    assert process.returncode == 0
    assert b"\x1b" not in shown
    assert shown.count(b"\\x1b") == 20


def test_escape() -> None:
    assert escape("a\x1b]52;c;\x07\tb\n\x9b\u202e\ud800é") == (
        "a\\x1b]52;c;\\x07\tb\n\\x9b\\u202e\\ud800é"
    )
    assert escape("a\nb", newlines=False) == "a\\nb"
