"""A process that has everything imported, and forks the program from there.

Starting the program costs two seconds, most of them torch's; a fork of a process that has done
so is a real process that starts in an instant. Requests are lines of JSON on standard input,
replies on standard output.

A child can be asked to send itself a signal at its Nth call of a function, before or after the
call: so a test can put a death exactly inside a save.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

# Where a save can be cut in two.
CUTS = (
    "tempfile.mkstemp", "zipfile.ZipFile.open", "os.fsync", "os.replace", "os.link", "os.unlink",
)  # fmt: skip


class Child:
    """One run of the program."""

    def __init__(self, zygote: Zygote, pid: int, folder: Path) -> None:
        self.zygote = zygote
        self.pid = pid
        self._output = folder
        self.code: int | None = None

    def signal(self, number: int) -> None:
        """Send a signal; it may have ended already."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self) -> int:
        """The exit code, or minus the signal that ended it."""
        if self.code is None:
            status = self.zygote.ask({"wait": self.pid})
            self.code = os.waitstatus_to_exitcode(status)
        return self.code

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        if self.code is None:
            status = self.zygote.ask({"poll": self.pid})
            self.code = None if status is None else os.waitstatus_to_exitcode(status)
        return self.code is not None

    @property
    def errors(self) -> str:
        """What it has written to standard error; it makes the file when it starts."""
        path = self._output / f"{self.pid}.err"
        return path.read_text("utf-8", errors="replace") if path.exists() else ""

    @property
    def output(self) -> bytes:
        """What it wrote to standard output."""
        return (self._output / f"{self.pid}.out").read_bytes()


class Zygote:
    """The process, from the tests' side.

    Args:
        folder: where children's output goes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", __file__, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    def __enter__(self) -> Zygote:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def ask(self, request: dict[str, Any]) -> Any:
        """Send a request; its reply."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def start(self, *arguments: object, cwd: Path, **options: Any) -> Child:
        """Run the program.

        Args:
            arguments: the command line.
            cwd: the working directory.
            **options: `die` (function, call, after, signal), `file_limit` (bytes), `closed`
                (descriptors), `stdin` (a path), `stdout` (a path, or "broken" for a pipe without
                a reader), `stderr` (a path), `memory_limit` (bytes above what is mapped now),
                `umask`, `env`.
        """
        request = {"run": [str(a) for a in arguments], "cwd": str(cwd), **options}
        return Child(self, self.ask(request), self.folder)

    def run(self, *arguments: object, cwd: Path, **options: Any) -> Child:
        """Run the program to its end."""
        child = self.start(*arguments, cwd=cwd, **options)
        child.wait()
        return child


def _die_at(name: str, call: int, after: bool, number: int = signal.SIGKILL) -> None:
    """Replace a function by one that sends the process a signal at a certain call."""
    parts = name.split(".")
    owner: Any = importlib.import_module(parts[0])
    for end, part in enumerate(parts[1:-1], 2):
        if not hasattr(owner, part):  # a module that nobody has imported yet
            importlib.import_module(".".join(parts[:end]))
        owner = getattr(owner, part)
    original = getattr(owner, parts[-1])
    calls = 0

    def deadly(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            os.kill(os.getpid(), number)
        result = original(*arguments, **keywords)
        if calls == call and after:
            os.kill(os.getpid(), number)
        return result

    setattr(owner, parts[-1], deadly)


def _signal_at(moment: int, number: int) -> None:
    """Send this process a signal at its main thread's Nth call of a function, C's included.

    Where a first training step comes before that, write how many calls there were to `calls`.
    """
    calls = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        if event not in ("call", "c_call"):
            return
        calls += 1
        if calls == moment:
            sys.setprofile(None)
            os.kill(os.getpid(), number)
        elif frame.f_code is step:
            sys.setprofile(None)
            Path("calls").write_text(str(calls))

    from charlstm.training.loop import Trainer

    step = Trainer._step.__code__
    sys.setprofile(count)


def _child(request: dict[str, Any], folder: Path) -> None:
    """Become the program."""
    os.setsid()
    os.chdir(request["cwd"])
    os.umask(request.get("umask", 0o022))
    os.environ.update(request.get("env") or {})
    out = request.get("stdout") or str(folder / f"{os.getpid()}.out")
    if out == "broken":
        reader, stdout = os.pipe()
        os.close(reader)
    else:
        stdout = os.open(out, os.O_WRONLY | os.O_CREAT, 0o600)
    targets = {
        0: os.open(request.get("stdin") or os.devnull, os.O_RDONLY),
        1: stdout,
        2: os.open(
            request.get("stderr") or folder / f"{os.getpid()}.err",
            os.O_WRONLY | os.O_CREAT | os.O_NOCTTY,
            0o600,
        ),
    }
    for target, source in targets.items():
        os.dup2(source, target)
        os.close(source)
    for descriptor in request.get("closed", ()):
        os.close(descriptor)
    standard = [open(n, mode) if n not in request.get("closed", ()) else None  # noqa: SIM115
                for n, mode in ((0, "r"), (1, "w"), (2, "w"))]  # fmt: skip
    sys.stdin, sys.stdout, sys.stderr = standard
    if limit := request.get("file_limit"):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    if extra := request.get("memory_limit"):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + extra
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if die := request.get("die"):
        _die_at(*die)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["charlstm", *request["run"]]
    from charlstm.__main__ import main

    if moment := request.get("moment"):
        _signal_at(*moment)
    main()


def _serve(folder: Path) -> None:
    import charlstm.cli.train
    import charlstm.inference.language_model
    import charlstm.training.setup  # noqa: F401 - torch, above all

    # What torch imports when the first optimizer is made: it takes longer than a tiny training.
    importlib.import_module("torch._dynamo")
    with contextlib.suppress(ImportError):  # an extra, for `charlstm search`
        importlib.import_module("optuna")

    replies = os.dup(1)
    for line in sys.stdin:
        request = json.loads(line)
        if "run" in request:
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    _child(request, folder)
                except SystemExit as stop:
                    code = stop.code if isinstance(stop.code, int) else 1
                finally:
                    with contextlib.suppress(Exception):
                        sys.stdout.flush()
                    os._exit(code)
            reply: Any = pid
        elif "wait" in request:
            reply = os.waitpid(request["wait"], 0)[1]
        else:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            reply = status if pid else None
        os.write(replies, (json.dumps(reply) + "\n").encode())


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    """Wait for something to become true.

    Raises:
        AssertionError: it does not.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.003)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
