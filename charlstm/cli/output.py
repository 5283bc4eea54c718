"""All output: data to stdout, everything else to stderr."""

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

# C0 and C1 controls, line separators, and bidirectional controls, which can disguise text. Joiners,
# U+200E and U+200F only affect shaping and are ordinary text in many languages.
_UNSAFE_SET = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ufeff"
# Compiled when used first, by `re.sub`.
_UNSAFE = f"[{_UNSAFE_SET}]"
_UNSAFE_IN_JSON = f"[{_UNSAFE_SET}\ud800-\udfff]"


def escape(text: str, *, newlines: bool = True) -> str:
    """Escape the characters of a text that could control a terminal.

    Args:
        text: any text.
        newlines: whether to keep newline and tab unescaped.
    """
    text = re.sub(_UNSAFE, lambda match: _visible(match[0]), text)
    if not newlines:
        text = text.replace("\n", "\\n").replace("\t", "\\t")
    return "".join(c if not "\ud800" <= c <= "\udfff" else _visible(c) for c in text)


def _visible(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}"


class ReaderGoneError(Exception):
    """The reader of stdout has closed the pipe; unlike BrokenPipeError, click ignores this one."""


class DataStream:
    """A text stream to stdout: escaped on a terminal, exact UTF-8 otherwise.

    Attributes:
        terminal: whether stdout is a terminal.
    """

    def __init__(self) -> None:
        if sys.stdout is None:
            raise click.ClickException("standard output is closed.")
        self.terminal = sys.stdout.isatty()
        self._flushed = 0.0

    def write(self, text: str) -> None:
        """Write text; it is flushed within a twentieth of a second.

        Raises:
            ReaderGoneError: the reader has closed the pipe.
            click.ClickException: stdout cannot be written.
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
        now = time.monotonic()
        if now - self._flushed > 0.05:
            sys.stdout.buffer.flush()
            self._flushed = now

    def close(self) -> None:
        """Flush."""
        flush()


def argument(text: str, name: str) -> str:
    """A text given on the command line, checked.

    Raises:
        SourceError: it is not valid in the terminal's encoding.
    """
    if any("\udc80" <= c <= "\udcff" for c in text):  # Python decodes an invalid byte to these
        raise SourceError(f"{name} is not valid text in the terminal's encoding.")
    return text


def data_line(text: str) -> None:
    """Write one line of data to stdout."""
    DataStream().write(text + "\n")


def json_line(record: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout, as one line in UTF-8.

    A float that is not finite becomes null. Control characters, line separators and lone
    surrogates are escaped: they could end a line or control a terminal. A terminal that is not
    UTF-8 receives ASCII.
    """
    import json

    out = DataStream()
    text = json.dumps(
        finite(record),
        allow_nan=False,
        ensure_ascii=out.terminal and _encoding_of(sys.stdout) != "utf-8",
    )
    out.write(re.sub(_UNSAFE_IN_JSON, lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def finite(value: Any) -> Any:
    """The value with every float that is not finite replaced by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, list | tuple) else value


def _encoding_of(stream: TextIO) -> str:
    return codecs.lookup(stream.encoding or "utf-8").name


def flush() -> None:
    """Flush stdout here, where a failure can still be reported.

    Raises:
        ReaderGoneError: the reader has closed the pipe.
        click.ClickException: stdout cannot be written.
    """
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
    """Discard what stdout still buffers, after its pipe was closed or its disk is full."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return


def say(text: str) -> None:
    """Write a notice of one or more lines to stderr."""
    if sys.stderr is None:
        return
    encoding = sys.stderr.encoding or "utf-8"
    safe = escape(text).encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(safe, file=sys.stderr, flush=True)  # noqa: T201 - the only print
    except OSError:
        discard_stderr()


def discard_stderr() -> None:
    """Discard all further output to a stderr that cannot be written."""
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def error(text: str) -> None:
    """Write an error message to stderr."""
    say(f"Error: {text}")


def columns(text: str) -> int:
    """The width of a text in terminal columns: wide characters count two, combining marks zero."""
    wide = {"W": 2, "F": 2}
    return sum(
        0 if unicodedata.combining(c) else wide.get(unicodedata.east_asian_width(c), 1)
        for c in text
    )


def table(rows: list[list[str]]) -> str:
    """Format rows of cells as aligned columns, two spaces apart."""
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
