"""`sample`, `eval`, `info`, `runs` and the program's frame."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from charlstm.cli import COMMANDS, main
from charlstm.format.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import Program, assert_clear, run_program


@pytest.fixture
def program(trained: Path) -> Program:
    def call(*arguments: object, **keywords: object) -> subprocess.CompletedProcess[str]:
        return run_program(*arguments, cwd=trained, **keywords)  # type: ignore[arg-type]

    return call


def test_sample(program: Program) -> None:
    arguments = ("sample", "checkpoints/play", "--prompt", "MARTHA:", "--length", 80, "--top-p")
    first = program(*arguments, 0.95, "--seed", 7)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("MARTHA:")
    assert len(first.stdout) == 87
    assert first.stdout == program(*arguments, 0.95, "--seed", 7).stdout
    assert first.stdout != program(*arguments, 0.95, "--seed", 8).stdout
    assert first.stderr == ""
    assert program(*arguments, 0.95, "--seed", 7, "--no-prompt").stdout == first.stdout[7:]


def test_greedy_sampling_needs_no_seed(program: Program) -> None:
    texts = {program("sample", "--temp", 0, "--length", 50).stdout for _ in range(2)}
    assert len(texts) == 1


def test_prompt_from_a_file_and_from_standard_input(program: Program, trained: Path) -> None:
    common = ("--length", 30, "--seed", 1)
    whole = program("sample", "--prompt", "The light", *common).stdout
    (trained / "prompt").write_text("The light")
    assert program("sample", "--prompt-file", "prompt", *common).stdout == whole
    piped = program("sample", "--prompt-file", "-", *common, stdin=b"The light")
    assert piped.stdout == whole


def test_json_lines(program: Program) -> None:
    result = program("sample", "-n", 3, "--json", "--length", 40, "--seed", 5, "--prompt", "A")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["index"] for record in records] == [0, 1, 2]
    assert all(len(record["text"]) == 40 and record["seed"] == 5 for record in records)
    alone = program("sample", "--length", 40, "--seed", 5, "--prompt", "A")
    assert alone.stdout == "A" + records[0]["text"]
    plain = program("sample", "-n", 3, "--length", 40, "--seed", 5, "--prompt", "A").stdout
    assert plain == "".join(f"A{record['text']}\n" for record in records)


def test_json_without_the_prompt(program: Program) -> None:
    arguments = ("sample", "-n", 2, "--json", "--length", 5, "--seed", 5, "--prompt", "MARTHA")
    for line in program(*arguments, "--no-prompt").stdout.splitlines():
        record = json.loads(line)
        assert "prompt" not in record
        assert "MARTHA" not in line
        assert len(record["text"]) == 5


def test_stop(program: Program) -> None:
    whole = program("sample", "--length", 300, "--seed", 2).stdout
    stop = whole[40:42]
    cut = program("sample", "--length", 300, "--seed", 2, "--stop", stop, "--stop", "MMM").stdout
    assert cut == whole[: whole.index(stop)]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["sample", "--temp", "-1"], 2, ["--temp -1", "0 <= x"]),
        (["sample", "--top-p", "0"], 2, ["--top-p 0", "0 < x <= 1"]),
        (["sample", "--precision", "half"], 2, ["--precision", "half", "bfloat16"]),
        (
            ["sample", "--precision", "bfloat16", "--top-k", "3"],
            2,
            ["--precision bfloat16", "without filters", "Omit it"],
        ),
        (
            ["train", "play.txt", "--kernel", "compiled", "--cell", "gru"],
            2,
            ["--kernel compiled", "coupled", "auto"],
        ),
        (["sample", "-n", "0"], 2, ["--samples 0", "1 <= x"]),
        (["sample", "--prompt", "caf\u00e9"], 1, ["'é'", "U+00E9", "position 3", "--unknown"]),
        (["sample", "--prompt", "a", "--unknown", "x"], 2, ["--unknown 'x'", "skip"]),
        (["sample", "nowhere"], 1, ["'nowhere' is not a run"]),
        (["sample", "play.txt"], 1, ["play.txt", "not an intact checkpoint"]),
        (["sample", "--prompt", "a", "--prompt-file", "b"], 2, ["--prompt"]),
        (["sample", "--prompt-file", "none"], 1, ["none"]),
        (["sample", "--runs-dir", "empty"], 1, ["no run in empty yet", "charlstm train"]),
        (["eval", "play", "none.txt"], 1, ["none.txt"]),
        (["eval", "play", "unknown.txt"], 1, ["'é'", "position 13 of unknown.txt", "--unknown"]),
        (["eval", "play", "--split", "test"], 1, ["test part has 0 characters", "at least 2"]),
        (["eval", "play", "--split", "x"], 2, ["--split"]),
        (["eval", "play", "--protocol", "x"], 2, ["--protocol 'x'", "cold"]),
        (["eval", "play", "--window", "9"], 2, ["--window", "--protocol cold"]),
        (["eval", "play", "--protocol", "cold", "--window", "0"], 2, ["--window 0", "1 <= x"]),
        (["info", "nowhere"], 1, ["nowhere"]),
        (["nonsense"], 2, ["nonsense", "charlstm -h"]),
        (["sample", "--stop", ""], 2, ["--stop ''"]),
        (["sample", "x", "--runs-dir", "/nope"], 1, ["/nope does not exist"]),
        (["sample", "y" * 5000], 1, ["is not a run", "charlstm runs"]),
        (["sample", ""], 1, ["'' is not a run"]),
        (["eval", "play.txt"], 1, ["play.txt is not a checkpoint", "charlstm eval RUN play.txt"]),
        (["eval", "play", "latin.txt"], 1, ["latin.txt", "--encoding-errors"]),
        (["train", ""], 1, ["empty"]),
        (["train", "play.txt", "--name", "../x"], 2, ["--name '../x'"]),
        (["train", "play.txt", "--min-count", "100000"], 2, ["--min-count 100000"]),
        (["train", "play.txt", "--clip-value", "1e39"], 2, ["--clip-value 1e+39", "x <= 1e+30"]),
        (["train", "--resume", "checkpoints/play/best.npz"], 1, ["is one file", "folder"]),
    ],
    ids=str,
)
def test_errors(
    program: Program, trained: Path, arguments: list[str], code: int, words: list[str]
) -> None:
    (trained / "unknown.txt").write_text("The light\ncaf\u00e9\n")
    (trained / "latin.txt").write_bytes("caf\u00e9\n".encode("latin-1"))
    assert_clear(program(*arguments), code, *words)


def test_damaged_checkpoints(program: Program, trained: Path, tmp_path: Path) -> None:
    whole = (trained / "checkpoints" / "play" / "best.npz").read_bytes()
    path = tmp_path / "x.npz"
    for damaged in (whole[:-50], whole[:900] + bytes([whole[900] ^ 4]) + whole[901:], b"", b"x"):
        path.write_bytes(damaged)
        for name in ("sample", "eval", "info"):
            assert_clear(program(name, path), 1, "x.npz", "not an intact checkpoint")


def test_eval(program: Program, trained: Path) -> None:
    own = program("eval", "play", "--json")
    record = json.loads(own.stdout)
    info = json.loads(program("info", "play", "--json").stdout)
    best = info["progress"]["best_nats_per_char"]
    assert record["nats_per_char"] == pytest.approx(best, abs=1e-5)
    (trained / "other.txt").write_text("The light is low\u2026\n" * 5)
    skipped = program("eval", "play", "other.txt", "--unknown", "skip", "--json")
    record = json.loads(skipped.stdout)
    assert record["unknown_characters"] == 5
    assert record["characters"] == 5 * 17 - 1
    assert "5 unknown characters omitted" in skipped.stderr
    assert record["bits_per_char"] == pytest.approx(record["nats_per_char"] / 0.6931471805599453)
    cold = json.loads(program("eval", "--protocol", "cold", "--window", 8, "--json").stdout)
    assert cold["protocol"] == "cold 8"
    assert cold["nats_per_char"] > best
    assert cold["characters"] == json.loads(own.stdout)["characters"]
    plain = program("eval", "play", "other.txt", "--unknown", "replace")
    assert "perplexity" in plain.stdout


def test_info_shows_every_option_on_lines_of_a_narrow_terminal(program: Program) -> None:
    shown = program("info").stdout
    for section, options in json.loads(program("info", "--json").stdout)["config"].items():
        lines = [line for line in shown.splitlines() if re.match(rf"{section} .*=", line)]
        assert all(f"{name}=" in " ".join(lines) for name in options)
        assert max(map(len, lines)) < 80


def test_every_command_has_debug_and_is_named_by_its_errors() -> None:
    for name in COMMANDS:
        result = CliRunner().invoke(main, [name, "--debug", "--help"])
        assert (result.exit_code, "--debug" in result.output) == (0, True)
    for name, option in (("sample", "--temp"), ("eval", "--glob"), ("train", "--lr")):
        with pytest.raises(click.UsageError) as caught:
            main.main([name, option], prog_name="charlstm", standalone_mode=False)
        assert caught.value.ctx is not None
        assert caught.value.ctx.command_path == f"charlstm {name}"


def test_info_and_runs(program: Program) -> None:
    info = program("info")
    assert info.returncode == 0, info.stderr
    assert "lstm" in info.stdout
    facts = json.loads(program("info", "checkpoints/play/last.npz", "--json").stdout)
    assert facts["config"]["model"]["num_layers"] == 2
    assert facts["text"]["num_chars"] > 5000
    (record,) = map(json.loads, program("runs", "--json").stdout.splitlines())
    assert record["name"] == "play"
    table = program("runs").stdout.splitlines()
    assert table[0].split()[:2] == ["run", "nats/char"]
    assert table[1].startswith("play")
    none = program("runs", "--runs-dir", "nothing")
    assert (none.returncode, none.stdout) == (0, "")


def test_the_environment_moves_the_runs_folder(program: Program, trained: Path) -> None:
    env = {"CHARLSTM_RUNS_DIR": str(trained / "checkpoints")}
    assert run_program("info", "play", cwd=Path("/"), env=env).returncode == 0


def test_nothing_asked_for_shows_help(program: Program) -> None:
    result = program()
    assert result.returncode == 2
    assert result.stderr.startswith("Usage: charlstm")
    assert "Error" not in result.stderr


def test_one_notice_where_compiled_code_cannot_be_used(program: Program, trained: Path) -> None:
    pytest.importorskip("numba", reason="numba is not installed: pip install 'charlstm[fast]'")
    run = trained / "checkpoints" / "play"
    result = program("sample", run, "--length", 100_000, env={"NUMBA_DISABLE_JIT": "1"})
    assert result.returncode == 0
    assert len(result.stdout) == 100_000
    (line,) = result.stderr.splitlines()
    assert "compiled code is not used" in line
    assert "NUMBA_DISABLE_JIT" in line


def test_a_cache_folder_that_cannot_be_read(program: Program, trained: Path) -> None:
    (trained / "charlstm").touch()  # where a folder should be
    result = program("eval", "play", env={"XDG_CACHE_HOME": str(trained)})
    assert result.returncode == 0, result.stderr


def test_a_best_checkpoint_that_is_no_file(trained: Path, tmp_path: Path) -> None:
    import shutil

    run = tmp_path / "checkpoints" / "play"
    shutil.copytree(trained / "checkpoints" / "play", run)
    run.joinpath("best.npz").unlink()
    os.mkfifo(run / "best.npz")
    result = run_program("sample", "play", "--length", 5, cwd=tmp_path)
    assert result.returncode == 0
    assert "best.npz is not a regular file" in result.stderr
    assert "using checkpoints/play/last.npz" in result.stderr
    assert_clear(run_program("train", "--resume", "play", cwd=tmp_path), 1, "best.npz", "Move it")


def test_info_checks_what_it_shows(trained: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(trained / "checkpoints" / "play" / "best.npz")
    for section, name, value in (("config", "model", {"num_layers": 3}), ("progress", "step", -1)):
        meta = json.loads(json.dumps(checkpoint.meta))
        if isinstance(value, dict):
            meta[section][name] |= value
        else:
            meta[section][name] = value
        save_checkpoint(tmp_path / "odd.npz", meta, checkpoint.arrays)
        assert_clear(run_program("info", "odd.npz", cwd=tmp_path), 1, "odd.npz: ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help(program: Program, name: str) -> None:
    for flag in ("-h", "--help"):
        result = program(name, flag)
        assert result.returncode == 0
        assert f"Usage: charlstm {name}" in result.stdout


def test_version(program: Program) -> None:
    from importlib.metadata import version

    import charlstm

    assert program("--version").stdout == (
        f"charlstm {charlstm.__version__}, torch {version('torch')}, numpy {version('numpy')}\n"
    )


def test_debug_shows_a_traceback(program: Program) -> None:
    for arguments in (["--debug", "sample", "nowhere"], ["sample", "nowhere", "--debug"]):
        result = program(*arguments)
        assert result.returncode == 1
        assert "Traceback" in result.stderr


def test_a_checkpoint_of_any_name_without_its_text(
    program: Program, trained: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "model.npz"
    copy.write_bytes((trained / "checkpoints" / "play" / "best.npz").read_bytes())
    result = program("eval", copy)
    assert_clear(result, 1, "model.npz", "path of the text")
    assert "best.npz" not in result.stderr
