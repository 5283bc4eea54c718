"""The cache folder's size limit, with real files, locks and processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charlstm.config import TextConfig
from charlstm.errors import ConfigError
from charlstm.text import cache_limit as module
from charlstm.text.cache_limit import DEFAULT_LIMIT, cache_limit, entries, hold, shrink
from charlstm.text.corpus import Corpus, load_corpus
from charlstm.text.sources import find_sources
from tests.conftest import Program, assert_clear


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(module.LIMIT_VARIABLE, raising=False)
    folder = tmp_path / "cache" / "charlstm"
    folder.mkdir(parents=True)
    return folder


def add(folder: Path, name: str, size: int, age: float) -> Path:
    """An entry that was used `age` seconds ago."""
    path = folder / f"{name}.ids"
    path.write_bytes(bytes(size))
    path.with_suffix(".json").write_text("{}")
    used = time.time() - age
    os.utime(path, (used, used))
    return path


def load(path: Path, **options: object) -> Corpus:
    return load_corpus(find_sources([str(path)]), TextConfig(**options), in_memory_bytes=100)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", DEFAULT_LIMIT), (" ", DEFAULT_LIMIT), ("0", 0), ("123", 123), ("500MB", 500_000_000),
        ("1.5 gb", 1_500_000_000), ("20G", 20_000_000_000), ("2kb", 2000), ("1TB", 10**12),
    ],
)  # fmt: skip
def test_sizes(value: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.LIMIT_VARIABLE, value)
    assert cache_limit() == expected


@pytest.mark.parametrize("value", ["much", "-1", "5XB", "1e9", "nan", "5 5", "\u0665GB"])
def test_what_is_no_size(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.LIMIT_VARIABLE, value)
    with pytest.raises(ConfigError, match="CHARLSTM_CACHE_LIMIT"):
        cache_limit()


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    for name, age in (("new", 10), ("old", 1000), ("middle", 100)):
        add(folder, name, 500, age)
    assert [entry.path.stem for entry in entries(folder)] == ["old", "middle", "new"]
    assert [entry.size for entry in entries(folder)] == [502, 502, 502]
    assert shrink(folder, 5000) == []
    assert [entry.path.stem for entry in shrink(folder, 1100)] == ["old"]
    assert sorted(p.name for p in folder.iterdir()) == [
        "middle.ids", "middle.json", "new.ids", "new.json",
    ]  # fmt: skip
    assert [entry.path.stem for entry in shrink(folder, 0)] == ["middle", "new"]
    assert list(folder.iterdir()) == []


def test_one_in_use_by_another_process_stays(folder: Path) -> None:
    used, other = add(folder, "used", 500, 1000), add(folder, "other", 500, 10)
    code = (
        "import sys\nfrom charlstm.text.cache import map_ids\n"
        "from charlstm.text.tokenizer import CharTokenizer\n"
        "with open(sys.argv[1], 'rb') as file: ids, _ = map_ids(file, CharTokenizer('ab'))\n"
        "print(len(ids), flush=True)\nsys.stdin.read()\nprint(ids.sum())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(used)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"500\n"
        assert {entry.path: entry.in_use for entry in entries(folder)} == {used: True, other: False}
        assert [entry.path for entry in shrink(folder, 0)] == [other]
        assert used.exists()
        assert process.communicate()[0] == b"0\n"
    assert [entry.path for entry in shrink(folder, 0)] == [used]


def test_what_is_loaded_counts_as_used(
    corpus_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of a real corpus: marked in use, their use recorded, removed at the next writing."""
    limit = corpus_file.stat().st_size + 5000
    first = load(corpus_file)
    (entry,) = entries(folder)
    assert entry.in_use
    assert first.mapping is not None
    del first
    assert not entries(folder)[0].in_use
    os.utime(entry.path, (1000, 1000))
    load(corpus_file)
    assert time.time() - entries(folder)[0].used < 100
    monkeypatch.setenv(module.LIMIT_VARIABLE, str(limit))
    other = load(corpus_file, lowercase=True)
    assert [kept.path for kept in entries(folder)] == [other.path]
    third = load(corpus_file, min_count=2)  # both are in use: above the limit, and both there
    assert {kept.path for kept in entries(folder)} == {other.path, third.path}


def test_files_of_ended_processes_are_removed(folder: Path) -> None:
    for name, age in (("dead.tmp", 7200), ("held.tmp", 7200), ("young.tmp", 5)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - age,) * 2)
    with (folder / "held.tmp").open("rb") as file:
        hold(file)
        shrink(folder, 10**9)
    assert sorted(p.name for p in folder.iterdir()) == ["held.tmp", "young.tmp"]


def test_nothing_else_is_removed(folder: Path, tmp_path: Path) -> None:
    """Other files, links and folders are not ours, whatever they are called."""
    outside = tmp_path / "mine.ids"
    outside.write_text("mine")
    (folder / "notes.txt").write_text("mine")
    (folder / "link.ids").symlink_to(outside)
    (folder / "folder.ids").mkdir()
    assert shrink(folder, 0) == []
    assert len(list(folder.iterdir())) == 3
    assert outside.read_text() == "mine"


def test_the_command(program: Program, folder: Path) -> None:
    add(folder, "old", 1500, 1000)
    held = add(folder, "held", 500, 10)
    # Given each time: programs are forks of a process that has an environment of its own.
    own = {"XDG_CACHE_HOME": str(folder.parent), module.LIMIT_VARIABLE: ""}
    with held.open("rb") as file:
        hold(file)
        shown = program("cache", env=own)
        assert [line.split()[0] for line in shown.stdout.splitlines()] == [
            "file", "old.ids", "held.ids",
        ]  # fmt: skip
        assert "in use" in shown.stdout.splitlines()[2]
        assert "10.0 GB" in shown.stderr
        assert program("cache", "--json", env=own).stdout.count('"in_use": true') == 1
        cleared = program("cache", "--clear", env=own)
        assert cleared.returncode == 0
        assert "1 removed" in cleared.stderr
        assert [entry.path for entry in entries(folder)] == [held]
    assert_clear(
        program("cache", env=own | {module.LIMIT_VARIABLE: "much"}),
        2,
        "CHARLSTM_CACHE_LIMIT",
        "much",
    )
