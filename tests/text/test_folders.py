"""Which files of a folder are read, and what is said of the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from charlstm.errors import ConfigError, SourceError
from charlstm.text import folders
from charlstm.text.folders import FolderFiles, find_in_folder, summary


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")


def found(folder: Path, glob: str = "**/*.txt", *exclude: str) -> list[str]:
    return within(folder, find_in_folder(folder, [glob], exclude))


def within(folder: Path, files: FolderFiles) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in files.files]


def skipped(folder: Path, files: FolderFiles) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): reason for path, reason in files.skipped}


def test_hidden_files_and_folders_are_skipped_unless_named(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "._a.txt", ".git/x.txt", "sub/.ipynb_checkpoints/y.txt", "sub/b.txt")
    files = find_in_folder(tmp_path)
    assert within(tmp_path, files) == ["a.txt", "sub/b.txt"]
    assert skipped(tmp_path, files) == dict.fromkeys(
        ["._a.txt", ".git", "sub/.ipynb_checkpoints"], folders.HIDDEN
    )
    assert found(tmp_path, "**/.*.txt") == ["._a.txt"]
    assert found(tmp_path, ".git/*") == [".git/x.txt"]
    assert found(tmp_path / ".git") == ["x.txt"]  # the folder itself was named


@pytest.mark.parametrize("glob", ["**/*.txt", "**/*.TXT", "**/*.[Tt]xt"])
def test_patterns_ignore_case(tmp_path: Path, glob: str) -> None:
    make(tmp_path, "B.TXT", "a.txt", "Sub/c.Txt", "d.md")
    assert found(tmp_path, glob) == ["B.TXT", "Sub/c.Txt", "a.txt"]


@pytest.mark.parametrize(
    ("glob", "expected"),
    [
        ("*", ["a.txt", "d.md"]),
        ("*.md", ["d.md"]),
        ("**/*", ["a.txt", "d.md", "sub/c.txt", "sub/deep/e.txt"]),
        ("**", ["a.txt", "d.md", "sub/c.txt", "sub/deep/e.txt"]),
        ("sub/*", ["sub/c.txt"]),
        ("./sub/**/*.txt", ["sub/c.txt", "sub/deep/e.txt"]),
        ("**/deep/*", ["sub/deep/e.txt"]),
        ("?.md", ["d.md"]),
    ],
)
def test_patterns(tmp_path: Path, glob: str, expected: list[str]) -> None:
    make(tmp_path, "a.txt", "d.md", "sub/c.txt", "sub/deep/e.txt")
    assert found(tmp_path, glob) == expected


def test_several_patterns_name_the_files_of_any(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "d.md", "sub/c.txt", "sub/d.MD", ".e.txt")
    files = find_in_folder(tmp_path, ["*.md", "**/c.*", "**/d.*", ".e.*"])
    assert within(tmp_path, files) == [".e.txt", "d.md", "sub/c.txt", "sub/d.MD"]
    assert skipped(tmp_path, files) == {"a.txt": folders.NO_MATCH}


@pytest.mark.parametrize("pattern", ["", "/etc/*", "../*.txt", "a\0b", "."])
def test_what_is_no_pattern(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "a.txt")
    with pytest.raises(ConfigError, match="--glob"):
        find_in_folder(tmp_path, [pattern])
    with pytest.raises(ConfigError, match="--exclude"):
        find_in_folder(tmp_path, ["*"], [pattern])


@pytest.mark.parametrize(
    ("exclude", "expected"),
    [
        (["draft*"], ["a.txt", "sub/c.txt"]),
        (["drafts"], ["a.txt", "draft.txt", "sub/c.txt"]),
        (["DRAFTS/"], ["a.txt", "draft.txt", "sub/c.txt"]),
        (["sub/*.txt"], ["a.txt", "draft.txt", "sub/drafts/e.txt"]),
        (["sub/**"], ["a.txt", "draft.txt"]),
        (["sub", "draft.txt"], ["a.txt"]),
    ],
)
def test_what_is_excluded(tmp_path: Path, exclude: list[str], expected: list[str]) -> None:
    make(tmp_path, "a.txt", "draft.txt", "sub/c.txt", "sub/drafts/e.txt")
    files = find_in_folder(tmp_path, exclude=exclude)
    assert within(tmp_path, files) == expected
    assert set(skipped(tmp_path, files).values()) == {folders.EXCLUDED}


def test_links_are_followed_and_each_file_is_read_once(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    make(notes, "sub/b.txt", "z.txt")
    make(tmp_path, "outside/deep/d.txt", "outside/e.txt")
    os.symlink("z.txt", notes / "a.txt")  # sorts before the file it leads to
    os.link(notes / "z.txt", notes / "z2.txt")
    os.symlink("../outside", notes / "linked")
    os.symlink("../outside/deep", notes / "again")
    os.symlink("../..", notes / "sub/up")  # a loop, and a way to all of it
    os.symlink("self.txt", notes / "self.txt")
    os.symlink("nowhere", notes / "broken.txt")
    os.mkfifo(notes / "pipe.txt")
    files = find_in_folder(notes)
    contents = [path.read_text() for path in files.files]
    assert sorted(contents) == ["outside/deep/d.txt\n", "outside/e.txt\n", "sub/b.txt\n", "z.txt\n"]
    assert within(notes, files) == ["again/d.txt", "linked/e.txt", "sub/b.txt", "z.txt"]
    assert skipped(notes, files) == {
        "a.txt": folders.TWICE,
        "z2.txt": folders.TWICE,
        "linked/deep": folders.TWICE,
        "sub/up/notes": folders.TWICE,
        "sub/up/outside": folders.TWICE,
        "self.txt": folders.BROKEN,
        "broken.txt": folders.BROKEN,
        "pipe.txt": folders.SPECIAL,
    }


def test_many_links_between_folders_take_no_longer(tmp_path: Path) -> None:
    for name in range(30):
        make(tmp_path, f"{name}/{name}.txt")
        for other in range(30):
            os.symlink(f"../{other}", tmp_path / f"{name}/to-{other}")
    files = find_in_folder(tmp_path)
    assert within(tmp_path, files) == sorted(f"{name}/{name}.txt" for name in range(30))
    assert len(files.skipped) == 900


def test_deep_folders(tmp_path: Path) -> None:
    depth = 400  # one call in another would reach the end of Python's stack
    os.makedirs(tmp_path / "/".join("d" * depth))
    (tmp_path / "/".join("d" * depth) / "x.txt").write_text("deep")
    assert len(find_in_folder(tmp_path, ["**/x.txt"]).files) == 1


def test_runs_are_skipped_unless_named(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "runs/r/corpus.txt", "runs/stray.txt", "else/r/corpus.txt")
    make(tmp_path, "runs/r/last.npz", "else/r/best.npz")
    files = find_in_folder(tmp_path, runs_dir=tmp_path / "runs")
    assert within(tmp_path, files) == ["a.txt"]
    assert skipped(tmp_path, files) == {"runs": folders.RUN, "else/r": folders.RUN}
    assert "2 belonging to runs" in summary(files)
    run = tmp_path / "runs/r"
    assert within(run, find_in_folder(run, runs_dir=run.parent)) == ["corpus.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    make(tmp_path, "a.txt", "closed/b.txt")
    (tmp_path / "closed").chmod(0)
    try:
        files = find_in_folder(tmp_path)
        with pytest.raises(SourceError, match="closed"):
            find_in_folder(tmp_path / "closed")
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert skipped(tmp_path, files) == {"closed": folders.UNREADABLE}
