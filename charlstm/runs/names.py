"""Names of runs: validation, and the default name."""

from __future__ import annotations

import re
from pathlib import Path

from charlstm.errors import ConfigError

_MAX_NAME_BYTES = 200


def check_name(name: str, what: str = "--name") -> str:
    """The name, checked to be valid for a run, and to stay inside the folder of runs.

    Raises:
        ConfigError: the name is not valid.
    """
    bad = (
        not name.strip()
        or name != name.strip()
        or name.startswith((".", "-"))
        or any(c in '/\\:*?"<>|' or not c.isprintable() for c in name)
        or len(name.encode("utf-8", "replace")) > _MAX_NAME_BYTES
    )
    if bad:
        raise ConfigError(
            f"{what} {name[:80]!r} is not valid.\nAllowed: letters, digits, '-', '_', '.' and "
            f"inner spaces, not beginning with '.' or '-', at most {_MAX_NAME_BYTES} bytes."
        )
    return name


def name_from(source: str) -> str:
    """A run's default name from a source's: `notes/hamlet.txt.gz` gives `hamlet`."""
    name = Path(source).name or Path(source).resolve().name
    while (stem := Path(name).stem) != name and Path(name).suffix.lower() in (
        ".txt",
        ".md",
        ".gz",
        ".bz2",
        ".xz",
        ".text",
    ):
        name = stem
    kept = re.sub(r"[^\w.-]+", "-", name).strip(".-_")[:60]
    return kept or "run"
