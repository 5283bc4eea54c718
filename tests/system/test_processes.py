"""Training by several processes, as a person starts it: real processes, killed for real."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from charlstm.format.checkpoint import load_checkpoint
from charlstm.training.launch import child_arguments
from tests.cli.test_train import assert_same_run
from tests.conftest import Program, assert_clear
from tests.system.conftest import MANY_STEPS, begin
from tests.zygote import wait_until

TWO = ["--processes", "2"]
LONG = [*MANY_STEPS, "--epochs", "2", "--save-every", "25", "--log-every", "10"]
LONG += ["--precision", "float32"]  # which a probe on a busy machine chooses now and then


def workers(folder: Path) -> list[int]:
    """Processes that train there, the leader first."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").resolve() != folder.resolve():
                continue
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        ranks = [part for part in environment if part.startswith(b"RANK=")]
        if ranks:
            found.append((int(ranks[0][5:]), int(entry.name)))
    return [pid for _, pid in sorted(found)]


def finish(process: subprocess.Popen[bytes], seconds: float = 100) -> str:
    """Wait for the end; what was said on stderr."""
    return process.communicate(timeout=seconds)[1].decode()


def shadow_standard_modules(folder: Path) -> None:
    """Files called like standard modules, which nothing must import."""
    for name in ("random", "tempfile", "json", "shutil"):
        (folder / f"{name}.py").write_text("raise ImportError('the file in the current folder')\n")


