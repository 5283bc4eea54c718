from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from charlstm.errors import ConfigError, RunError
from charlstm.runs.find import find_run, list_runs, load_model_checkpoint
from charlstm.runs.folder import Run
from charlstm.runs.lock import RunLock, is_locked
from charlstm.runs.names import name_from


def create(runs_dir: Path, name: str | None, source: str = "x") -> Run:
    run, lock = Run.create(runs_dir, name, source)
    lock.release()
    return run


ARRAYS = {"model/x": np.zeros(2, dtype=np.float32)}


def save(run: Run, step: int, previous: int, keep: int = 2) -> None:
    run.save_last({"step": step}, ARRAYS, previous_step=previous, keep=keep)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("hamlet.txt", "hamlet"),
        ("a/b/War and Peace.txt.gz", "War-and-Peace"),
        ("notes/", "notes"),
        ("Три сестры.txt", "Три-сестры"),
        ("..txt", "run"),
        ("v1.2.txt", "v1.2"),
    ],
)
def test_names_from_sources(source: str, name: str) -> None:
    assert name_from(source) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x ",
        ".",
        "..",
        "../x",
        "a/b",
        "/tmp/x",
        ".hidden",
        "-x",
        "a\nb",
        "a\x1b[2J",
        "a" * 201,
    ],
)
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="--name"):
        create(tmp_path / "runs", name, "x")
    assert not (tmp_path / "runs").exists()


def test_names_are_never_reused(tmp_path: Path) -> None:
    for name in ("x", "x-2", "x-3"):
        run = create(tmp_path, None, "x.txt")
        assert run.name == name
        save(run, 0, -1)
    assert create(tmp_path, "größe 1").folder.is_dir()
    with pytest.raises(RunError, match=r"'x' in .* already\.\n.*--resume"):
        create(tmp_path, "x")


def test_what_is_no_run_is_not_called_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "corpus.txt").write_text("x")
    for name in ("file", "folder"):
        with pytest.raises(
            RunError, match=f"there is a {name} '{name}' .* which is not a run"
        ) as e:
            create(tmp_path, name)
        assert "--resume" not in str(e.value)
    assert (tmp_path / "folder" / "corpus.txt").read_text() == "x"


def test_an_empty_folder_is_taken_unless_another_process_has_it(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / ".last.npz.abc.tmp").touch()
    Run.check_free(tmp_path, "x")
    run, lock = Run.create(tmp_path, "x", "x")
    assert run.name == "x"
    for ask in (lambda: Run.create(tmp_path, "x", "x"), lambda: Run.check_free(tmp_path, "x")):
        with pytest.raises(RunError, match="another process is training it"):
            ask()
    assert create(tmp_path, None).name == "x-2"
    lock.release()
    run.discard()
    assert not run.folder.exists()


def test_a_run_in_training_is_not_offered_for_continuing(tmp_path: Path) -> None:
    run, lock = Run.create(tmp_path, "x", "x")
    save(run, 0, -1)
    for held in (True, False):
        with pytest.raises(RunError, match="--name") as caught:
            Run.check_free(tmp_path, "x")
        assert ("is training it" in str(caught.value)) == held
        assert ("--resume" in str(caught.value)) != held
        lock.release()


def test_asking_for_the_lock_leaves_it(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "none")
    lock = RunLock(tmp_path)
    assert is_locked(tmp_path)
    assert is_locked(tmp_path)
    lock.release()
    assert not is_locked(tmp_path)


def test_the_lock_keeps_others_out(tmp_path: Path) -> None:
    lock = RunLock(tmp_path)
    assert lock.held
    with pytest.raises(RunError, match="being trained by another process"):
        RunLock(tmp_path)
    lock.release()
    lock.release()
    again = RunLock(tmp_path)
    assert again.held
    with pytest.raises(RunError, match="cannot open"):
        RunLock(tmp_path / "none")


@pytest.mark.parametrize("keep", range(6))
def test_keep_is_the_number_of_earlier_checkpoints(tmp_path: Path, keep: int) -> None:
    run = create(tmp_path, "x", "x")
    earlier: list[int] = []
    for number in range(8):
        step = 10 * number
        save(run, step, step - 10 if number else -1, keep)
        # All of them until there are `keep`, from then on the newest.
        assert [saved for saved, _ in run.numbered()] == (earlier[-keep:] if keep else [])
        earlier.append(step)


def test_keep_can_change_when_a_run_goes_on(tmp_path: Path) -> None:
    run = create(tmp_path, "x", "x")
    left = []
    for step, keep in enumerate((3, 3, 3, 3, 3, 1, 4, 4, 0)):
        save(run, step, step - 1, keep)
        left.append([saved for saved, _ in run.numbered()])
    assert left == [[], [0], [0, 1], [0, 1, 2], [1, 2, 3], [4], [4, 5], [4, 5, 6], []]


