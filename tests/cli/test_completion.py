"""Shell completion, by the protocol that click's shell scripts speak."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from charlstm.cli.completion import run_names
from charlstm.runs.find import list_runs
from tests.conftest import Program
from tests.test_architecture import loaded_by


@pytest.fixture
def runs(tmp_path: Path, trained: Path) -> Path:
    """A folder of runs: hamlet, hamburg, a folder that is not a run, and a file."""
    folder = tmp_path / "checkpoints"
    for name in ("hamlet", "hamburg"):
        shutil.copytree(trained / "checkpoints" / "play", folder / name)
    (folder / "half").mkdir()
    (folder / "half" / "notes.npz").touch()
    (folder / "harvest").touch()
    return folder


def complete(program: Program, words: str, current: int, shell: str = "bash") -> list[str]:
    """What completing the word number `current` offers."""
    answer = program(
        env={
            "_CHARLSTM_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(current),
        }
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr == ""
    return answer.stdout.splitlines()


@pytest.mark.parametrize(
    "words",
    [
        "charlstm sample ha",
        "charlstm sample --temp 0.5 ha",
        "charlstm eval ha",
        "charlstm info ha",
        "charlstm fill ha",
        "charlstm train --resume ha",
        "charlstm rename ha",
        "charlstm delete ha",
    ],
)
def test_run_names_are_completed(program: Program, runs: Path, words: str) -> None:
    assert complete(program, words, len(words.split()) - 1) == [
        "file,", "plain,hamburg", "plain,hamlet",
    ]  # fmt: skip


def test_runs_dir_is_respected(program: Program, runs: Path, tmp_path: Path) -> None:
    runs.rename(tmp_path / "elsewhere")
    words = "charlstm sample --runs-dir elsewhere haml"
    assert complete(program, words, 4) == ["file,", "plain,hamlet"]
    assert complete(program, "charlstm sample haml", 2) == ["file,"]


def test_a_second_argument_is_no_run(program: Program, runs: Path) -> None:
    assert complete(program, "charlstm fill hamlet ha", 3) == ["file,"]


def test_commands_and_words_of_an_option_are_completed(program: Program) -> None:
    assert complete(program, "charlstm sa", 1) == ["plain,sample"]
    assert complete(program, "charlstm train --cell c", 3) == ["plain,coupled"]
    assert complete(program, "charlstm sample --precision b", 3) == ["plain,bfloat16"]
    assert complete(program, "charlstm eval --protocol ", 3) == ["plain,carried", "plain,cold"]
    assert complete(program, "charlstm train no", 2) == ["file,no"]
    assert "plain,--temp" in complete(program, "charlstm sample --te", 2)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells(program: Program, runs: Path, shell: str) -> None:
    # fish gives the word itself where others give its number.
    answer = program(
        env={
            "_CHARLSTM_COMPLETE": f"{shell}_complete",
            "COMP_WORDS": "charlstm sample haml",
            "COMP_CWORD": "haml" if shell == "fish" else "2",
        }
    )
    assert answer.returncode == 0
    assert "hamlet" in answer.stdout
    assert "hamburg" not in answer.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell(program: Program, shell: str) -> None:
    script = program(env={"_CHARLSTM_COMPLETE": f"{shell}_source"}).stdout
    assert f"_CHARLSTM_COMPLETE={shell}_complete" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_takes_the_names_over(tmp_path: Path, runs: Path) -> None:
    """The script, sourced by a real bash, whose `charlstm` is this package."""
    program = tmp_path / "charlstm"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m charlstm "$@"\n')
    program.chmod(0o755)
    script = (
        'PATH="$PWD:$PATH"\n'
        'eval "$(_CHARLSTM_COMPLETE=bash_source charlstm)"\n'
        "COMP_WORDS=(charlstm sample haml)\nCOMP_CWORD=2\n"
        "_charlstm_completion charlstm haml sample 2>/dev/null\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    result = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == "hamlet\n"


def test_names_are_those_of_the_runs(runs: Path, tmp_path: Path) -> None:
    assert run_names(str(runs)) == sorted(run.name for run in list_runs(runs))
    assert run_names(str(tmp_path / "nowhere")) == []


def test_completion_is_light() -> None:
    code = "from charlstm.cli.completion import run_names\nrun_names('checkpoints')"
    assert not loaded_by(code) & {"torch", "numpy", "tqdm"}
