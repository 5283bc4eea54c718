"""Command lines that mend a text: each reads one file and writes `clean.txt`, in UTF-8."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from charlstm.text.decoding import HEAD_BYTES, detect, encoding_named, unpack
from charlstm.text.sources import Source

CLEAN = "clean.txt"
_UNPACK = {"gzip": "zcat", "bzip2": "bzcat", "xz": "xzcat"}


def _iconv(encoding: str) -> str:
    """An encoding's name for iconv."""
    other = {"mac-roman": "macintosh", "utf-16-le": "utf-16le", "utf-16-be": "utf-16be",
             "utf-32-le": "utf-32le", "utf-32-be": "utf-32be"}  # fmt: skip
    return other.get(encoding, encoding)


def pipe(source: Source, encoding: str, program: str) -> str:
    """A command line that passes a source through a program.

    Args:
        source: the source; one whose name cannot be printed, or none, is called FILE.
        encoding: the value of `--encoding`.
        program: reads UTF-8 from standard input, and writes standard output.
    """
    name = "FILE" if source.path is None else str(source.path)
    name = f"./{name}" if name.startswith("-") else name  # not an option
    file = shlex.quote(name) if name.isprintable() else "FILE"
    with source.open() as raw:
        stream, packed = unpack(raw)
        found, _ = detect(stream.read(HEAD_BYTES), encoding_named(encoding), source.name)
    steps = [f"{_UNPACK[packed]} {file}"] if packed else []
    if found not in ("utf-8", "ascii"):
        convert = f"iconv -f {_iconv(found)} -t utf-8"
        steps.append(convert if steps else f"{convert} {file}")
    if not steps:
        return f"{program} < {file} > {CLEAN}"
    return f"{' | '.join(steps)} | {program} > {CLEAN}"


def _python(modules: str, expression: str) -> str:
    code = f"import {modules}; sys.stdout.write({expression})"
    return f"python3 -c {shlex.quote(code)}"


def without_lines(ranges: Iterable[tuple[int, int | None]]) -> str:
    """Removes lines, given as the first and the last, from 1; None: the end of the file."""
    parts = [f"{first},{'$' if last is None else last}d" for first, last in ranges]
    return f"sed {shlex.quote('; '.join(parts))}"


def without_copies(least: int) -> str:
    """Removes lines of `least` characters or more that occurred before."""
    return f"awk 'length($0) < {least} || !seen[$0]++'"


def without_characters(characters: Iterable[str]) -> str:
    """Removes some characters."""
    points = ", ".join(f"0x{ord(c):x}" for c in sorted(characters))
    return _python("sys", f"sys.stdin.read().translate(dict.fromkeys([{points}]))")


WITHOUT_CONTROLS = _python(
    "re, sys",
    r're.sub("\x1b\\[[0-9;?]*[A-Za-z]|[\x01-\x08\x0b\x0e-\x1f\x7f]", "", sys.stdin.read())',
)
"""Removes control characters, and the sequences that set a terminal's colours."""
COMPOSED = _python("sys, unicodedata", 'unicodedata.normalize("NFC", sys.stdin.read())')
"""Composes letters with their accents (NFC)."""
ONE_LINE_END = _python("sys", r'sys.stdin.read().replace("\r\n", "\n").replace("\r", "\n")')
"""Converts all line ends to LF."""
WITHOUT_ENTITIES = _python("html, sys", "html.unescape(sys.stdin.read())")
"""Replaces HTML's character references by characters."""
WITHOUT_TAGS = "sed 's/<[^>]*>//g'"
WITHOUT_TRAILING_SPACE = "sed 's/[[:space:]]*$//'"
WITHOUT_LONG_LINES = _python(
    "re, sys",
    r're.sub("(?:.{5000,9999} |.{10000})(?=.)", lambda m: m[0].rstrip(" ") + "\n", '
    "sys.stdin.read())",
)
"""Divides lines into parts of 5,000 to 10,000 characters, at spaces if there are some."""


def encoded_again(codec: str, *, has_controls: bool) -> str:
    """Undoes a decoding with that encoding (Python's name), where UTF-8 was meant.

    Args:
        codec: the encoding.
        has_controls: whether control characters stand for the bytes with their numbers.
    """
    if has_controls:
        each = f'bytes([ord(c)]) if "\\x80" <= c < "\\xa0" else c.encode("{codec}")'
        code = f'sys.stdout.buffer.write(b"".join({each} for c in sys.stdin.read()))'
        return f"python3 -c {shlex.quote(f'import sys; {code}')}"
    return f"iconv -f utf-8 -t {_iconv(codec)}"
