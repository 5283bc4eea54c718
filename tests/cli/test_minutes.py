from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.conftest import NO_PROBES, TINY, Program, assert_clear


def test_a_model_is_chosen_for_a_time(program: Program, corpus_file: Path) -> None:
    corpus_file.write_text(corpus_file.read_text("utf-8")[:2000], "utf-8")
    common = ["--sample-every", 0, "--threads", 1, "--size", "tiny"]
    done = program("train", corpus_file.name, "--minutes", 0.05, *common, "--json")
    assert done.returncode == 0, done.stderr
    assert "chosen for 0.05 minutes: " in done.stderr
    reads = r"about ([0-9.]+ million|[0-9,]+) characters, [0-9.,]+ epochs"
    assert re.search(reads, done.stderr)
    summary = json.loads(done.stdout)
    assert summary["verdict"]
    assert summary["verdict"] in done.stderr
    # What it says repeats it: the same configuration, with nothing left to choose.
    line = next(s for s in done.stderr.splitlines() if s.startswith("full command: "))
    words = shlex.split(line.partition(": ")[2])
    assert words[:2] == ["charlstm", "train"]
    again = program(*words[1:], "--name", "again")
    assert again.returncode == 0, again.stderr
    configs = [
        json.loads(program("info", name, "--json").stdout)["config"]
        for name in (corpus_file.stem, "again")
    ]
    assert configs[0] == configs[1]
    assert configs[0]["model"]["hidden_size"] == 128
    assert configs[0]["train"]["minutes"] == 0.05


def test_what_is_said_in_full_runs_anywhere(program: Program, corpus_file: Path) -> None:
    corpus_file.rename(corpus_file.with_name("-a play.txt"))
    common = ["--runs-dir", "my runs", "--size", "tiny", "--epochs", 1, "--kernel", "torch"]
    done = program("train", *common, "--precision", "float32", "--", "-a play.txt")
    assert done.returncode == 0, done.stderr
    line = next(s for s in done.stderr.splitlines() if s.startswith("full command: "))
    words = shlex.split(line.partition(": ")[2])[1:]
    assert words[:4] == ["train", "./-a play.txt", "--runs-dir", "my runs"]
    # What a probe would find faster on this machine at another time is said, too.
    assert "--kernel torch" in " ".join(words)
    assert "--precision float32" in " ".join(words)
    again = program(*words)
    assert again.returncode == 0, again.stderr
    histories = [
        json.loads(program("info", f"my runs/{name}", "--json").stdout)["history"]
        for name in ("a-play", "a-play-2")
    ]
    assert histories[0] == histories[1] != []


def test_where_all_is_given_nothing_is_said_to_be_chosen(program: Program, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("the light is low and the wind is from the north\n" * 9)
    chosen = {
        "cell": "gru", "hidden-size": 8, "embedding": 4, "dropout": 0, "recurrent-dropout": 0,
        "logit-scale": 1, "maxlen": 8, "batch-size": 4, "grow": 0, "reset": 0, "epochs": 1,
        "lr": 0.01, "weight-decay": 0,
    }  # fmt: skip
    options = [part for name, value in chosen.items() for part in (f"--{name}", value)]
    options = [*NO_PROBES, *options]
    done = program("train", "x.txt", *options)
    assert done.returncode == 0, done.stderr
    assert "chosen for" not in done.stderr
    assert re.search(r"charlstm train x.txt --split (tail|blocks) --cell gru", done.stderr)
    left_out = program("train", "x.txt", *options[:-2])
    assert re.search(r"chosen for .*: --weight-decay [0-9.]+\n", left_out.stderr)


def test_a_run_that_ends_before_its_time_is_looked_at(program: Program, corpus_file: Path) -> None:
    """Ten times, evenly, and not once at its end."""
    corpus_file.write_text(corpus_file.read_text("utf-8")[:1000], "utf-8")
    done = program("train", corpus_file.name, *TINY, "--minutes", 600, "--epochs", 40)
    assert done.returncode == 0, done.stderr
    history = json.loads(program("info", "--json").stdout)["history"]
    assert 4 <= len(history) <= 12, "ten or so, however fast the machine is just then"
    assert "--more-epochs 40" in done.stderr
    assert "too few evaluations" not in done.stderr


def test_a_run_goes_on_with_the_time_that_is_left(program: Program, corpus_file: Path) -> None:
    options = [*TINY, "--minutes", 0.02, "--epochs", 10**6]

    def steps() -> int:
        step = json.loads(program("info", "--json").stdout)["progress"]["step"]
        assert isinstance(step, int)
        return step

    assert program("train", corpus_file.name, *options).returncode == 0
    first = steps()
    nothing = program("train", "--resume")
    assert nothing.returncode == 0
    # How long getting ready took is the machine's affair: on a busy one, longer than the time.
    assert "To train more: --more-minutes " in nothing.stderr
    assert steps() == first  # whatever the end left over of the time
    more = program("train", "--resume", "--minutes", 10, "--stop-after", 1)
    assert more.returncode == 0, more.stderr
    assert "paused after epoch" in more.stderr
    assert steps() > first


def test_without_minutes_a_default_is_stated(program: Program, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("the light is low and the wind is from the north\n" * 9)
    options = ["--size", "tiny", "--maxlen", 8, "--sample-every", 0, "--stop-after", 1]
    done = program("train", "x.txt", *options)
    assert done.returncode == 0, done.stderr
    assert "chosen for 5 minutes (the default)" in done.stderr
    train = json.loads(program("info", "--json").stdout)["config"]["train"]
    assert train["minutes"] == 0
    assert f"--epochs {train['epochs']}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x", "--size", "huge"], ["huge", "tiny, small, medium, large"]),
        (["x", "--minutes", "-1"], ["--minutes", "0 <= x <="]),
        (["--resume", "--size", "tiny"], ["--size", "new runs"]),
    ],
)
def test_errors(program: Program, arguments: list[str], words: list[str]) -> None:
    assert_clear(program("train", *arguments), 2, *words)


def test_dynamic(program: Program, trained: Path) -> None:
    def run(*arguments: object) -> str:
        done = program(*arguments, "--runs-dir", trained / "checkpoints")
        assert done.returncode == 0, done.stderr
        return done.stdout

    record = json.loads(run("eval", "play", trained / "play.txt", "--dynamic", "--json"))
    assert record["dynamic_nats_per_char"] < record["nats_per_char"]
    assert "dynamic nats per character" in run("eval", "play", trained / "play.txt", "--dynamic")
    plain = ["sample", "play", "--prompt", "The light is low. " * 20, "--seed", 1, "--length", 80]
    learned = run(*plain, "--dynamic", "--dynamic-rate", 0.01)
    assert learned == run(*plain, "--dynamic", "--dynamic-rate", 0.01)
    assert learned != run(*plain)
    assert run(*plain, "--dynamic", "--dynamic-rate", 0) == run(*plain)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sample", "--dynamic-rate", "0.1"], ["--dynamic-rate", "--dynamic"]),
        (["sample", "--dynamic"], ["--prompt"]),
        (["eval", "--dynamic", "--protocol", "cold"], ["--protocol cold"]),
        (["eval", "--dynamic", "--dynamic-decay", "2"], ["--dynamic-decay", "0 <= x <= 1"]),
    ],
)
def test_dynamic_errors(
    program: Program, trained: Path, arguments: list[str], words: list[str]
) -> None:
    result = program(*arguments, "--runs-dir", trained / "checkpoints")
    assert_clear(result, 2, *words)
