"""The full command of a run: a command line that repeats it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from charlstm.config import SECTIONS, Config
from charlstm.config.fields import flag_of

if TYPE_CHECKING:
    from charlstm.text.separate import GivenText


def full_command(
    texts: Sequence[str],
    runs_dir: Path,
    *options: str,
    separate: Mapping[str, GivenText] | None = None,
) -> str:
    """The command line that trains on texts with options.

    Args:
        texts: files and folders.
        runs_dir: the folder of runs.
        options: what `as_options` returns.
        separate: separate texts, by part.
    """
    from charlstm.runs.find import DEFAULT_RUNS_DIR  # needs numpy

    folder = "" if runs_dir == DEFAULT_RUNS_DIR else f"--runs-dir {shlex.quote(str(runs_dir))}"
    from charlstm.text.separate import flag_of_text

    own = [
        f"{flag_of_text(part)} {as_argument(path)}"
        for part, text in (separate or {}).items()
        for path in text.paths
    ]
    words = ["charlstm", "train", *map(as_argument, texts), *own, folder, *options]
    return " ".join(word for word in words if word)


def as_argument(text: str) -> str:
    """A text's name, quoted for a shell, and never read as an option."""
    return shlex.quote(f"./{text}" if text.startswith("-") and text != "-" else text)


def as_options(config: Config, names: Collection[str]) -> str:
    """The command-line options for some fields, in the fields' order."""
    words = []
    for name in SECTIONS:
        section = getattr(config, name)
        for spec in dataclasses.fields(section):
            value = getattr(section, spec.name)
            if spec.name not in names:
                continue
            flag = flag_of(spec)
            if isinstance(value, tuple):  # a repeatable option
                words += [f"{flag} {shlex.quote(part)}" for part in value]
                continue
            words.append(f"--no-{flag.removeprefix('--')}" if value is False else flag)
            if not value and spec.metadata["zero"]:
                words.append(spec.metadata["zero"])
            elif not isinstance(value, bool):
                words.append(shlex.quote(str(value)))  # str keeps all digits of a float
    return " ".join(words)
