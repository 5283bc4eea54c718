"""Patterns for files within a folder (`--glob`, `--exclude`)."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from pathlib import PurePath

from charlstm.errors import ConfigError


class Pattern:
    """A case-insensitive pattern for paths within a folder.

    `*`, `?` and `[...]` match parts of a name, and `**` any number of folders. Only a part that
    begins with a dot matches a hidden name.

    Args:
        text: the pattern.
        flag: its option, for errors.

    Raises:
        ConfigError: the pattern is empty, absolute, or contains `..`.
    """

    def __init__(self, text: str, flag: str) -> None:
        self.text = text
        path = PurePath(text)
        if not path.parts or path.anchor or ".." in path.parts or "\0" in text:
            raise ConfigError(f"{flag} {text!r} is not a pattern for files in a folder.")
        self.names_hidden = any(part.startswith(".") for part in path.parts)
        self._parts = [None if part == "**" else _Part(part) for part in path.parts]

    def matches(self, parts: Sequence[str]) -> bool:
        """Whether it matches a path, given as its parts."""
        return _match(parts, self._parts)

    def matches_name(self, parts: Sequence[str]) -> bool:
        """As `matches`, but a pattern of a single name also matches hidden names, at any depth."""
        only = self._parts[0] if len(self._parts) == 1 else None
        if only is not None:
            return only.regex.match(parts[-1]) is not None
        return self.matches(parts)


class _Part:
    def __init__(self, text: str) -> None:
        self.regex = re.compile(fnmatch.translate(text), re.IGNORECASE)
        self.names_hidden = text.startswith(".")

    def matches(self, name: str) -> bool:
        return bool(self.regex.match(name)) and (self.names_hidden or not name.startswith("."))


def _match(parts: Sequence[str], pattern: Sequence[_Part | None]) -> bool:
    """Whether a pattern matches a path; None (`**`) matches any number of names, none hidden."""
    matched = _through({0}, pattern)  # possible numbers of pattern parts matched so far
    for name in parts:
        after = set()
        for count in matched - {len(pattern)}:
            part = pattern[count]
            if part is not None and part.matches(name):
                after.add(count + 1)
            elif part is None and not name.startswith("."):
                after.add(count)
        matched = _through(after, pattern)
    return len(pattern) in matched


def _through(matched: set[int], pattern: Sequence[_Part | None]) -> set[int]:
    """Add the states in which each following `**` matches no folder."""
    for count, part in enumerate(pattern):
        if part is None and count in matched:
            matched.add(count + 1)
    return matched
