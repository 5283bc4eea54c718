"""`runs`, `rename` and `delete`: the runs of a folder, as a whole."""

from __future__ import annotations

import json
import os
import pty
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.cli import main
from charlstm.cli.runs import command as runs_command
from charlstm.errors import RunError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.runs.find import find_run, list_runs
from charlstm.runs.folder import Run
from charlstm.runs.lock import RunLock
from charlstm.runs.manage import contents, delete_run, rename_run
from tests.conftest import TINY, Program, assert_clear, names, read_terminal, run_program
from tests.test_broken_runs import BROKEN, break_, bytes_read


@pytest.fixture(scope="session")
def both(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `play`, and `piped`, whose text came through a pipe."""
    folder = tmp_path_factory.mktemp("both")
    shutil.copytree(trained, folder, dirs_exist_ok=True)
    text = (folder / "play.txt").read_bytes()[:3000]
    result = run_program(
        "train", "-", "--name", "piped", "--epochs", 1, *TINY, "--quiet", cwd=folder, stdin=text
    )
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def runs(both: Path, tmp_path: Path) -> Path:
    """A copy of `checkpoints` in the test's own folder."""
    shutil.copy(both / "play.txt", tmp_path)
    shutil.copytree(both / "checkpoints", tmp_path / "checkpoints")
    return tmp_path / "checkpoints"


def records(program: Program) -> list[dict[str, Any]]:
    return [json.loads(line) for line in program("runs", "--json").stdout.splitlines()]


def test_runs_of_one_text_stand_together(runs: Path, program: Program) -> None:
    for number, (name, source) in enumerate(
        [("a", "play"), ("b", "piped"), ("c", "play"), ("d", "piped")]
    ):
        shutil.copytree(runs / source, runs / name)
        for path in (runs / name).iterdir():
            os.utime(path, (1e9 + number, 1e9 + number))
    (runs / "a" / "notes.txt").write_text("x" * 1000)
    found = records(program)
    # The newest run of all is `piped` or `play`, whichever was trained last; then by age.
    assert [record["name"] for record in found] == ["piped", "d", "b", "play", "c", "a"]
    assert found[-1]["saved"].startswith("2001-09-0")
    sizes = [os.path.getsize(path) for path in (runs / "a").iterdir() if path.suffix != ".txt"]
    assert found[-1]["bytes"] == sum(sizes)
    table = [line.split() for line in program("runs").stdout.splitlines()]
    assert [line[0] for line in table] == ["run", "piped", "d", "b", "play", "c", "a"]
    assert table[0][-3:] == ["saved", "size", "text"]
    assert table[-1][-2:] == ["play.txt", f"({found[-1]['num_chars']:,})"]
    assert "2001-09-0" in " ".join(table[-1])


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_entries_hide_no_run(runs: Path, program: Program, kind: str) -> None:
    break_(runs, kind)
    assert {record["name"] for record in records(program)} == {"play", "piped"}
    result = program("info", "--json")
    assert json.loads(result.stdout)["checkpoint"] == "checkpoints/piped/best.npz"


def test_resume_goes_on_beside_a_link_to_itself(runs: Path, program: Program) -> None:
    (runs / "loop").symlink_to("loop")
    assert program("train", "--resume", "--epochs", 2, "--quiet").returncode == 0
    assert program("sample", "--length", 3).returncode == 0


def test_listing_reads_little(runs: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    whole = load_checkpoint(runs / "play" / "last.npz")
    large = {**whole.arrays, "optimizer/large": np.zeros(500_000, dtype=np.float32)}
    for number in range(10):
        folder = runs / f"large-{number}"
        folder.mkdir()
        for name in ("last.npz", "best.npz", "step-00000007.npz"):
            save_checkpoint(folder / name, whole.meta, large)
    before = bytes_read()
    runs_command.main(
        ["--json", "--runs-dir", str(runs)], standalone_mode=False, **main.context_settings
    )
    assert bytes_read() - before < 1_000_000
    assert capsysbinary.readouterr().out.count(b"\n") == 12


def test_a_run_of_a_newer_version_is_said_to_be_one(runs: Path, program: Program) -> None:
    whole = load_checkpoint(runs / "play" / "last.npz")
    meta = {**whole.meta, "charlstm": "99.0", "config": {"train": {"lookahead": 1}}}
    save_checkpoint(runs / "play" / "last.npz", meta, whole.arrays)
    result = program("runs")
    assert result.returncode == 0
    assert "written by a newer charlstm (99.0)" in result.stderr
    assert_clear(program("train", "--resume", "play"), 1, "newer charlstm (99.0)", "lookahead")


# ------------------------------------------------------------------------ rename


def test_a_renamed_run_goes_on(runs: Path, program: Program, both: Path) -> None:
    assert program("rename", "piped", "über 2").returncode == 0
    assert names(list(runs.iterdir())) == ["play", "über 2"]
    assert names(list((runs / "über 2").iterdir())) == names(
        list((both / "checkpoints" / "piped").iterdir())
    )
    for arguments in (["sample", "über 2", "--length", 3], ["info", "über 2"], ["eval", "über 2"]):
        result = program(*arguments)
        assert result.returncode == 0, result.stderr
    result = program("train", "--resume", "über 2", "--epochs", 2, "--quiet", "--json")
    assert json.loads(result.stdout)["epoch"] == 2
    (runs / "empty").mkdir()
    assert program("rename", "checkpoints/play", "empty").returncode == 0
    assert find_run("empty", runs).saved_at()


@pytest.mark.parametrize(
    ("run", "new", "code", "words"),
    [
        ("play", "piped", 1, ["'piped' is taken"]),
        ("play", "play", 1, ["'play' is taken"]),
        ("play", "loop", 1, ["'loop' is taken"]),
        ("play", "file", 1, ["'file' is taken"]),
        ("play", "../x", 2, ["'../x' is not valid"]),
        ("play", "-x", 2, ["'-x' is not valid"]),
        ("play", "", 2, ["'' is not valid"]),
        ("none", "x", 1, ["'none' is not a run"]),
        ("checkpoints/play/last.npz", "x", 1, ["is one file", "name the run's folder"]),
        ("checkpoints/play/best.npz", "x", 1, ["is one file", "name the run's folder"]),
        ("link", "x", 1, ["link", "is a link to", "play"]),
        ("trained", "x", 1, ["being trained"]),
    ],
)
def test_what_cannot_be_renamed(
    runs: Path, program: Program, run: str, new: str, code: int, words: list[str]
) -> None:
    (runs / "loop").symlink_to("loop")
    (runs / "file").touch()
    (runs / "link").symlink_to("play")
    shutil.copytree(runs / "play", runs / "trained")
    lock = RunLock(runs / "trained")
    before = sorted(runs.rglob("*"))
    assert_clear(program("rename", "--", run, new), code, *words)
    assert sorted(runs.rglob("*")) == before
    lock.release()


def test_a_name_that_is_being_taken_is_not_used(runs: Path) -> None:
    """A new run has made its folder, and not saved yet."""
    new, lock = Run.create(runs, "new", "x")
    with pytest.raises(RunError, match="is taken"):
        rename_run(find_run("play", runs), "new")
    lock.release()
    assert rename_run(find_run("play", runs), "new") == new


@pytest.mark.parametrize("error", [FileExistsError(17, "File exists"), OSError(5, "I/O error")])
def test_a_rename_that_fails(runs: Path, monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    real, failures = os.rename, [error]

    def rename(source: Any, target: Any) -> None:
        if failures:
            raise failures.pop()
        assert not os.path.lexists(target)
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    run = find_run("play", runs)
    if isinstance(error, FileExistsError):  # Windows replaces no folder: it goes first
        assert rename_run(run, "new").saved_at()
        return
    with pytest.raises(RunError, match="cannot rename"):
        rename_run(run, "new")
    assert names(list(runs.iterdir())) == ["piped", "play"]
    RunLock(run.folder).release()


# ------------------------------------------------------------------------ delete


def test_runs_are_deleted(runs: Path, program: Program) -> None:
    (runs / "play" / ".last.npz.a1.tmp").touch()
    result = program("delete", "play", "checkpoints/piped", "play", "--yes")
    assert result.returncode == 0, result.stderr
    assert "play" in result.stderr
    assert "saved text" in result.stderr
    assert result.stdout == ""
    assert list(runs.iterdir()) == []
    assert (runs.parent / "play.txt").exists()


def test_what_others_have_put_into_a_run_is_kept(runs: Path, program: Program) -> None:
    folder = runs / "play"
    for name in ("notes.md", "corpus.txt", "last.npz.bak", ".hidden"):
        (folder / name).write_text("mine")
    (folder / ".best.npz.a.tmp").symlink_to("/etc/hostname")
    (folder / "plots").mkdir()
    (folder / "plots" / "last.npz").write_text("mine")
    result = program("delete", "play", "--yes")
    assert result.returncode == 0
    assert "notes.md" in result.stderr
    kept = [".best.npz.a.tmp", ".hidden", "corpus.txt", "last.npz.bak", "notes.md", "plots"]
    assert names(list(folder.iterdir())) == kept
    assert (folder / "plots" / "last.npz").read_text() == "mine"
    assert [run.name for run in list_runs(runs)] == ["piped"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ["Missing argument"]),
        (["play"], 2, ["--yes"]),
        (["play", "none", "--yes"], 1, ["'none' is not a run"]),
        (["play", "file", "--yes"], 1, ["'file' is not a run"]),
        (["play", "trained", "--yes"], 1, ["being trained"]),
        (["link", "--yes"], 1, ["is a link to", "play"]),
        (["checkpoints/play/last.npz", "--yes"], 1, ["is one file"]),
        (["checkpoints/play/best.npz", "--yes"], 1, ["is one file"]),
        (["checkpoints", "--yes"], 1, ["is not a run"]),
        ([".", "--yes"], 1, ["is not a run"]),
    ],
    ids=str,
)
def test_what_is_not_deleted(
    runs: Path, program: Program, arguments: list[str], code: int, words: list[str]
) -> None:
    (runs / "link").symlink_to("play")
    (runs / "file").touch()
    shutil.copytree(runs / "play", runs / "trained")
    lock = RunLock(runs / "trained")
    before = sorted(runs.rglob("*"))
    assert_clear(program("delete", *arguments), code, *words)
    assert sorted(runs.rglob("*")) == before
    lock.release()


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1), (b"\x04", 130)])
def test_on_a_terminal_it_asks(runs: Path, answer: bytes, code: int) -> None:
    pid, primary = pty.fork()
    if not pid:
        os.chdir(runs.parent)
        os.execv(sys.executable, [sys.executable, "-m", "charlstm", "delete", "play"])
    try:
        shown = read_terminal(primary, b"[y/N]")
        assert b"checkpoints/play" in shown
        assert b"MB" in shown
        with pytest.raises(RunError, match="being trained"):
            RunLock(runs / "play")  # it cannot be trained while the question stands
        os.write(primary, answer)
        shown = read_terminal(primary)
    finally:
        os.close(primary)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == code
    assert (b"nothing was deleted" in shown) == (code == 1)
    assert (b"Error" in shown) == (code == 130)
    assert (runs / "play").exists() == bool(code)


def test_a_delete_that_was_cut_off_can_be_repeated(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a file of the run is left, it is still a run."""
    run = find_run("piped", runs)
    total = len(contents(run).files)
    real, allowed = os.unlink, [0]

    def unlink(path: Any, *arguments: Any, **keywords: Any) -> None:
        if not allowed[0]:
            raise OSError(5, "Input/output error")
        allowed[0] -= 1
        real(path, *arguments, **keywords)

    monkeypatch.setattr(os, "unlink", unlink)
    assert total > 3
    for left in range(total, 0, -1):
        assert len(contents(run).files) == left
        assert find_run("piped", runs) == run
        allowed[0] = 1
        if left > 1:
            with pytest.raises(RunError, match="cannot delete"):
                delete_run(run)
    delete_run(run)
    assert not run.folder.exists()
