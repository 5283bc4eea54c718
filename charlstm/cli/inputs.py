"""Texts that commands read beside a corpus: prompts, and texts with blanks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from charlstm.cli import output
from charlstm.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from charlstm.text.tokenizer import CharTokenizer


def read_prompt(file: str, name: str) -> str:
    """A file's text, or standard input's (`-`), in UTF-8.

    Args:
        file: which.
        name: what to call it in an error.

    Raises:
        SourceError: it cannot be read, or is not UTF-8.
    """
    from charlstm.text.sources import standard_input

    try:
        data = standard_input().read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise SourceError(f"cannot read {name} {file}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} {file} is not valid UTF-8 at byte {error.start}.") from error


def note_unknown(tokenizer: CharTokenizer, text: str, unknown: str) -> None:
    """Say which characters of a text were left out or replaced, if any were."""
    if unknown != "error":
        say_unknown(tokenizer.unknown_characters(text), unknown)


def say_unknown(counts: Mapping[str, int], unknown: str) -> None:
    """Say which characters were left out or replaced, by how often each occurs."""
    doing = {"skip": "left out", "replace": "replaced"}.get(unknown)
    if not counts or doing is None:  # encoding will say which words it takes
        return
    shown = " ".join(repr(c) for c in list(counts)[:10]) + (" ..." if len(counts) > 10 else "")
    output.say(f"{sum(counts.values()):,} characters the model does not know were {doing}: {shown}")
