"""The picture of a terminal session: `python docs/make_session.py` writes `images/session.svg`.

Runs real commands in a pseudo-terminal of 96 columns and draws what stands on the screen at the
end; in place of the middle of a long run stands "...". Takes about two minutes; other work on the
machine would show in the figures. Needs a Unix system; standard library only.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import tempfile
import termios
import unicodedata
from pathlib import Path

from svg import MONO, Drawing

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "images" / "session.svg"
COLUMNS, ROWS = 96, 200
COMMANDS = (
    "charlstm train corpora/lighthouse.txt",
    "charlstm sample --temp 0.6 --length 260 --prompt 'MARTHA:' --seed 3",
)


class Screen:
    """What a terminal shows: carriage return, cursor movement, erasing; colours are left out."""

    def __init__(self, columns: int = COLUMNS) -> None:
        self._columns = columns
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0

    def feed(self, text: str) -> None:
        """Take in output."""
        for part in re.split(r"(\x1b\[[0-9;?]*[A-Za-z]|[\r\n\b])", text):
            if part.startswith("\x1b["):
                self._control(part[-1], part[2:-1])
            elif part == "\r":
                self._column = 0
            elif part == "\n":
                self._down()
            elif part == "\b":
                self._column = max(0, self._column - 1)
            else:
                for character in part:
                    self._put(character)

    def _control(self, name: str, argument: str) -> None:
        count = int(argument) if argument.isdigit() else 0
        row = self._rows[self._row]
        if name == "A":
            self._row = max(0, self._row - max(1, count))
        elif name == "B":
            for _ in range(max(1, count)):
                self._down()
        elif name == "K":
            del row[0 if count == 2 else self._column :]
            row.extend(" " * (self._column - len(row)))

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._rows):
            self._rows.append([])

    def _put(self, character: str) -> None:
        if unicodedata.category(character) == "Cc":
            return
        if self._column == self._columns:
            self._column = 0
            self._down()
        row = self._rows[self._row]
        row.extend(" " * (self._column + 1 - len(row)))
        row[self._column] = character
        self._column += 1

    def lines(self) -> list[str]:
        """The rows, without blanks at their ends, and without empty rows at the end."""
        lines = ["".join(row).rstrip() for row in self._rows]
        while lines and not lines[-1]:
            lines.pop()
        return lines


def run(command: str, cwd: Path, environment: dict[str, str]) -> list[str]:
    """What a terminal shows once a command has run in it.

    Raises:
        SystemExit: the command failed.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execve("/bin/sh", ["sh", "-c", command], {**os.environ, **environment})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    shown = b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # how Linux reports the end
            break
        if not data:
            break
        shown += data
    os.close(terminal)
    screen = Screen()
    screen.feed(shown.decode("utf-8", "replace"))
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
        sys.exit("\n".join([f"{command} failed:", *screen.lines()]))
    return screen.lines()


def session(commands: tuple[str, ...] = COMMANDS) -> str:
    """The picture of a session of some commands, in a folder that holds the corpora."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm",
        "COLUMNS": str(COLUMNS),
    }
    lines: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "corpora").symlink_to(ROOT / "corpora")
        for command in commands:
            lines += [f"$ {command}", *run(command, Path(folder), environment), ""]
    return draw(without_middle(lines[:-1]))


def without_middle(lines: list[str], ends: int = 2) -> list[str]:
    """The lines; of a long run's evaluations and previews only those at both ends."""
    marks = [n for n, line in enumerate(lines) if line.startswith("step ")]
    if len(marks) <= 2 * ends:
        return lines
    return [*lines[: marks[ends]], "...", *lines[marks[-ends] :]]


def draw(lines: list[str]) -> str:
    """The picture of a terminal that shows some lines."""
    width, height = round(COLUMNS * 7.25) + 40, 18 * len(lines) + 64
    d = Drawing(width, height, "A terminal: " + " ".join(COMMANDS), paper="#0d1117")
    for n, colour in enumerate(("#ff5f57", "#febc2e", "#28c840")):
        d.circle(22 + 18 * n, 20, 5.5, fill=colour, stroke=colour)
    for n, line in enumerate(lines):
        typed = line.startswith("$ ")
        d.text(
            20, 56 + 18 * n, line, size=12, anchor="start", font=MONO,
            fill="#7ee787" if typed else "#e6edf3", weight="bold" if typed else "normal",
        )  # fmt: skip
    return d.render()


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(session(), "utf-8")
