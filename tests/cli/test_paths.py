"""A leading `~` in whatever names a file or a folder: a shell leaves it in `--option=~/x`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from charlstm.errors import ConfigError, RunError
from charlstm.inference.language_model import LanguageModel
from charlstm.runs.find import find_run, load_model_checkpoint, runs_dir_from
from charlstm.text.cache import cache_folder
from tests.conftest import TINY, assert_clear, run_program


@pytest.fixture
def home(tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with `r/play`, a run, and `play.txt`; the current folder is another."""
    folder = tmp_path / "home"
    shutil.copytree(trained / "checkpoints", folder / "r")
    shutil.copy(trained / "play.txt", folder)
    (folder / "prompt.txt").write_text("The light")
    monkeypatch.setenv("HOME", str(folder))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (["runs", "--runs-dir=~/r"], ""),
        (["sample", "play", "--length", "3", "--runs-dir=~/r"], ""),
        (["info", "~/r/play"], ""),
        (["info", "~/r/play/last.npz"], ""),
        (["runs"], "~/r"),
        (["sample", "--length", "3", "--prompt-file=~/prompt.txt"], "~/r"),
        (["eval", "play", "~/play.txt"], "~/r"),
        (["train", "--resume=~/r/play", "--epochs", "3", "--quiet"], ""),
        (["train", "~/play.txt", "--epochs", "1", "--quiet", *TINY], "~/r"),
    ],
    ids=str,
)
def test_a_home_folder_is_expanded(home: Path, arguments: list[str], variable: str) -> None:
    env = {"HOME": str(home)} | ({"CHARLSTM_RUNS_DIR": variable} if variable else {})
    result = run_program(*arguments, cwd=Path.cwd(), env=env)
    assert result.returncode == 0, result.stderr
    assert list(Path.cwd().iterdir()) == []
    assert (home / "r" / "play-2").is_dir() == (arguments[:2] == ["train", "~/play.txt"])


def test_the_library_expands_it_too(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs_dir_from("~/r") == home / "r"
    assert find_run("~/r/play", Path("x")).folder == home / "r" / "play"
    assert load_model_checkpoint("~/r/play/best.npz", Path("x"), pytest.fail)[0].is_file()
    assert LanguageModel.load("play", runs_dir="~/r").tokenizer
    monkeypatch.setenv("XDG_CACHE_HOME", "~/c")
    assert cache_folder() == home / "c" / "charlstm"


def test_no_such_user(home: Path) -> None:
    name = "~no-such-user"
    with pytest.raises(ConfigError, match=f"no home folder of {name}.*\n.*\\./{name}/r"):
        runs_dir_from(f"{name}/r")
    assert_clear(run_program("train", "x", f"--runs-dir={name}/r", cwd=home), 2, f"./{name}/r")
    assert runs_dir_from(f"./{name}/r") == Path(f"{name}/r")
    with pytest.raises(RunError, match="is not a run"):
        find_run(f"{name}/r", home)
