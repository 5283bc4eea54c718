"""Where everything that is shown goes: data to stdout, all else to stderr."""

from __future__ import annotations

import codecs
import math
import os
import re
import sys
import time
import unicodedata
from collections.abc import Mapping
from typing import Any, TextIO

import click

from charlstm.errors import SourceError

# C0 and C1 controls, line separators, and the bidirectional controls that can disguise text. Marks
# that only take part in shaping (joiners, U+200E and U+200F) are ordinary text in many languages.
_UNSAFE_SET = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ufeff"
_UNSAFE = re.compile(f"[{_UNSAFE_SET}]")
_UNSAFE_IN_JSON = re.compile(f"[{_UNSAFE_SET}\ud800-\udfff]")


def escape(text: str, *, newlines: bool = True) -> str:
    """The text with characters that could steer a terminal made visible.

    Args:
        text: any text.
        newlines: whether newline and tab stay as they are.
    """
    text = _UNSAFE.sub(lambda match: _visible(match[0]), text)
    if not newlines:
        text = text.replace("\n", "\\n").replace("\t", "\\t")
    return "".join(c if not "\ud800" <= c <= "\udfff" else _visible(c) for c in text)


def _visible(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


class ReaderGoneError(Exception):
    """Whoever read stdout has closed it. (On a BrokenPipeError click would end the program)."""


class DataStream:
    """Text to stdout as it comes: escaped on a terminal, exact UTF-8 elsewhere.

    Attributes:
        terminal: whether stdout is a terminal.
    """

    def __init__(self) -> None:
        if sys.stdout is None:
            raise click.ClickException("standard output is closed.")
        self.terminal = sys.stdout.isatty()
        self._flushed = 0.0

    def write(self, text: str) -> None:
        """Write text, and let it be seen soon.

        Raises:
            ReaderGoneError: the pipe's other end is closed.
        """
        try:
            self._write(text)
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        except OSError as error:
            raise _unwritable(error) from error

    def _write(self, text: str) -> None:
        if self.terminal:
            encoding = sys.stdout.encoding or "utf-8"
            safe = escape(text).encode(encoding, "backslashreplace").decode(encoding)
            sys.stdout.write(safe)
            sys.stdout.flush()
            return
        sys.stdout.buffer.write(text.encode("utf-8", "surrogatepass"))
        # A reader of a pipe sees text within a twentieth of a second.
        now = time.monotonic()
        if now - self._flushed > 0.05:
            sys.stdout.buffer.flush()
            self._flushed = now

    def close(self) -> None:
        """Flush."""
        flush()


def argument(text: str, name: str) -> str:
    """A text that was given on the command line, if it is one.

    Raises:
        SourceError: it has bytes that are no text in the terminal's encoding.
    """
    if any("\udc80" <= c <= "\udcff" for c in text):  # what a wrong byte arrives as
        raise SourceError(f"{name} is not valid text in the terminal's encoding.")
    return text


def data_line(text: str) -> None:
    """One line of data to stdout."""
    DataStream().write(text + "\n")


def json_line(record: Mapping[str, Any]) -> None:
    """One JSON object to stdout, in UTF-8, as one line that is safe anywhere.

    A float that is not finite becomes null. Control characters, line separators and lone
    surrogates are escaped, so that no program takes one for a line's end and no terminal obeys
    it. A terminal that is not UTF-8 gets ASCII.
    """
    import json

    out = DataStream()
    text = json.dumps(
        finite(record),
        allow_nan=False,
        ensure_ascii=out.terminal and _encoding_of(sys.stdout) != "utf-8",
    )
    out.write(_UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def finite(value: Any) -> Any:
    """The value with None for each float, at any depth, that JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, list | tuple) else value


def _encoding_of(stream: TextIO) -> str:
    return codecs.lookup(stream.encoding or "utf-8").name


def flush() -> None:
    """Flush stdout, so that a failure is met where it can be reported."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise _unwritable(error) from error


def _unwritable(error: OSError) -> click.ClickException:
    discard()
    return click.ClickException(f"cannot write to standard output: {error.strerror or error}.")


def discard() -> None:
    """Send what stdout still buffers nowhere: its reader is gone, or its disk is full."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return


def say(text: str) -> None:
    """Lines for the person at the terminal, to stderr."""
    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "utf-8"
    safe = escape(text).encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(safe, file=sys.stderr, flush=True)  # noqa: T201 - the one place
    except OSError:
        discard_stderr()


def discard_stderr() -> None:
    """Stop writing to a stderr that fails; the work goes on."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def error(text: str) -> None:
    """An error's one or two lines."""
    say(f"Error: {text}")


def columns(text: str) -> int:
    """How many terminal columns a text takes: wide characters count two, marks none."""
    wide = {"W": 2, "F": 2}
    return sum(
        0 if unicodedata.combining(c) else wide.get(unicodedata.east_asian_width(c), 1)
        for c in text
    )


def table(rows: list[list[str]]) -> str:
    """Rows of cells as aligned columns, two spaces apart."""
    widths = [max(columns(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell + " " * (width - columns(cell)) for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def megabytes(num_bytes: int) -> str:
    """A size, such as `12.3 MB`."""
    return f"{num_bytes / 1e6:,.1f} MB"


def counted(number: int, what: str) -> str:
    """A number and what it counts, in the singular or the plural: `1 epoch`, `2,000 epochs`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"
