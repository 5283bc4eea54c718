"""Logs of real programs, for `oddities.py`: what this machine has, or writes within seconds.

| name | written by |
| --- | --- |
| packages | Debian's package manager: `/var/log/dpkg.log` |
| system calls | `strace` of some Python programs |
| web | Python's `http.server`, answering a client |

A log that this machine cannot write is left out, with a message.
"""

from __future__ import annotations

import http.client
import http.server
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_PROGRAMS = (
    "import json, decimal; json.dumps(list(range(9)))",
    "import sqlite3; sqlite3.connect('{0}/a.db').execute('create table a (b)')",
    "import glob; [open(f, 'rb').read(99) for f in glob.glob('/usr/share/doc/*/copyright')[:300]]",
    "import shutil; shutil.copytree('/etc/apt', '{0}/apt')",
    "import subprocess; subprocess.run(['ls', '-l', '/usr/lib'], capture_output=True)",
)
_REQUESTS = 24_000


def packages() -> list[str]:
    """The log of Debian's package manager."""
    return Path("/var/log/dpkg.log").read_text("utf-8").splitlines()


def system_calls() -> list[str]:
    """System calls of Python programs, three runs of each in an order drawn at random."""
    if shutil.which("strace") is None:
        raise OSError("strace is not installed")
    runs = [*_PROGRAMS * 3]
    random.Random(1).shuffle(runs)
    lines: list[str] = []
    for program in runs:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            command = ["strace", "-f", "-tt", "-o", str(log), sys.executable, "-I", "-S", "-c"]
            subprocess.run(
                [*command, program.format(folder)], check=True, stdout=subprocess.DEVNULL
            )
            lines += log.read_text("utf-8", "replace").splitlines()
    return lines


def web() -> list[str]:
    """Requests to a web server: common and rare pages, pages that do not exist, and downloads."""
    lines: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # which would wait for the client before each file

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Write a line in the server's own format."""
            lines.append(f"{self.address_string()} - - [{self.log_date_time_string()}] "
                         f"{format % args}")  # fmt: skip

    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        names = _pages(Path(folder), rng)
        with http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), lambda *args: Handler(*args, directory=folder)
        ) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            client = http.client.HTTPConnection("127.0.0.1", server.server_port)
            weights = [1 / (n + 1) for n in range(len(names))]
            for name in rng.choices(names, weights, k=_REQUESTS):
                method = rng.choices(["GET", "HEAD", "POST"], [90, 8, 2])[0]
                query = f"?page={rng.randrange(1, 60)}" if rng.random() < 0.2 else ""
                missing = rng.choice(["old/", "favicon/", ""]) if rng.random() < 0.05 else ""
                client.request(method, f"/{missing}{name}{query}")
                client.getresponse().read()
            client.close()
            server.shutdown()
    return lines


def _pages(folder: Path, rng: random.Random) -> list[str]:
    """Write files for the server; returns their paths, the most common first."""
    words = ["about", "news", "item", "shop", "cart", "user", "image", "style", "report", "help"]
    names = []
    for _ in range(300):
        parts = rng.choices(words, k=rng.choice([1, 2, 2, 3]))
        ending = rng.choice([".html", ".html", ".css", ".js", ".png", ""])
        names.append(f"{'/'.join(parts)}-{rng.randrange(400)}{ending}")
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(rng.randrange(1, 9000)))
    return names


LOGS: dict[str, Callable[[], list[str]]] = {
    "packages": packages,
    "system calls": system_calls,
    "web": web,
}
"""A function for each log, which returns its lines.

Raises:
    OSError, subprocess.CalledProcessError: this machine cannot write it.
"""
