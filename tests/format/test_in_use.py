"""Files in use, which Windows neither replaces nor removes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charlstm.config import TextConfig
from charlstm.errors import CheckpointError
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from charlstm.format.files import remove_file, replace_file, retry_while_shared
from charlstm.runs.folder import Run
from charlstm.text.corpus import load_corpus
from charlstm.text.sources import find_sources

ARRAYS = {"model/x": np.zeros(2, dtype=np.float32)}


def windows_error(number: int, kind: type[OSError] = PermissionError) -> OSError:
    """An error as Windows reports it."""
    error = kind(errno.EACCES, "Access is denied")
    error.winerror = number  # type: ignore[attr-defined]
    return error


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was waited for; no time passes."""
    waited: list[float] = []
    monkeypatch.setattr("time.sleep", waited.append)
    return waited


@pytest.mark.parametrize("number", [5, 32, 33, 1224])
def test_a_file_in_use_on_windows_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float], number: int
) -> None:
    failures = [windows_error(number), windows_error(number)]

    def once_free(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            if failures:
                raise failures.pop()
            return real(*arguments, **keywords)

        return call

    path = tmp_path / "x.npz"
    monkeypatch.setattr(os, "replace", once_free(os.replace))
    save_checkpoint(path, {"note": 1}, ARRAYS)
    failures += [windows_error(number)]
    monkeypatch.setattr(Path, "open", once_free(Path.open))
    assert load_checkpoint(path).meta["note"] == 1
    failures += [windows_error(number)]
    monkeypatch.setattr(os, "unlink", once_free(os.unlink))
    remove_file(path)
    assert not path.exists()
    assert len(waits) == 4


def test_waiting_for_a_file_ends(tmp_path: Path, waits: list[float]) -> None:
    calls = []

    def refuse() -> None:
        calls.append(1)
        raise windows_error(32)

    with pytest.raises(PermissionError):
        retry_while_shared(refuse)
    assert len(calls) == len(waits) + 1 < 20
    assert sum(waits) < 10


@pytest.mark.parametrize(
    "error",
    [PermissionError(errno.EACCES, "Permission denied"), windows_error(112, OSError), ValueError()],
)
def test_other_errors_are_not_waited_for(waits: list[float], error: Exception) -> None:
    def refuse() -> None:
        raise error

    with pytest.raises(type(error)):
        retry_while_shared(refuse)
    assert waits == []


def in_use(path: Any) -> bool:
    """Whether this process has the file open or mapped."""
    name = os.path.realpath(path)
    descriptors = [
        os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")
    ]
    return name in descriptors or f" {name}\n" in Path("/proc/self/maps").read_text()


@pytest.fixture
def like_windows(monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> list[str]:
    """Files that this process has open or mapped can be neither renamed, replaced nor removed."""
    calls: list[str] = []

    def guard(name: str) -> None:
        real = getattr(os, name)

        def call(*paths: Any, **keywords: Any) -> None:
            calls.append(name)
            if any(in_use(path) for path in paths):
                raise windows_error(32)
            real(*paths, **keywords)

        monkeypatch.setattr(os, name, call)

    monkeypatch.setattr("charlstm.text.cache._RENAMES_OPEN_FILES", False)
    for name in ("replace", "rename", "unlink", "remove"):
        guard(name)
    return calls


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_no_file_is_renamed_while_it_is_open_or_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, like_windows: list[str]
) -> None:
    with (tmp_path / "open").open("wb"), pytest.raises(PermissionError):
        replace_file(tmp_path / "open", lambda file: None)  # the guard works
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "x.txt").write_text("some text\n" * 100)
    sources = find_sources([str(tmp_path / "x.txt")])
    corpus = load_corpus(sources, TextConfig(), in_memory_bytes=0)
    assert corpus.path is not None
    assert in_use(corpus.path)
    # Another training of the same text finds the mapped file in its way, and uses it.
    monkeypatch.setattr("charlstm.text.cache.Cache._might_hold", lambda *_: bool(like_windows))
    del like_windows[:]
    again = load_corpus(sources, TextConfig(), in_memory_bytes=0)
    assert like_windows
    np.testing.assert_array_equal(again.ids, corpus.ids)
    run, lock = Run.create(tmp_path / "runs", "x", "x")
    for step in range(4):
        run.save_last({"step": step}, ARRAYS, previous_step=step - 1, keep=1)
        run.save_best({"step": step}, ARRAYS)
        run.metrics.append({"step": step})
    run.metrics.rewind(2)
    lock.release()
    assert sorted(os.listdir(tmp_path / "cache" / "charlstm")) == sorted(
        [corpus.path.name, corpus.path.with_suffix(".json").name]
    )


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's /proc")
def test_an_old_checkpoint_that_is_being_read_ends_no_training(
    tmp_path: Path, like_windows: list[str]
) -> None:
    run, lock = Run.create(tmp_path, "x", "x")
    lock.release()
    for step in range(3):
        run.save_last({"step": step}, ARRAYS, previous_step=step - 1, keep=9)
    oldest = run.numbered()[0][1]
    with oldest.open("rb"):
        run.save_last({"step": 3}, ARRAYS, previous_step=2, keep=1)
    assert load_checkpoint(run.last).meta["step"] == 3
    assert oldest.exists()
    run.save_last({"step": 4}, ARRAYS, previous_step=3, keep=1)
    assert not oldest.exists()
    with run.last.open("rb"), pytest.raises(CheckpointError, match="denied"):
        run.save_last({"step": 5}, ARRAYS, previous_step=4, keep=1)
    assert load_checkpoint(run.last).meta["step"] == 4
