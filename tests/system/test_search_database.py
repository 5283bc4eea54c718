"""A search on PostgreSQL: two machines share it, and it goes away."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import Program
from tests.system.conftest import Record
from tests.system.test_search import PLACE, SEARCH, copy_text, results


def _binaries() -> Path | None:
    """Debian's folder of PostgreSQL's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def database() -> Iterator[int]:
    """The port of a PostgreSQL server of the test's own, on all addresses of this machine."""
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'psycopg[binary]'")
    programs = _binaries()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if os.geteuid() != 0:
        pytest.skip("only root can start PostgreSQL as its own user")
    place, port = Path("/tmp") / f"charlstm-postgres-{os.getpid()}", _free_port()
    place.mkdir()
    shutil.chown(place, "postgres", "postgres")
    as_user: list[str | Path] = ["runuser", "-u", "postgres", "--"]
    data = place / "data"
    options = f"-c listen_addresses=* -c port={port} -c unix_socket_directories={place}"
    try:
        subprocess.run(
            [*as_user, programs / "initdb", "-D", data, "-A", "trust", "-N"],
            check=True, cwd=place, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all 10.231.0.0/16 trust\n")
        control = [*as_user, programs / "pg_ctl", "-D", data, "-w", "-l", place / "log"]
        subprocess.run(
            [*control, "-o", options, "start"], check=True, cwd=place, stdout=subprocess.DEVNULL
        )
        try:
            yield port
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, cwd=place,
                           stdout=subprocess.DEVNULL)  # fmt: skip
    finally:
        shutil.rmtree(place)


@pytest.fixture
def machines() -> Iterator[Callable[[int], tuple[str, str]]]:
    """`machines(1)` makes a network namespace: its name, and this machine's address in it."""
    made: list[str] = []

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)

    def make(number: int) -> tuple[str, str]:
        name, net = f"charlstm{os.getpid()}-{number}", f"10.231.{number}"
        here, there = f"ch{os.getpid()}a{number}"[:15], f"ch{os.getpid()}b{number}"[:15]
        try:
            ip("netns", "add", name)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("only root, where the system allows it, can make a network namespace")
        made.append(name)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        ip("addr", "add", f"{net}.1/24", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", name, "addr", "add", f"{net}.2/24", "dev", there)
        ip("-n", name, "link", "set", there, "up")
        return name, f"{net}.1"

    yield make
    for name in made:
        ip("netns", "del", name)  # its links go with it


def test_22_two_machines_share_a_study(
    folder: Path,
    database: int,
    machines: Callable[[int], tuple[str, str]],
    record: Record,
) -> None:
    """Each in a network of its own, with runs of its own; the database is all that they share."""
    processes = []
    for number in (1, 2):
        namespace, address = machines(number)
        place = copy_text(folder, f"machine-{number}")
        url = f"postgresql://postgres@{address}:{database}/postgres"
        command = [
            "ip", "netns", "exec", namespace, sys.executable, "-W", "error", "-m", "charlstm",
            *SEARCH, "--trials", "8", "--sampler", "random", "--trial-epochs", "3",
            "--storage", url,
        ]  # fmt: skip
        with (place / "out").open("wb") as out, (place / "err").open("wb") as err:
            processes.append(
                (place, subprocess.Popen(command, cwd=place, stdout=out, stderr=err,
                                         env={**os.environ, "PYTHONPATH": os.getcwd()}))
            )  # fmt: skip
    for place, process in processes:
        assert process.wait(timeout=300) == 0, (place / "err").read_text()
    found = [json.loads((place / "out").read_text()) for place, _ in processes]
    for result in found:
        # At most one trial more, where both asked at the same moment.
        trials = [row for row in result["trials"] if row["seed"] is None]
        assert len(trials) in (8, 9)
        assert {row["state"] for row in result["trials"]} == {"complete"}
        assert result["verdict"]
    runs = [
        {path.parent.name for path in (place / PLACE).glob("*/best.npz")} for place, _ in processes
    ]
    assert all(runs), "one machine has done nothing"
    numbers = {name[:10] for names in runs for name in names}
    assert numbers >= {f"trial-{number:04d}" for number in range(8)}
    record(22, f"two machines on PostgreSQL, with {len(runs[0])} and {len(runs[1])} runs")


def test_22_a_database_that_goes_away(folder: Path, database: int, program: Program) -> None:
    """What was trained stays, and the same command goes on when the database is back."""
    url = f"postgresql://postgres:secret@127.0.0.1:{database}/postgres"
    arguments = [*SEARCH, "--storage", url, "--trials", "2"]
    done = program(*arguments)
    assert done.returncode == 0, done.stderr
    gone = program(*SEARCH, "--trials", "2", "--storage", url.replace(str(database), "1"))
    assert gone.returncode == 1
    assert "postgresql://postgres:***@127.0.0.1:1/postgres cannot be used" in gone.stderr
    assert "secret" not in gone.stderr
    assert results(program(*arguments).stdout) == results(done.stdout)