@pytest.mark.parametrize("start", ["python -m", "child"])
def test_files_in_the_current_folder_are_not_imported(start: str, tmp_path: Path) -> None:
    shadow_standard_modules(tmp_path)
    starts = {"python -m": ["-m", "charlstm"], "child": child_arguments([])}
    command = [sys.executable, *starts[start], "runs", "--runs-dir", "nowhere"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "ImportError" not in done.stderr
    assert "nowhere" in done.stderr  # the command itself has run


def reached(run: Path, step: int) -> bool:
    log = run / "metrics.jsonl"
    return log.exists() and f'"step": {step},' in log.read_text()


def test_a_killed_process_ends_all_and_resume_is_exact(corpus_file: Path, tmp_path: Path) -> None:
    runs = tmp_path / "checkpoints"
    shadow_standard_modules(tmp_path)
    whole = begin(tmp_path, "train", corpus_file.name, *LONG, *TWO, "--name", "whole")
    said = finish(whole)
    assert whole.returncode == 0, said
    killed = begin(tmp_path, "train", corpus_file.name, *LONG, *TWO, "--name", "killed")
    wait_until(lambda: reached(runs / "killed", 190))
    leader, follower = workers(tmp_path)
    os.kill(follower, signal.SIGKILL)
    start = time.monotonic()
    said = finish(killed)
    assert killed.returncode == 1
    assert time.monotonic() - start < 60
    assert "another process of this training has ended" in said
    assert "charlstm train --resume checkpoints/killed" in said
    assert "process 2 of 2 was ended by SIGKILL" in said
    assert "Traceback" not in said
    wait_until(lambda: not Path(f"/proc/{leader}").exists())
    # The number of processes is the run's own.
    resumed = begin(tmp_path, "train", "--resume", "killed")
    said = finish(resumed)
    assert resumed.returncode == 0, said
    assert_same_run(runs / "whole", runs / "killed")


def test_ctrl_c_saves_and_another_number_goes_on_with_a_word(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    run = tmp_path / "checkpoints" / "play"
    process = begin(tmp_path, "train", corpus_file.name, *LONG, *TWO)
    wait_until(lambda: reached(run, 30))
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert process.returncode == 130
    assert "1 thread in each of 2 processes" in said
    assert "charlstm train --resume checkpoints/play" in said
    assert "Error" not in said
    step = load_checkpoint(run / "last.npz").meta["progress"]["step"]
    assert step >= 30
    alone = program("train", "--resume", "play", "--processes", 1, "--stop-after", 1)
    assert alone.returncode == 0, alone.stderr
    assert "was trained by 2 process(es) and goes on with 1" in alone.stderr
    assert f"resumed at step {step}" in alone.stderr


def test_a_signal_to_a_follower_stops_all(corpus_file: Path, tmp_path: Path) -> None:
    process = begin(tmp_path, "train", corpus_file.name, *LONG, *TWO)
    wait_until(lambda: reached(tmp_path / "checkpoints" / "play", 30))
    _leader, follower = workers(tmp_path)
    os.kill(follower, signal.SIGTERM)
    said = finish(process)
    assert process.returncode == 130, said  # it did not end by itself
    assert said.count("everything saved") == 1


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def torchrun(rank: int, address: str, port: int, *arguments: object) -> list[str]:
    """The command that starts it on one of two machines."""
    return [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
        f"--node-rank={rank}", f"--master-addr={address}", f"--master-port={port}",
        "-m", "charlstm", *map(str, arguments),
    ]  # fmt: skip


def machine(folder: Path, rank: int, port: int, *arguments: object) -> subprocess.Popen[bytes]:
    """One of two machines, which is a folder here."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        torchrun(rank, "127.0.0.1", port, *arguments),
        cwd=folder,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_only_the_first_machine_keeps_the_run(
    program: Program, corpus_file: Path, tmp_path: Path
) -> None:
    options = [*MANY_STEPS, "--epochs", 2, "--stop-after", 1]
    assert program("train", corpus_file.name, *options, "--name", "two").returncode == 0
    # The command is the same on both; the other knows neither the text nor the run.
    command = ["train", "--resume", "two"]
    port = free_port()
    both = [machine(tmp_path, 0, port, *command), machine(tmp_path / "other", 1, port, *command)]
    said = [finish(process) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert "was trained by 1 process(es) and goes on with 2" in said[0]
    assert load_checkpoint(tmp_path / "checkpoints/two/last.npz").meta["progress"]["epoch"] == 2
    assert not (tmp_path / "other" / "checkpoints").exists()


def test_ctrl_c_while_another_machine_is_waited_for(corpus_file: Path, tmp_path: Path) -> None:
    # What torchrun sets where the other machine's process has failed before it met this one.
    place = {
        "RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
    }  # fmt: skip
    errors = tmp_path / "errors.txt"
    with errors.open("wb") as file:
        first = subprocess.Popen(
            [sys.executable, "-m", "charlstm", "train", corpus_file.name, *MANY_STEPS],
            cwd=tmp_path, stderr=file, env={**os.environ, **place},
        )  # fmt: skip
    wait_until(lambda: "waiting for all 2 processes to start" in errors.read_text())
    first.send_signal(signal.SIGINT)
    assert first.wait(10) == 130
    assert "stopped before training began" in errors.read_text()


def test_torchrun_starts_it_too(corpus_file: Path, tmp_path: Path) -> None:
    def standalone(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "-m", "torch.distributed.run", "--standalone",
                "--nproc-per-node=2", "-m", "charlstm", "train", *map(str, arguments),
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
        )  # fmt: skip

    done = standalone(corpus_file.name, *MANY_STEPS, "--epochs", 1, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stopped"] == "finished"  # one of them reports
    assert done.stderr.count("epoch 1 of 1") == 1
    meta = load_checkpoint(tmp_path / "checkpoints/play/last.npz").meta
    assert meta["config"]["train"]["processes"] == 2
    wrong = standalone(corpus_file.name, *MANY_STEPS, "--processes", 3, "--name", "wrong")
    assert wrong.returncode != 0
    assert "--processes 3 contradicts torchrun, which started 2" in wrong.stderr


def test_auto_measures_and_says_what_it_chose(corpus_file: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "charlstm", "train", corpus_file.name, *MANY_STEPS,
            "--epochs", "1", "--processes", "auto", "--json",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["stopped"] == "finished"
    meta = load_checkpoint(tmp_path / "checkpoints/play/last.npz").meta
    chosen = meta["config"]["train"]["processes"]
    if (os.cpu_count() or 1) > 1:
        assert f"--processes auto: {chosen} (characters per second by processes: 1: " in done.stderr
    else:
        assert chosen == 1


def test_what_is_wrong_is_said_once(program: Program, tmp_path: Path) -> None:
    result = program("train", "nowhere.txt", *TWO)
    assert_clear(result, 1, "cannot read 'nowhere.txt'")
    (tmp_path / "short.txt").write_text("hello there, this is short")
    few = program("train", "short.txt", "--batch-size", 1, "--maxlen", 4, *TWO)
    assert_clear(few, 2, "--batch-size 1 cannot be divided among 2 processes")
    assert not (tmp_path / "checkpoints" / "short").exists()
    assert_clear(program("train", "short.txt", "--processes", "many"), 2, "--processes")
    assert_clear(program("train", "short.txt", "--processes", 2000), 2, "0 <= x <= 1,024")


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and iproute2's ip"
)
def test_two_hosts(corpus_file: Path, tmp_path: Path) -> None:
    """Two network namespaces as two machines, each with a cache folder of its own."""
    names = [f"charlstm{os.getpid()}{side}" for side in "ab"]
    links = [f"cl{os.getpid() % 100000}{side}" for side in "ab"]

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    def host(side: int, run: str) -> subprocess.Popen[bytes]:
        folder = tmp_path / names[side]
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [
                "ip", "netns", "exec", names[side],
                *torchrun(side, "10.77.0.1", 29511, "train", corpus_file, *LONG, "--name", run),
            ],
            cwd=folder, stderr=subprocess.PIPE,
            env={
                **os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": links[side],
                "XDG_CACHE_HOME": str(folder / "cache"),
            },
        )  # fmt: skip

    ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
    try:
        for side in range(2):
            ip("netns", "add", names[side])
            ip("link", "set", links[side], "netns", names[side])
            inside = ("-n", names[side])
            ip(*inside, "addr", "add", f"10.77.0.{side + 1}/24", "dev", links[side])
            ip(*inside, "link", "set", links[side], "up")
            ip(*inside, "link", "set", "lo", "up")
        runs = tmp_path / names[0] / "checkpoints"
        both = [host(0, "whole"), host(1, "whole")]
        for process in both:
            said = finish(process)
            assert process.returncode == 0, said
        assert not (tmp_path / names[1] / "checkpoints").exists()  # one of them saves
        both = [host(0, "cut"), host(1, "cut")]
        wait_until(lambda: reached(runs / "cut", 190))
        (other,) = workers(tmp_path / names[1])
        os.kill(other, signal.SIGKILL)
        start = time.monotonic()
        endings = [finish(process) for process in both]
        assert time.monotonic() - start < 60
        assert all(process.returncode for process in both)
        assert "another process of this training has ended" in endings[0]
        load_checkpoint(runs / "cut" / "last.npz")
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", links[0]], check=False, capture_output=True)


def test_an_early_decay_of_two_processes_resumes_exactly(tmp_path: Path) -> None:
    """Random letters overfit; runs pause before an early decay, and in it."""
    runs, text = tmp_path / "checkpoints", tmp_path / "letters.txt"
    text.write_text("".join(random.Random(3).choices("abcdefgh", k=900)))
    options = [
        *MANY_STEPS, *TWO, "--epochs", "40", "--lr", "0.05", "--dropout", "0",
        "--on-overfit", "decay", "--precision", "float32",
    ]  # fmt: skip
    said = finish(begin(tmp_path, "train", text.name, *options, "--name", "whole"))
    assert re.search(r"overfitting: weights of step [0-9,]+ restored", said)
    progress = load_checkpoint(runs / "whole" / "last.npz").meta["progress"]
    assert progress["decays"]
    assert progress["epoch"] < 40
    at = next(e["epoch"] for e in progress["history"] if e["step"] == progress["decay_step"])
    for epoch in (at - 1, at):
        name = f"paused-{epoch}"
        pause = ["--stop-after", str(epoch), "--name", name]
        finish(begin(tmp_path, "train", text.name, *options, *pause))
        assert load_checkpoint(runs / name / "last.npz").meta["progress"]["epoch"] == epoch
        finish(begin(tmp_path, "train", "--resume", name))
        assert_same_run(runs / "whole", runs / name)