def test_temporary_files_of_the_killed_go(tmp_path: Path) -> None:
    run = create(tmp_path, "x")
    save(run, 0, -1)
    for name in (".last.npz.a1.tmp", ".metrics.jsonl.b.tmp", ".mine.tmp", "notes.tmp"):
        (run.folder / name).touch()
    run.clear_temporary_files()
    assert sorted(p.name for p in run.folder.iterdir()) == [".mine.tmp", "last.npz", "notes.tmp"]


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_log_that_is_no_file(tmp_path: Path, kind: str) -> None:
    run = create(tmp_path, "x")
    path = run.metrics.path
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    for use in (
        lambda: list(run.metrics.read()),
        lambda: run.metrics.append({"step": 1}),
        lambda: run.metrics.rewind(1),
    ):
        with pytest.raises(RunError, match="not a regular file"):
            use()


def test_metrics_are_rewound(tmp_path: Path) -> None:
    run = create(tmp_path, "x", "x")
    for step in (1, 2, 3):
        run.metrics.append({"step": step, "train_nats": 0.1 + 0.2})
    with run.metrics.path.open("a") as file:
        file.write('{"step": 4, "tra')
    run.metrics.rewind(2)
    assert [line["step"] for line in run.metrics.read()] == [1, 2]
    assert run.metrics.path.read_text() == (
        '{"step": 1, "train_nats": 0.30000000000000004}\n'
        '{"step": 2, "train_nats": 0.30000000000000004}\n'
    )


def test_finding_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"no run in .* yet\.\n.*charlstm train"):
        find_run(None, tmp_path / "none")
    first, second = (create(tmp_path, name, "x") for name in ("a", "b"))
    for run in (first, second):
        save(run, 0, -1)
    os.utime(second.last, (1, 1))
    (tmp_path / "empty").mkdir()
    assert [run.name for run in list_runs(tmp_path)] == ["a", "b"]
    assert find_run(None, tmp_path).name == "a"
    assert find_run("b", tmp_path).name == "b"
    monkeypatch.chdir(tmp_path)
    assert find_run("b", tmp_path / "elsewhere").name == "b"
    with pytest.raises(RunError, match="'c' is not a run"):
        find_run("c", tmp_path)
    assert find_run("a/last.npz", tmp_path).name == "a"
    Path("a/step-00000001.npz").touch()
    with pytest.raises(RunError, match="is one file; a run is its folder"):
        find_run("a/step-00000001.npz", tmp_path)
    for odd in ("", "y" * 5000, "a\0b"):
        with pytest.raises(RunError, match="is not a run"):
            find_run(odd, tmp_path)

    def chosen(target: str) -> Path:
        return load_model_checkpoint(target, tmp_path, pytest.fail)[0]

    assert chosen("a") == Path("a/last.npz")
    first.save_best({}, ARRAYS)
    assert chosen("a") == Path("a/best.npz")
    assert chosen("a/last.npz") == Path("a/last.npz")


@pytest.mark.parametrize("target", ["new", "runs/new", None])
def test_a_run_that_is_being_set_up(
    target: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "new"
    folder.mkdir(parents=True)
    lock = RunLock(folder)
    with pytest.raises(RunError, match="another process is setting up the run in runs/new"):
        find_run(target, Path("runs"))
    lock.release()
    with pytest.raises(RunError, match=r"is not a run|no run in runs yet"):
        find_run(target, Path("runs"))


def test_a_run_of_numbered_checkpoints_only(tmp_path: Path) -> None:
    run = create(tmp_path, "x")
    save(run, 0, -1)
    run.last.rename(run.folder / "step-00000000.npz")
    assert [r.name for r in list_runs(tmp_path)] == ["x"]
    path, _ = load_model_checkpoint(None, tmp_path, pytest.fail)
    assert path.name == "step-00000000.npz"


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("hamlte", "hamlet"),
        ("Hamlet", "hamlet"),
        ("hamlet2", "hamlet-2"),
        ("runs/hamlte", "runs/hamlet"),
        ("elsewhere/hamlet", "hamlet"),
        ("xyzzy", None),
        ("y" * 5000, None),
    ],
)
def test_the_nearest_run_is_suggested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, meant: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hamlet", "hamlet-2", "lear"):
        save(create(Path("runs"), name), 0, -1)
    (tmp_path / "runs" / "hamlte-no-run").mkdir()
    with pytest.raises(RunError, match="is not a run") as caught:
        find_run(target, Path("runs"))
    assert ("Did you mean" in str(caught.value)) == (meant is not None)
    if meant is not None:
        assert f"Did you mean {meant!r}?" in str(caught.value)
